"""Format selection: converts a model to several formats and selects the best one.

Every format is converted, verified and compared with the source on the same pictures.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from converter.errors import AccuracyError
from converter.inspection import inspect_model
from converter.masks.comparison import Comparison, predict_converted
from converter.masks.float_models import to_tflite
from converter.masks.verification import Verification, make_card, verify
from converter.progress import print_message, progress_step
from edge_agent.errors import ModelError
from edge_agent.vision.tflite import open_interpreter
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from converter.masks.calibration import CalibrationSet
    from converter.masks.comparison import Predictions
    from converter.masks.float_models import FloatModel
    from converter.tflite_conversion import Format
    from edge_agent.vision.card import ClassifierCard

NOTABLE_LOSS, MIN_AGREEMENT = 0.01, 0.98
"""A format with a larger loss of accuracy, or lower agreement, is listed beside the alternatives."""
MAX_BEST_LOSS = 0.005
"""Accuracy that `--format best` gives up for a smaller file."""
LATENCY_RUNS = 15
LATENCY_SECONDS = 2.0
MAX_INT16_MULTIPLY_ADDS = 60_000_000
"""int16 takes about 1 ns per multiply-add in both runtimes, on one thread of a workstation: a larger model is too slow
for several faces per second on a device."""


@dataclass(frozen=True, slots=True, eq=False)
class ConvertedModel:
    """A converted model with its card, its comparison with the source, and its single-threaded latency."""

    output_format: Format
    content: bytes
    card: ClassifierCard
    verification: Verification
    comparison: Comparison
    latency_ms: float

    @property
    def title(self) -> str:
        """The format and, for integer formats, the number of calibration pictures."""
        count = self.card.metrics["calibration_pictures"]
        has_count = self.output_format in {"int8", "int16"}
        return f"{self.output_format} of {count} pictures" if has_count else self.output_format

    @property
    def has_notable_loss(self) -> bool:
        """Whether to report the loss."""
        found = self.comparison
        return found.loss > NOTABLE_LOSS or found.agreement < MIN_AGREEMENT

    @property
    def is_accurate(self) -> bool:
        """Whether it agrees with its source, with at most half a point of accuracy lost."""
        return self.comparison.loss <= MAX_BEST_LOSS and self.comparison.agreement >= MIN_AGREEMENT


def convert_model(
    model: FloatModel,
    output_format: Format,
    *,
    name: str,
    calibration: CalibrationSet,
    shown: CalibrationSet,
    source: Predictions,
) -> ConvertedModel:
    """Convert to one format and verify it; `source` are the float model's predictions for the pictures of `shown`.

    Raises:
        ModelError: TensorFlow cannot convert it, or a runtime cannot run it.
    """
    content = to_tflite(model, output_format, pixels=calibration.pixels)
    # By the model alone, so that a busy or slow machine makes the same choice as any other.
    multiply_adds = inspect_model(content, name=name).multiply_adds
    if output_format == "int16" and multiply_adds > MAX_INT16_MULTIPLY_ADDS:
        raise ModelError(
            f"int16: {multiply_adds / 1e6:.0f} million multiply-adds per face, for which the runtimes have no fast "
            "kernel"
        )
    with progress_step(f"verifying {output_format}"):
        latency_ms = _latency_ms(content, name)
        card = make_card(
            content,
            model.network,
            model.settings,
            name=name,
            metrics={"format": output_format, "calibration_pictures": len(calibration)},
        )
        verification = verify(content, card)
    converted = predict_converted(content, card, shown.pixels)
    return ConvertedModel(
        output_format, content, card, verification, Comparison(source, converted, shown.labels), latency_ms
    )


def convert_smallest(
    convert_to: Callable[[Format, CalibrationSet], ConvertedModel], calibration: CalibrationSet
) -> list[ConvertedModel]:
    """int8, or all other formats if int8 fails or does not work in every runtime.

    Raises:
        ModelError: that of int8, if no other format works either.
    """
    try:
        return [convert_to("int8", calibration)]
    except ModelError as error:
        alternatives = convert_alternatives(convert_to, calibration, calibration)
        if not alternatives:
            raise
        print_message(f"skipped: {error}")
        return alternatives


def convert_alternatives(
    convert_to: Callable[[Format, CalibrationSet], ConvertedModel], calibration: CalibrationSet, more: CalibrationSet
) -> list[ConvertedModel]:
    """The alternatives to an int8 with too much loss, smaller ones first; formats that no runtime runs are skipped.

    float32 is the last resort.
    """
    attempts: list[tuple[Format, CalibrationSet]] = [
        ("int16", calibration),
        ("float16", calibration),
        ("float32", calibration),
    ]
    if len(more) > len(calibration):
        attempts.insert(0, ("int8", more))
    converted: list[ConvertedModel] = []
    for output_format, pictures in attempts:
        if output_format == "float32" and any(model.is_accurate for model in converted):
            continue
        try:
            converted.append(convert_to(output_format, pictures))
        except ModelError as error:
            print_message(f"skipped: {error}")
    return converted


def select_best(converted: Sequence[ConvertedModel]) -> ConvertedModel:
    """The smallest that agrees with its source, or the one with the least loss if none does."""
    good = [model for model in converted if model.is_accurate]
    if good:
        return min(good, key=lambda model: len(model.content))
    return min(converted, key=lambda model: (model.comparison.loss, -model.comparison.agreement))


def format_table(converted: Sequence[ConvertedModel]) -> list[str]:
    """A table of accuracy, agreement, size in bytes and latency."""
    width = max(len(model.title) for model in converted)
    return [
        f"{model.title:{width}}  accuracy {model.comparison.converted.accuracy(model.comparison.truths)!s:22} "
        f"agreement {model.comparison.agreement:6.1%}  {len(model.content):>9} bytes  {model.latency_ms:7.2f} ms"
        for model in converted
    ]


def check_loss(converted: ConvertedModel, alternatives: Sequence[ConvertedModel]) -> None:
    """Check the accuracy of a format, by itself and relative to its source.

    Raises:
        AccuracyError: it is chance, or the loss of accuracy or, without known labels, of agreement is too large.
    """
    found = converted.comparison
    unacceptable_loss = found.unacceptable_loss
    if not unacceptable_loss and found.converted.is_chance(found.truths):
        accuracy = found.converted.accuracy(found.truths)
        raise AccuracyError(
            f"{converted.card.name}: {converted.title}: {accuracy.hits} of {accuracy.of} labelled pictures are correct "
            f"after the conversion, which is chance over all labels; state its preprocessing and --labels, or --force"
        )
    if not unacceptable_loss:
        return
    best = select_best([converted, *alternatives])
    advice = "more and more varied calibration pictures"
    if best.output_format != converted.output_format and not (
        best.comparison.unacceptable_loss or best.comparison.converted.is_chance(found.truths)
    ):
        advice = f"--format {best.output_format}"
    raise AccuracyError(
        f"{converted.card.name}: {converted.title}: {unacceptable_loss} compared with its source; use {advice}, or "
        "--force"
    )


def _latency_ms(content: bytes, name: str) -> float:
    """Median latency of several inferences on one thread, or fewer of a slow network."""
    with quiet_tensorflow():
        interpreter = open_interpreter(content, name=name)
    tensor = interpreter.inputs[0]
    face = np.zeros(tensor.shape, tensor.dtype)
    times: list[float] = []
    while len(times) < LATENCY_RUNS and sum(times) < LATENCY_SECONDS:
        began = time.perf_counter()
        interpreter.run(face)
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))
