"""The model card: what should a person know before relying on a model?

After Mitchell et al. 2019, "Model Cards for Model Reporting". Written from the card beside the model and from an
evaluation, so that no number is typed by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.data_sources import source_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from converter.evaluation import Evaluation
    from converter.metrics import Metrics
    from edge_agent.vision.card import MaskCard

USES = """## What it is for

It reads, from the face in one picture, how a mask is worn. maskwatch weighs several readings of the same person before
it tells anybody, and tells a human being, who decides what to do.

## What it must not be used for

- deciding about a person without a human being: access, fines, employment, treatment;
- saying who somebody is, or anything else about them: it was neither trained nor tested for that;
- medical statements: it does not know whether a mask protects;
- watching people who were not told, or where the law forbids it.
"""

LIMITS = """## Limits

- The smaller the face, the more often it is wrong; the table by size says how much. Below {smallest} px it guesses.
- It was judged on photographs, mostly in daylight and mostly from the front. Night, fog, infrared and steep angles from
  above are untested.
- Scarves, hands, veils and helmets in front of the mouth may be read as masks; clear shields as bare faces.
- A mask worn wrongly is the hardest label, also for people: expect fewer of these to be found than the others.
- Age, gender and skin colour were not annotated: whether it is equally right for everybody is unknown. Try it with the
  people who will pass your camera.
"""


def model_card(card: MaskCard, evaluations: Sequence[tuple[str, Evaluation]], *, smallest_px: float) -> str:
    """The text of MODEL_CARD.md; each evaluation has a title and judges the model first, its float original second."""
    parts = [
        f"# Model card: {card.name}\n",
        _what_it_is(card),
        USES,
        _data(card),
        "## How right it is\n",
        *(_judged(title, evaluation) for title, evaluation in evaluations),
        LIMITS.format(smallest=f"{smallest_px:g}"),
        _versions(card),
    ]
    return "\n".join(parts)


def _what_it_is(card: MaskCard) -> str:
    thresholds = ", ".join(f"{label} {threshold:g}" for label, threshold in card.thresholds.items())
    return (
        "Written by `edge-convert release`; do not edit.\n\n"
        f"A TFLite classifier of faces: {', '.join(f'`{label}`' for label in card.labels)}.\n\n"
        "| | |\n|---|---|\n"
        f"| file | {card.size_bytes} bytes, SHA-256 `{card.sha256}` |\n"
        f"| input | {card.input.width}x{card.input.height} {card.input.colour_order.upper()}, {card.input.dtype}, "
        f"value = (pixel - {card.input.zero_point:g}) * {card.input.scale:.6g} |\n"
        f"| margin around the face | {card.margin_fraction:g} of its longer side on every side |\n"
        f"| calibration temperature | {card.temperature:g} |\n"
        f"| thresholds | {thresholds or 'the likeliest label is read'} |\n"
    )


def _data(card: MaskCard) -> str:
    rows = [
        f"| {name} | {source.what} | {source.origin} | {source.terms} |"
        for name in card.training_data
        for source in [source_of(name)]
    ]
    head = "## Data it was trained on\n\n"
    if not rows:
        return head + "The training run did not say.\n"
    return head + "\n".join(["| part | what | public source | terms as found |", "|---|---|---|---|", *rows]) + "\n"


def _judged(title: str, evaluation: Evaluation) -> str:
    judged, original = evaluation.judged
    (agreement,) = evaluation.agreements
    lines = [
        f"### {title}\n",
        "95 % intervals in brackets.\n",
        "| faces | number | read right | " + " | ".join(f"recall of {label}" for label in judged.metrics.labels) + " |",
        "|---|---|---|" + "---|" * len(judged.metrics.labels),
        _row("all", judged.metrics),
        *(_row(f"{band} px", metrics) for band, metrics in judged.bands.items()),
        _row("all, float original", original.metrics),
        "",
        "Precision: "
        + ", ".join(f"{label} {judged.metrics.precision(label)}" for label in judged.metrics.labels)
        + f". Expected calibration error {judged.metrics.calibration_error or 0:.3f}.",
        "",
        f"Against its float original: the same label for {agreement.same} of {agreement.faces} faces, largest "
        f"difference of a score {agreement.largest_score_difference:.3f}.",
        "",
    ]
    return "\n".join(lines)


def _row(name: str, metrics: Metrics) -> str:
    recalls = " | ".join(str(metrics.recall(label)) for label in metrics.labels)
    return f"| {name} | {metrics.faces} | {metrics.accuracy} | {recalls} |"


def _versions(card: MaskCard) -> str:
    return "## Made with\n\n" + "".join(f"- {name}: {version}\n" for name, version in card.versions.items())
