"""Verification: checks a converted file against its card in every runtime of the device."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.drawn_faces import as_png, drawn_faces
from converter.masks.outputs import label_matrix
from converter.masks.preprocessing import PIXEL_SCALES
from converter.tflite_conversion import versions
from edge_agent.domain import NO_FACE
from edge_agent.errors import ModelError
from edge_agent.vision.card import ClassifierCard, Golden, InputCard, OutputCard
from edge_agent.vision.classifier import MaskClassifier, open_classifier
from edge_agent.vision.tflite import Interpreter, RuntimeName, open_interpreter, probe_runtimes
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from converter.masks.model_settings import ModelSettings
    from converter.masks.networks import Network

NO_FACE_THRESHOLD = 0.5
"""Above this, no face is more likely than a face."""
MIN_GOLDEN_SCORE = 0.9
"""Of a golden vector, unless all are less confident."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The runtimes that a model ran in, those not installed here, and those that failed, with the reason."""

    passed: tuple[RuntimeName, ...]
    missing: tuple[RuntimeName, ...]
    failures: Mapping[RuntimeName, str]


def make_card(
    content: bytes, network: Network, settings: ModelSettings, *, name: str, metrics: Mapping[str, Any]
) -> ClassifierCard:
    """Describe a converted model by its tensors, with golden vectors computed by running it.

    Raises:
        ModelError: no runtime can run it.
    """
    with quiet_tensorflow():
        interpreter = open_interpreter(content, name=name)
    card = ClassifierCard(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        labels=settings.labels,
        no_face_threshold=NO_FACE_THRESHOLD if NO_FACE in settings.outputs else None,
        input=_input_card(interpreter, network, settings),
        output=_output_card(interpreter),
        margin_fraction=network.margin_fraction,
        resampling=settings.resampling,
        training_data=list(network.training_data),
        source={"file": network.path.name, "kind": network.kind} | settings.as_json(),
        metrics=dict(metrics),
        versions={"model": network.kind} | versions(),
        # Placeholders until the model has been run.
        golden=tuple(
            Golden(picture=as_png(face), scores=[0.0] * label_matrix(settings.outputs).shape[1])
            for face in drawn_faces()
        ),
    )
    card = with_golden(card, interpreter)
    return card.model_copy(update={"golden": most_confident(card.golden)})


def most_confident(vectors: Sequence[Golden]) -> tuple[Golden, ...]:
    """The most confident vector of each predicted label, or the most confident of all if none is confident.

    For uncertain scores, kernels differ by more than a golden vector tolerates: on street faces the two runtimes
    differed by up to 0.6, but by at most 0.01 where the score was 0.99 or more.
    """
    best: dict[int, Golden] = {}
    for vector in sorted(vectors, key=lambda vector: max(vector.scores)):
        best[int(np.argmax(vector.scores))] = vector
    required = min(MIN_GOLDEN_SCORE, max(max(vector.scores) for vector in best.values()))
    return tuple(vector for _, vector in sorted(best.items()) if max(vector.scores) >= required)


def with_golden(card: ClassifierCard, interpreter: Interpreter) -> ClassifierCard:
    """The card with the scores of its pictures recomputed by the model."""
    classifier = MaskClassifier(interpreter, card, name=card.name)
    golden = []
    for vector in card.golden:
        outputs = classifier.outputs_of_whole(vector.image())
        golden.append(Golden(picture=vector.picture, scores=[round(float(share), 6) for share in outputs]))
    return card.model_copy(update={"golden": tuple(golden)})


def verify(content: bytes, card: ClassifierCard, *, in_every_runtime: bool = True) -> Verification:
    """Load and run a model in every installed runtime of the device.

    Without `in_every_runtime`, one is enough.

    Raises:
        ModelError: an installed runtime cannot run the model, or gives other scores for the golden pictures.
    """
    passed: list[RuntimeName] = []
    missing: list[RuntimeName] = []
    failures: dict[RuntimeName, str] = {}
    with quiet_tensorflow():
        for probe in probe_runtimes(content):
            if probe.failure == "not installed":
                missing.append(probe.runtime)
                continue
            if not probe.works and in_every_runtime:
                raise ModelError(
                    f"{card.name}: {probe.runtime} {probe.version} cannot run the converted model: {probe.failure}; "
                    "choose another --format, or best"
                )
            if not probe.works:
                failures[probe.runtime] = probe.failure
                continue
            classifier = MaskClassifier(Interpreter(content, runtime=probe.runtime, threads=1), card, name=card.name)
            try:
                classifier.check_golden()
            except ModelError as error:
                raise ModelError(
                    f"{card.name}: {probe.runtime} {probe.version} gives other results than the runtime that "
                    f"its card was made in ({error}); choose another --format, or best"
                ) from error
            passed.append(probe.runtime)
    if not passed:
        raise ModelError(f"{card.name}: no runtime of the device is installed here; pip install ai-edge-litert")
    return Verification(tuple(passed), tuple(missing), failures)


def check_loadable(models: Iterable[Path]) -> None:
    """Load written models with their cards, as a device does.

    Raises:
        ModelError: one cannot be loaded.
    """
    with quiet_tensorflow():
        for model in models:
            open_classifier(model)


def _input_card(interpreter: Interpreter, network: Network, settings: ModelSettings) -> InputCard:
    tensor = interpreter.inputs[0]
    scale, zero_point = PIXEL_SCALES[settings.card_pixels]
    if tensor.dtype.name == "uint8" and np.isclose(tensor.scale, scale, rtol=1e-5):
        # 127.5 lies between two steps; with the tensor's own zero point, filling the input is a plain copy.
        zero_point = float(tensor.zero_point)
    return InputCard.model_validate(
        {
            "width": network.width_px,
            "height": network.height_px,
            "colour_order": settings.card_colours,
            "dtype": tensor.dtype.name,
            "scale": scale,
            "zero_point": zero_point,
        }
    )


def _output_card(interpreter: Interpreter) -> OutputCard:
    tensor = interpreter.outputs[0]
    quantized = {"scale": tensor.scale, "zero_point": tensor.zero_point} if tensor.scale else {"scale": 1.0}
    return OutputCard.model_validate({"dtype": tensor.dtype.name, **quantized})
