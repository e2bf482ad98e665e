"""Candidates: how is a model read, whether it is a Keras file or a TFLite file with its card?

Both look at the same pixels, cut and scaled by the device's code; a TFLite file is opened as the device opens it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from converter.masks.float_models import NOTHING_TOLD, FloatModel, Told, open_float_model
from converter.model_kind import TFLITE_SUFFIX
from converter.silence import quiet_tensorflow
from edge_agent.vision.card import read_card
from edge_agent.vision.masks import open_mask_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from edge_agent.domain import Box, Image, Label
    from edge_agent.vision.tflite import RuntimeChoice


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A model to be judged.

    `scores` gives the probability of every label for a region of a picture, `decide` the label that is read
    from all or some of these.
    """

    path: Path
    runtime: str
    labels: tuple[Label, ...]
    margin_fraction: float
    scores: Callable[[Image, Box], Mapping[Label, float]]
    decide: Callable[[Mapping[Label, float]], Label]


def open_candidates(
    paths: Sequence[Path], told: Told = NOTHING_TOLD, *, runtime: RuntimeChoice = "auto"
) -> list[Candidate]:
    """Open models of either kind, in the order given.

    A Keras file that says nothing of its labels and its margin borrows them from the first card: what is compared
    with a converted model is mostly what it was made from.

    Raises:
        ModelError: a model is missing, damaged, or does not fit its card.
        ConfigError: nobody says what the outputs of a Keras file mean.
    """
    cards = [read_card(path) for path in paths if path.suffix == TFLITE_SUFFIX]
    borrowed = Told(labels=cards[0].labels, margin_fraction=cards[0].margin_fraction) if cards else NOTHING_TOLD
    return [
        _of_classifier(path, runtime)
        if path.suffix == TFLITE_SUFFIX
        else _of_float(open_float_model(path, told, otherwise=borrowed))
        for path in paths
    ]


def _of_classifier(path: Path, runtime: RuntimeChoice) -> Candidate:
    with quiet_tensorflow():
        classifier = open_mask_reader(path, runtime=runtime)
    card = classifier.card
    return Candidate(path, classifier.runtime, card.labels, card.margin_fraction, classifier.scores, card.decide)


def _of_float(model: FloatModel) -> Candidate:
    return Candidate(model.path, "keras", model.labels, model.margin_fraction, model.scores, _likeliest)


def _likeliest(scores: Mapping[Label, float]) -> Label:
    return max(scores, key=lambda label: scores[label])
