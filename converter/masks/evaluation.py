"""Evaluation: measures accuracy and agreement of models on the same faces."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from converter.masks.metrics import Metrics, Reading, Share, measure, metrics_by_band
from converter.progress import with_progress
from converter.skin_tone import typology_angle
from edge_agent.errors import ConfigError
from training.masks.examples import with_pictures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from converter.labelled_faces import LabelledFace
    from converter.masks.candidates import Candidate
    from edge_agent.domain import Label

_MIN_LABELS = 2
"""One label alone distinguishes nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelResult:
    """Metrics of one model on the labels that it shares with the faces; faces of other labels are ignored.

    `bands` holds the same by `size_px`, `domain` and `pose`. `accuracy_with_all_labels` also counts as wrong the faces
    that the model classifies, on the device, as a label that no face has. `left_out` counts the ignored faces by label.
    """

    candidate: Candidate
    metrics: Metrics
    bands: Mapping[str, Mapping[str, Metrics]]
    accuracy_with_all_labels: Share
    left_out: Mapping[Label, int]

    def as_json(self) -> dict[str, Any]:
        """A flat dictionary that contains the bands."""
        return {
            "path": str(self.candidate.path),
            "runtime": self.candidate.runtime,
            **({"choices": self.candidate.settings.as_json()} if self.candidate.settings else {}),
            **self.metrics.as_json(),
            "accuracy_with_all_labels": self.accuracy_with_all_labels.value,
            "left_out": dict(self.left_out),
            "bands": {
                grouping: {name: metrics.as_json() for name, metrics in bands.items()}
                for grouping, bands in self.bands.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """Comparison of two models on the faces that both classified."""

    first: Path
    second: Path
    faces: int
    same: int
    largest_score_difference: float

    def as_json(self) -> dict[str, Any]:
        """`agreement` is the fraction of faces with the same label from both."""
        return {
            "models": [str(self.first), str(self.second)],
            "faces": self.faces,
            "agreement": self.same / self.faces if self.faces else None,
            "largest_score_difference": self.largest_score_difference,
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results of several models on the same faces."""

    results: tuple[ModelResult, ...]
    agreements: tuple[Agreement, ...]
    unreadable: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The output of `--json`."""
        return {
            "models": [result.as_json() for result in self.results],
            "agreement": [result.as_json() for result in self.agreements],
            "unreadable": list(self.unreadable),
        }


@dataclass(frozen=True, slots=True)
class _Prediction:
    reading: Reading
    scores: Mapping[Label, float]
    among_all_labels: Label


def evaluate(
    candidates: Sequence[Candidate],
    faces: Sequence[LabelledFace],
    *,
    only: Sequence[Label] = (),
    with_bands: bool = False,
) -> Evaluation:
    """Classify every face with every model. `only` restricts the labels of the faces and of the models.

    Raises:
        ConfigError: a model shares fewer than two labels with the faces, or with the pictures that can be read.
    """
    common_labels = [_labels_in_common(candidate, faces, only) for candidate in candidates]
    predictions: list[dict[int, _Prediction]] = [{} for _ in candidates]
    unreadable: list[str] = []
    progress = with_progress(with_pictures(faces, unreadable=unreadable), total=len(faces), what="reading faces")
    for number, (face, image) in enumerate(progress):
        for candidate, labels, of_model in zip(candidates, common_labels, predictions, strict=True):
            if face.label is None or face.label not in labels:
                continue
            region = face.region(image, margin_fraction=candidate.margin_fraction)
            all_scores = candidate.scores(image, region)
            scores = _among(all_scores, labels)
            predicted = candidate.decide(scores)
            angle = typology_angle(image, face.box) if face.box and face.label == "without_mask" else None
            reading = Reading(
                face.label, predicted, scores[predicted], face.side_px(image), face.domain, face.pose, angle
            )
            of_model[number] = _Prediction(reading, scores, candidate.decide(all_scores))
    results = []
    for candidate, labels, of_model in zip(candidates, common_labels, predictions, strict=True):
        readings = [prediction.reading for prediction in of_model.values()]
        missing = set(labels) - {reading.truth for reading in readings}
        if len(missing) > len(labels) - _MIN_LABELS:
            raise ConfigError(
                f"{candidate.path}: no face of {' or '.join(sorted(missing))} can be read; {'; '.join(unreadable[:3])}"
            )
        bands = metrics_by_band(readings, labels=labels) if with_bands else {}
        hits = sum(prediction.among_all_labels == prediction.reading.truth for prediction in of_model.values())
        with_all_labels = Share(hits, len(readings))
        left_out = Counter(
            face.label
            for face in faces
            if face.label is not None and face.label not in candidate.labels and (not only or face.label in only)
        )
        results.append(ModelResult(candidate, measure(readings, labels=labels), bands, with_all_labels, left_out))
    pairs = itertools.combinations(range(len(candidates)), 2)
    agreements = [_agreement(candidates[a], predictions[a], candidates[b], predictions[b]) for a, b in pairs]
    return Evaluation(tuple(results), tuple(agreements), tuple(unreadable))


def _labels_in_common(candidate: Candidate, faces: Sequence[LabelledFace], only: Sequence[Label]) -> tuple[Label, ...]:
    face_labels = {face.label for face in faces}
    labels = tuple(label for label in candidate.labels if label in face_labels and (not only or label in only))
    if len(labels) < _MIN_LABELS:
        raise ConfigError(
            f"{candidate.path}: distinguishes {', '.join(candidate.labels)}, the faces are of "
            f"{', '.join(sorted(str(label) for label in face_labels))}; evaluate it on faces of at least two of its "
            "labels"
        )
    return labels


def _among(scores: Mapping[Label, float], labels: Sequence[Label]) -> dict[Label, float]:
    """The scores of some labels, renormalised to sum to 1."""
    whole = sum(scores[label] for label in labels)
    return {label: scores[label] / whole for label in labels}


def _agreement(
    first: Candidate, of_first: Mapping[int, _Prediction], second: Candidate, of_second: Mapping[int, _Prediction]
) -> Agreement:
    both = [(of_first[number], of_second[number]) for number in of_first.keys() & of_second.keys()]
    differences = [
        abs(a.scores[label] - b.scores[label]) for a, b in both for label in a.scores.keys() & b.scores.keys()
    ]
    return Agreement(
        first.path,
        second.path,
        faces=len(both),
        same=sum(a.reading.predicted == b.reading.predicted for a, b in both),
        largest_score_difference=max(differences, default=0.0),
    )
