"""Candidates: opens float models and TFLite files with cards under one interface.

All get the same pixels, cropped and scaled by the device's code; TFLite files are opened as on the device. A float
file is preprocessed according to the `source` of the first card, and verified on labelled faces in either case.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from converter.masks.calibration import read_pixels, select_evenly
from converter.masks.float_models import FloatModel, apply_settings
from converter.masks.model_settings import ModelSettings, determine_settings
from converter.masks.networks import open_network
from converter.masks.outputs import LabelMapping
from converter.masks.overrides import NO_OVERRIDES, ModelOverrides
from converter.model_kind import TFLITE_SUFFIX
from edge_agent.vision.card import ClassifierCard, read_classifier_card
from edge_agent.vision.classifier import open_classifier
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from converter.labelled_faces import LabelledFace
    from edge_agent.domain import Box, Image, Label
    from edge_agent.vision.tflite import RuntimeChoice

MAX_TRIAL_FACES = 160
"""Number of evaluation faces used to verify the preprocessing of a float file."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A model to evaluate.

    `scores` gives the probability of every label for a region of a picture, `decide` the predicted label among all or
    some of them. `settings` are set for float files.
    """

    path: Path
    runtime: str
    labels: tuple[Label, ...]
    margin_fraction: float
    scores: Callable[[Image, Box], Mapping[Label, float]]
    decide: Callable[[Mapping[Label, float]], Label]
    settings: ModelSettings | None = None


def open_candidates(
    paths: Sequence[Path],
    overrides: ModelOverrides = NO_OVERRIDES,
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
        AccuracyError: other settings make a float file clearly more accurate than those of the card.
    """
    cards = [read_classifier_card(path)[0] for path in paths if path.suffix == TFLITE_SUFFIX]
    with_card = _with_card(overrides, cards[0]) if cards else overrides
    return [
        _open_tflite(path, runtime)
        if path.suffix == TFLITE_SUFFIX
        else _float_candidate(_open_float_model(path, with_card, faces))
        for path in paths
    ]


def _with_card(overrides: ModelOverrides, card: ClassifierCard) -> ModelOverrides:
    """The stated properties, completed by the `source` of a card."""
    source = card.source
    margin = card.margin_fraction if overrides.margin_fraction is None else overrides.margin_fraction
    if overrides != replace(NO_OVERRIDES, margin_fraction=overrides.margin_fraction, size_px=overrides.size_px):
        return replace(overrides, margin_fraction=margin)
    labels = LabelMapping(tuple(source.get("outputs", card.labels)))
    from_card = replace(
        overrides,
        labels=labels,
        margin_fraction=margin,
        resampling=card.resampling,
        origin=f"from the card of {card.name}",
    )
    if not source:
        return from_card
    return replace(
        from_card,
        pixels=source["pixels"],
        colours=source["colours"],
        means=tuple(source["means"]),
        deviations=tuple(source["std"]),
        single_output=source.get("single_output"),
    )


def _open_float_model(path: Path, overrides: ModelOverrides, faces: Sequence[LabelledFace]) -> FloatModel:
    network = open_network(path, overrides)
    if len(overrides.labels.outputs) not in {0, max(network.outputs, 2)}:
        # The card belongs to another model.
        overrides = replace(overrides, labels=LabelMapping())
    pictures, labels = read_pixels(
        select_evenly([face for face in faces if face.label], max_count=MAX_TRIAL_FACES), network
    )
    return apply_settings(network, determine_settings(network, overrides, pictures, labels))


def _open_tflite(path: Path, runtime: RuntimeChoice) -> Candidate:
    with quiet_tensorflow():
        classifier = open_classifier(path, runtime=runtime)
    card = classifier.card
    return Candidate(path, classifier.runtime, card.labels, card.margin_fraction, classifier.scores, card.decide)


def _float_candidate(model: FloatModel) -> Candidate:
    network, settings = model.network, model.settings
    return Candidate(
        network.path, "keras", settings.labels, network.margin_fraction, model.scores, _most_probable, settings=settings
    )


def _most_probable(scores: Mapping[Label, float]) -> Label:
    return max(scores, key=lambda label: scores[label])
