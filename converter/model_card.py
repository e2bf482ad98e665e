"""The model card: what should a person know before relying on a model?

After Mitchell et al. 2019, "Model Cards for Model Reporting". Written from the card beside the model and from an
evaluation, so that no number is typed by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.data_sources import source_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from converter.faces.evaluation import DetectorReport
    from converter.masks.evaluation import Evaluation
    from converter.masks.metrics import Metrics
    from edge_agent.vision.card import ClassifierCard, DetectorCard

WRITTEN_BY = "Written by `edge-convert release`; do not edit.\n\n"

USES = """## What it is for

It reads, from the face in one picture, how a mask is worn. maskwatch weighs several readings of the same person before
it tells anybody, and tells a human being, who decides what to do.

## What it must not be used for

- deciding about a person without a human being: access, fines, employment, treatment;
- identifying people, or saying anything else about them: it was neither trained nor tested for that;
- medical statements: it does not know whether a mask protects;
- watching people who were not told, or where the law forbids it.
"""

LIMITS = """## Limits

- The smaller the face, the more often it is wrong; the table by size says how much. Below {smallest} px it guesses.
- It was judged on photographs, mostly in daylight and mostly from the front. Night, fog, infrared and steep angles from
  above are untested.
- Scarves, hands, veils and helmets over the lower face may be read as masks; clear shields as bare faces.
- A mask worn wrongly is the hardest label, also for people: expect fewer of these to be found than the others.
- Age and gender were not annotated, and skin tone is an estimate from the cheeks of bare faces (the rows "skin" above,
  few faces each): whether it is equally right for everybody is not shown. Try it with the people who will pass your
  camera.
"""


def classifier_model_card(
    card: ClassifierCard, evaluations: Sequence[tuple[str, Evaluation]], *, smallest_px: float
) -> str:
    """The text of MODEL_CARD.md; each evaluation has a title and judges the model first, its float original second."""
    parts = [
        f"{PART}{card.name}\n",
        _what_it_is(card),
        USES,
        _data(card.training_data),
        "## How right it is\n",
        *(_judged(title, evaluation) for title, evaluation in evaluations),
        LIMITS.format(smallest=f"{smallest_px:g}"),
        _versions(card.versions),
    ]
    return "\n".join(parts)


DETECTOR_USES = """## What it is for

It finds the faces in a picture, masked and bare, so that a mask classifier can look at each.

## What it must not be used for

- identifying people, or counting them where a missed one matters;
- watching people who were not told, or where the law forbids it.
"""

DETECTOR_LIMITS = """## Limits

- It was trained and judged on photographs, mostly in daylight and mostly from the front. Night, fog, infrared and steep
  angles from above are untested.
- Faces on posters and screens are faces to it.
- Age, gender and skin colour were not annotated: whether it finds everybody equally well is unknown. Try it with the
  people who will pass your camera.
"""

PART = "# Model card: "
"""MODEL_CARD.md holds a part for each model; this begins one."""


def with_part(text: str, part: str) -> str:
    """The text of MODEL_CARD.md with one model's part in place of the one of the same name, or at the end."""
    parts = [PART + rest for rest in text.split(PART)[1:]] if PART in text else []
    title = part.partition("\n")[0]
    kept = [one.rstrip("\n") for one in parts if one.partition("\n")[0] != title]
    return "\n\n".join(sorted([*kept, part.rstrip("\n")], key=lambda one: one.partition("\n")[0])) + "\n"


def detector_model_card(card: DetectorCard, title: str, judged: DetectorReport, original: DetectorReport) -> str:
    """The part of a face detector, judged beside its float original."""
    parts = [
        f"{PART}{card.name}\n",
        _what_detector_is(card),
        DETECTOR_USES,
        _data(card.training_data),
        "## How right it is\n",
        _judged_detector(title, judged, original),
        DETECTOR_LIMITS,
        _versions(card.versions),
    ]
    return "\n".join(parts)


def _what_detector_is(card: DetectorCard) -> str:
    rows = "".join(
        f"| {file.input.width}x{file.input.height} {file.input.colour_order.upper()}, {file.input.dtype} | "
        f"{file.size_bytes} bytes, SHA-256 `{file.sha256}` |\n"
        for file in card.files
    )
    return (
        f"{WRITTEN_BY}"
        "A TFLite face detector, a network for each size of input.\n\n"
        "| | |\n|---|---|\n"
        f"{rows}"
        f"| smallest face, in pixels of the input | {card.smallest_px:g} |\n"
        f"| a detection is a face from this score on | {card.min_score:g} |\n"
    )


def _judged_detector(title: str, judged: DetectorReport, original: DetectorReport) -> str:
    lines = [
        f"### {title}: {judged.pictures} pictures, {judged.faces} faces of 16 px and more\n",
        "| average precision | int8 | float original |",
        "|---|---|---|",
        *(
            f"| overlap {overlap} %, faces of {smallest} and more | {value:.3f} | {original.ap[name]:.3f} |"
            for name, value in judged.ap.items()
            for _, overlap, smallest in [name.split("_")]
        ),
        "",
        f"From a score of {judged.min_score:g} on it finds {judged.recall:.1%} of the faces, and "
        f"{judged.false_detections:.2f} things a picture that are no annotated face; some are faces nonetheless.",
        "",
    ]
    return "\n".join(lines)


def _what_it_is(card: ClassifierCard) -> str:
    thresholds = ", ".join(f"{label} {threshold:g}" for label, threshold in card.thresholds.items())
    return (
        f"{WRITTEN_BY}"
        f"A TFLite classifier of faces: {', '.join(f'`{label}`' for label in card.labels)}.\n\n"
        "| | |\n|---|---|\n"
        f"| file | {card.size_bytes} bytes, SHA-256 `{card.sha256}` |\n"
        f"| input | {card.input.width}x{card.input.height} {card.input.colour_order.upper()}, {card.input.dtype}, "
        f"value = (pixel - {card.input.zero_point:g}) * {card.input.scale:.6g} |\n"
        f"| margin around the face | {card.margin_fraction:g} of its longer side on every side |\n"
        f"| calibration temperature | {card.temperature:g} |\n"
        f"| thresholds | {thresholds or 'the likeliest label is read'} |\n"
        f"| rejected as no face | {_rejection(card)} |\n"
    )


def _rejection(card: ClassifierCard) -> str:
    if card.no_face_threshold is None:
        return "nothing; it takes everything for a face"
    return f"above a probability of {card.no_face_threshold:g}"


def _data(training_data: Sequence[str]) -> str:
    rows = [
        f"| {name} | {source.what} | {source.origin} | {source.terms} |"
        for name in training_data
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
        *(_row(f"{band} px", metrics) for band, metrics in judged.bands.get("size_px", {}).items()),
        *(
            _row(f"{sort} {band}", bands[band])
            for sort, bands in judged.bands.items()
            if sort != "size_px"
            for band in bands
        ),
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


def _versions(versions: Mapping[str, str]) -> str:
    return "## Made with\n\n" + "".join(f"- {name}: {version}\n" for name, version in versions.items())
