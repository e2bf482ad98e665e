"""Making: converts a model to several formats and chooses the best one.

Every format is converted, proven and compared with the source on the same pictures.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from converter.errors import GateError
from converter.masks.comparison import Comparison, answers_of_converted
from converter.masks.conversion import to_tflite
from converter.masks.proof import Proof, make_card, prove
from converter.progress import print_message, working
from converter.silence import quiet_tensorflow
from edge_agent.errors import ModelError
from edge_agent.vision.tflite import open_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from converter.masks.calibration import CalibrationSet
    from converter.masks.comparison import Answers
    from converter.masks.float_models import FloatModel
    from converter.tflite_conversion import Format
    from edge_agent.vision.card import ClassifierCard

WORTH_NAMING_LOSS, WORTH_NAMING_AGREEMENT = 0.01, 0.98
"""A format with a larger loss of accuracy, or lower agreement, is listed beside the alternatives."""
BEST_LOSS = 0.005
"""Accuracy that `--format best` gives up for a smaller file."""
MEASURED_READINGS = 15
SLOWEST_MS = 60.0
"""A model this slow on a workstation is too slow for several faces per second on a device."""


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A converted model with its card, its comparison with the source, and its single-threaded latency."""

    form: Format
    content: bytes
    card: ClassifierCard
    proof: Proof
    comparison: Comparison
    latency_ms: float

    @property
    def title(self) -> str:
        """The format and, for integer formats, the number of calibration pictures."""
        count = self.card.metrics["calibration_pictures"]
        return f"{self.form} of {count} pictures" if self.form in {"int8", "int16"} else self.form

    @property
    def loss_is_worth_naming(self) -> bool:
        """Whether to report the loss."""
        found = self.comparison
        return found.loss > WORTH_NAMING_LOSS or found.agreement < WORTH_NAMING_AGREEMENT

    @property
    def is_good(self) -> bool:
        """Whether it agrees with its source, with at most half a point of accuracy lost."""
        return self.comparison.loss <= BEST_LOSS and self.comparison.agreement >= WORTH_NAMING_AGREEMENT


def make(
    model: FloatModel, form: Format, *, name: str, calibration: CalibrationSet, shown: CalibrationSet, source: Answers
) -> Made:
    """Convert to one format and prove it; `source` holds the float model's answers on the pictures of `shown`.

    Raises:
        ModelError: TensorFlow cannot convert it, or a runtime cannot run it.
    """
    content = to_tflite(model, form, pixels=calibration.pixels)
    with working(f"verifying {form}"):
        latency_ms = _latency_ms(content, name)
        if form == "int16" and latency_ms > SLOWEST_MS:
            raise ModelError(f"int16: {latency_ms:.0f} ms a reading, the runtimes here have no fast kernel for it")
        card = make_card(
            content,
            model.network,
            model.choices,
            name=name,
            metrics={"format": form, "calibration_pictures": len(calibration)},
        )
        proof = prove(content, card)
    converted = answers_of_converted(content, card, shown.pixels)
    return Made(form, content, card, proof, Comparison(source, converted, shown.labels), latency_ms)


def make_smallest(make_one: Callable[[Format, CalibrationSet], Made], calibration: CalibrationSet) -> list[Made]:
    """int8, or all other formats if int8 fails or does not work in every runtime.

    Raises:
        ModelError: that of int8, if no other format works either.
    """
    try:
        return [make_one("int8", calibration)]
    except ModelError as error:
        others = make_others(make_one, calibration, calibration)
        if not others:
            raise
        print_message(f"skipped: {error}")
        return others


def make_others(
    make_one: Callable[[Format, CalibrationSet], Made], calibration: CalibrationSet, more: CalibrationSet
) -> list[Made]:
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
    made: list[Made] = []
    for form, pictures in attempts:
        if form == "float32" and any(one.is_good for one in made):
            continue
        try:
            made.append(make_one(form, pictures))
        except ModelError as error:
            print_message(f"skipped: {error}")
    return made


def best_of(made: Sequence[Made]) -> Made:
    """The smallest that agrees with its source, or the one with the least loss if none does."""
    good = [one for one in made if one.is_good]
    if good:
        return min(good, key=lambda one: len(one.content))
    return min(made, key=lambda one: (one.comparison.loss, -one.comparison.agreement))


def side_by_side(made: Sequence[Made]) -> list[str]:
    """A table of accuracy, agreement, size in bytes and latency."""
    width = max(len(one.title) for one in made)
    return [
        f"{one.title:{width}}  accuracy {one.comparison.converted.right(one.comparison.truths)!s:22} "
        f"agreement {one.comparison.agreement:6.1%}  {len(one.content):>9} bytes  {one.latency_ms:7.2f} ms"
        for one in made
    ]


def refuse_ruined(made: Made, others: Sequence[Made]) -> None:
    """Check the loss of a format relative to its source.

    Raises:
        GateError: the loss of accuracy or, without known labels, of agreement is too large.
    """
    ruin = made.comparison.ruin
    if not ruin:
        return
    best = best_of([made, *others])
    advice = f"--format {best.form}" if best.form != made.form else "more and more varied calibration pictures"
    raise GateError(f"{made.card.name}: {made.title} reads {ruin} its source; give {advice}, or --force")


def _latency_ms(content: bytes, name: str) -> float:
    """Median latency of several inferences on one thread."""
    with quiet_tensorflow():
        interpreter = open_interpreter(content, name=name)
    tensor = interpreter.inputs[0]
    face = np.zeros(tensor.shape, tensor.dtype)
    times = []
    for _ in range(MEASURED_READINGS):
        began = time.perf_counter()
        interpreter.run(face)
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))
