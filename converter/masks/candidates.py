"""Candidates: opens float models and TFLite files with cards under one interface.

All get the same pixels, cropped and scaled by the device's code; TFLite files are opened as on the device. A float
file is preprocessed according to the `source` of the first card, and verified on labelled faces in either case.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from converter.masks.calibration import read_pixels, spread
from converter.masks.choices import Choices, choose
from converter.masks.float_models import FloatModel, settled
from converter.masks.networks import open_network
from converter.masks.outputs import StatedLabels
from converter.masks.stated import NOTHING_STATED, Stated
from converter.model_kind import TFLITE_SUFFIX
from converter.silence import quiet_tensorflow
from edge_agent.vision.card import ClassifierCard, read_classifier_card
from edge_agent.vision.classifier import open_classifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from converter.labelled_faces import LabelledFace
    from edge_agent.domain import Box, Image, Label
    from edge_agent.vision.tflite import RuntimeChoice

MOST_TRIED = 160
"""Number of evaluation faces used to verify the preprocessing of a float file."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A model to evaluate.

    `scores` gives the probability of every label for a region of a picture, `decide` the predicted label among all or
    some of them. `choices` are set for float files.
    """

    path: Path
    runtime: str
    labels: tuple[Label, ...]
    margin_fraction: float
    scores: Callable[[Image, Box], Mapping[Label, float]]
    decide: Callable[[Mapping[Label, float]], Label]
    choices: Choices | None = None


def open_candidates(
    paths: Sequence[Path],
    stated: Stated = NOTHING_STATED,
    *,
    faces: Sequence[LabelledFace] = (),
    runtime: RuntimeChoice = "auto",
) -> list[Candidate]:
    """Open models of either kind, in the order given; float files are verified on `faces`.

    A float file without settings of its own uses those of the first card, as a converted model is usually compared with
    its source.

    Raises:
        ModelError: a model is missing, damaged, or does not fit its card.
        ConfigError: the meaning of a float file's outputs is unknown.
        GateError: other settings make a float file clearly more accurate than those of the card.
    """
    cards = [read_classifier_card(path) for path in paths if path.suffix == TFLITE_SUFFIX]
    completed = _with_card(stated, cards[0]) if cards else stated
    return [
        _of_classifier(path, runtime) if path.suffix == TFLITE_SUFFIX else _of_float(_opened(path, completed, faces))
        for path in paths
    ]


def _with_card(stated: Stated, card: ClassifierCard) -> Stated:
    """The stated properties, completed by the `source` of a card."""
    source = card.source
    if stated != replace(NOTHING_STATED, margin_fraction=stated.margin_fraction, size_px=stated.size_px):
        return replace(stated, margin_fraction=stated.margin_fraction or card.margin_fraction)
    labels = StatedLabels(tuple(source.get("outputs", card.labels)))
    margin = card.margin_fraction if stated.margin_fraction is None else stated.margin_fraction
    borrowed = replace(
        stated, labels=labels, margin_fraction=margin, resampling=card.resampling, by=f"from the card of {card.name}"
    )
    if not source:
        return borrowed
    return replace(
        borrowed,
        pixels=source["pixels"],
        colours=source["colours"],
        means=tuple(source["means"]),
        deviations=tuple(source["std"]),
    )


def _opened(path: Path, stated: Stated, faces: Sequence[LabelledFace]) -> FloatModel:
    network = open_network(path, stated)
    if len(stated.labels.outputs) not in {0, max(network.outputs, 2)}:
        # The card belongs to another model.
        stated = replace(stated, labels=StatedLabels())
    pictures, labels = read_pixels(spread([face for face in faces if face.label], most=MOST_TRIED), network)
    return settled(network, choose(network, stated, pictures, labels))


def _of_classifier(path: Path, runtime: RuntimeChoice) -> Candidate:
    with quiet_tensorflow():
        classifier = open_classifier(path, runtime=runtime)
    card = classifier.card
    return Candidate(path, classifier.runtime, card.labels, card.margin_fraction, classifier.scores, card.decide)


def _of_float(model: FloatModel) -> Candidate:
    network, choices = model.network, model.choices
    return Candidate(
        network.path, "keras", choices.labels, network.margin_fraction, model.scores, _likeliest, choices=choices
    )


def _likeliest(scores: Mapping[Label, float]) -> Label:
    return max(scores, key=lambda label: scores[label])
