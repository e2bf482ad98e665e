"""Card fitting: fits temperature and thresholds of a card on validation faces.

The faces must not be among those of training or calibration. Golden scores are recomputed with the fitted values, as
the device will compute them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from converter.masks.confidence_calibration import (
    MIN_FACES,
    fit_no_face_threshold,
    fit_temperature,
    fit_thresholds,
)
from converter.masks.metrics import Metrics, Reading, measure
from converter.masks.verification import with_golden
from converter.progress import print_message, with_progress
from edge_agent.errors import ConfigError
from edge_agent.vision.classifier import MaskClassifier
from edge_agent.vision.tflite import open_interpreter
from training.masks.examples import with_pictures
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from converter.labelled_faces import LabelledFace
    from edge_agent.domain import Label
    from edge_agent.vision.card import ClassifierCard


def fit_card(
    card: ClassifierCard, content: bytes, faces: Sequence[LabelledFace], *, false_alarm_fraction: float | None
) -> ClassifierCard:
    """Fit the temperature, and the thresholds if a false alarm fraction is given, to labelled faces.

    The changes, and the faces that cannot be read, are reported on stderr.

    Raises:
        ConfigError: there are too few faces.
    """
    bare = card.model_copy(update={"temperature": 1.0, "thresholds": {}})
    with quiet_tensorflow():
        interpreter = open_interpreter(content, name=card.name)
        classifier = MaskClassifier(interpreter, bare, name=card.name)
    unreadable: list[str] = []
    known = [face for face in faces if face.label in card.labels]
    progress = with_progress(with_pictures(known, unreadable=unreadable), total=len(known), what="reading faces")
    rows, truths = [], []
    for face, image in progress:
        rows.append(classifier.outputs(image, face.region(image, margin_fraction=card.margin_fraction)))
        truths.append(face.label)
    if len(rows) < MIN_FACES:
        raise ConfigError(
            f"{card.name}: {len(rows)} faces to fit its card to, {MIN_FACES} are needed; give more validation faces"
        )
    outputs, true = np.array(rows), np.array([card.labels.index(truth) for truth in truths if truth is not None])
    raw = outputs[:, : len(card.labels)]
    raw = raw / raw.sum(axis=1, keepdims=True)
    temperature = round(fit_temperature(raw, true), 4)
    scaled = raw ** (1 / temperature)
    scaled /= scaled.sum(axis=1, keepdims=True)
    thresholds = {}
    if false_alarm_fraction is not None:
        exact = fit_thresholds(scaled, true, labels=card.labels, false_alarm_fraction=false_alarm_fraction)
        thresholds = {label: round(threshold, 4) for label, threshold in exact.items()}
    fitted = card.model_copy(update={"temperature": temperature, "thresholds": thresholds})
    if card.no_face_threshold is not None:
        outputs = outputs ** (1 / temperature)
        no_face = outputs[:, -1] / outputs.sum(axis=1)
        fitted = fitted.model_copy(update={"no_face_threshold": fit_no_face_threshold(no_face)})
    before, after = _metrics(bare, raw, true), _metrics(fitted, scaled, true)
    fitted = fitted.model_copy(update={"metrics": fitted.metrics | {"validation": after.summary()}})
    for error in unreadable:
        print_message(f"skipped: {error}")
    _report(fitted, before, after)
    return with_golden(fitted, interpreter)


def _report(card: ClassifierCard, before: Metrics, after: Metrics) -> None:
    errors = (before.calibration_error or 0.0, after.calibration_error or 0.0)
    print_message(f"temperature {card.temperature:g}: calibration error {errors[0]:.3f} -> {errors[1]:.3f}")
    if card.no_face_threshold is not None:
        print_message(f"threshold of no_face {card.no_face_threshold:g}")
    for label, threshold in card.thresholds.items():
        recalls = (before.recall(label).value or 0.0, after.recall(label).value or 0.0)
        print_message(f"threshold of {label} {threshold:g}: recall {recalls[0]:.1%} -> {recalls[1]:.1%}")


def _metrics(card: ClassifierCard, scores: NDArray[np.float64], truths: NDArray[np.int64]) -> Metrics:
    readings = []
    for row, truth in zip(scores, truths, strict=True):
        shares: dict[Label, float] = dict(zip(card.labels, row.tolist(), strict=True))
        predicted = card.decide(shares)
        readings.append(Reading(card.labels[int(truth)], predicted, shares[predicted], side_px=0.0))
    return measure(readings, labels=card.labels)
