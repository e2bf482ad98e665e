"""Model card: generates MODEL_CARD.md with intended use, training data, accuracy and limits of each shipped model.

After Mitchell et al. 2019, "Model Cards for Model Reporting". All numbers come from the model's card and an evaluation;
none is typed by hand.
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

USES = """## Intended use

The model classifies how a mask is worn, from one image of a face. maskwatch combines several readings of a person
before it raises an alert, and a human decides how to respond.

## Out-of-scope uses

- automated decisions about a person, without human review: access, fines, employment, treatment;
- identifying people or inferring anything else about them: it was neither trained nor tested for that;
- medical statements: it cannot tell whether a mask protects;
- monitoring people who have not been informed, or where the law forbids it.
"""

LIMITS = """## Limits

- Accuracy falls with face size; see the rows by size. Below {smallest} px the result is not reliable.
- It was evaluated on photographs, mostly in daylight and mostly frontal. Night, fog, infrared and steep angles from
  above are untested.
- Scarves, hands, veils and helmets over the lower face may be classified as masks, and clear shields as bare faces.
- `mask_worn_incorrectly` is the hardest label, also for humans: expect a lower recall than for the others.
- Age and gender were not annotated, and skin tone is estimated from the cheeks of bare faces (the "skin" rows above,
  few faces each), so equal accuracy across groups is not established. Test it with the people who will pass your
  camera.
"""


def classifier_model_card(
    card: ClassifierCard, evaluations: Sequence[tuple[str, Evaluation]], *, min_face_px: float
) -> str:
    """The part of a classifier in MODEL_CARD.md; each evaluation has the model first and its float original second."""
    parts = [
        f"{SECTION_HEADING}{card.name}\n",
        _description(card),
        USES,
        _data(card.training_data),
        "## Accuracy\n",
        *(_classifier_evaluation(title, evaluation) for title, evaluation in evaluations),
        LIMITS.format(smallest=f"{min_face_px:g}"),
        _versions(card.versions),
    ]
    return "\n".join(parts)


DETECTOR_USES = """## Intended use

The model detects masked and bare faces in an image, for a mask classifier to classify.

## Out-of-scope uses

- identifying people, or counting them where a missed person matters;
- monitoring people who have not been informed, or where the law forbids it.
"""

DETECTOR_LIMITS = """## Limits

- It was trained and evaluated on photographs, mostly in daylight and mostly frontal. Night, fog, infrared and steep
  angles from above are untested.
- It also detects faces on posters and screens.
- Age, gender and skin colour were not annotated, so equal recall across groups is unknown. Test it with the people who
  will pass your camera.
"""

SECTION_HEADING = "# Model card: "
"""Heading prefix of each model's part of MODEL_CARD.md."""


def replace_section(text: str, part: str) -> str:
    """The text of MODEL_CARD.md with a part replaced, or inserted by name."""
    parts = [SECTION_HEADING + rest for rest in text.split(SECTION_HEADING)[1:]] if SECTION_HEADING in text else []
    title = part.partition("\n")[0]
    kept = [section.rstrip("\n") for section in parts if section.partition("\n")[0] != title]
    return "\n\n".join(sorted([*kept, part.rstrip("\n")], key=lambda section: section.partition("\n")[0])) + "\n"


def detector_model_card(card: DetectorCard, title: str, converted: DetectorReport, original: DetectorReport) -> str:
    """The part of a face detector, with the results of its float original."""
    parts = [
        f"{SECTION_HEADING}{card.name}\n",
        _detector_description(card),
        DETECTOR_USES,
        _data(card.training_data),
        "## Accuracy\n",
        _detector_evaluation(title, converted, original),
        DETECTOR_LIMITS,
        _versions(card.versions),
    ]
    return "\n".join(parts)


def _detector_description(card: DetectorCard) -> str:
    rows = "".join(
        f"| {file.input.width}x{file.input.height} {file.input.colour_order.upper()}, {file.input.dtype} | "
        f"{file.size_bytes} bytes, SHA-256 `{file.sha256}` |\n"
        for file in card.files
    )
    return (
        f"{WRITTEN_BY}"
        "A TFLite face detector with one network per input size.\n\n"
        "| | |\n|---|---|\n"
        f"{rows}"
        f"| smallest face, in input pixels | {card.smallest_px:g} |\n"
        f"| minimum detection score | {card.min_score:g} |\n"
    )


def _detector_evaluation(title: str, converted: DetectorReport, original: DetectorReport) -> str:
    lines = [
        f"### {title}: {converted.pictures} pictures, {converted.faces} faces of 16 px and more\n",
        "| average precision | int8 | float original |",
        "|---|---|---|",
        *(
            f"| overlap {overlap} %, faces of {smallest} and more | {value:.3f} | {original.ap[name]:.3f} |"
            for name, value in converted.ap.items()
            for _, overlap, smallest in [name.split("_")]
        ),
        "",
        f"At a minimum score of {converted.min_score:g}: recall {converted.recall:.1%}, and "
        f"{converted.false_detections:.2f} detections per image that match no annotated face; some of them are "
        "unannotated faces.",
        "",
    ]
    return "\n".join(lines)


def _description(card: ClassifierCard) -> str:
    thresholds = ", ".join(f"{label} {threshold:g}" for label, threshold in card.thresholds.items())
    return (
        f"{WRITTEN_BY}"
        f"A TFLite face classifier: {', '.join(f'`{label}`' for label in card.labels)}.\n\n"
        "| | |\n|---|---|\n"
        f"| file | {card.size_bytes} bytes, SHA-256 `{card.sha256}` |\n"
        f"| input | {card.input.width}x{card.input.height} {card.input.colour_order.upper()}, {card.input.dtype}, "
        f"value = (pixel - {card.input.zero_point:g}) * {card.input.scale:.6g} |\n"
        f"| margin around the face | {card.margin_fraction:g} of its longer side, on every side |\n"
        f"| calibration temperature | {card.temperature:g} |\n"
        f"| thresholds | {thresholds or 'none; the most probable label wins'} |\n"
        f"| rejected as no face | {_rejection(card)} |\n"
    )


def _rejection(card: ClassifierCard) -> str:
    if card.no_face_threshold is None:
        return "never"
    return f"above a probability of {card.no_face_threshold:g}"


def _data(training_data: Sequence[str]) -> str:
    rows = [
        f"| {name} | {source.what} | {source.origin} | {source.terms} |"
        for name in training_data
        for source in [source_of(name)]
    ]
    head = "## Training data\n\n"
    if not rows:
        return head + "Not recorded by the training run.\n"
    return head + "\n".join(["| part | what | public source | terms as found |", "|---|---|---|---|", *rows]) + "\n"


def _classifier_evaluation(title: str, evaluation: Evaluation) -> str:
    converted, original = evaluation.results
    (agreement,) = evaluation.agreements
    lines = [
        f"### {title}\n",
        "95 % intervals in brackets.\n",
        "| faces | number | accuracy | "
        + " | ".join(f"recall of {label}" for label in converted.metrics.labels)
        + " |",
        "|---|---|---|" + "---|" * len(converted.metrics.labels),
        _row("all", converted.metrics),
        *(_row(f"{band} px", metrics) for band, metrics in converted.bands.get("size_px", {}).items()),
        *(
            _row(f"{sort} {band}", bands[band])
            for sort, bands in converted.bands.items()
            if sort != "size_px"
            for band in bands
        ),
        _row("all, float original", original.metrics),
        "",
        "Precision: "
        + ", ".join(f"{label} {converted.metrics.precision(label)}" for label in converted.metrics.labels)
        + f". Expected calibration error {converted.metrics.calibration_error or 0:.3f}.",
        "",
        f"Agreement with the float original: the same label for {agreement.same} of {agreement.faces} faces, largest "
        f"score difference {agreement.largest_score_difference:.3f}.",
        "",
    ]
    return "\n".join(lines)


def _row(name: str, metrics: Metrics) -> str:
    recalls = " | ".join(str(metrics.recall(label)) for label in metrics.labels)
    return f"| {name} | {metrics.faces} | {metrics.accuracy} | {recalls} |"


def _versions(versions: Mapping[str, str]) -> str:
    return "## Versions\n\n" + "".join(f"- {name}: {version}\n" for name, version in versions.items())
