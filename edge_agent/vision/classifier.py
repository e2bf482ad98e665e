"""Mask classifier: classifies how a face wears its mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.domain import Box, Label, Picture
from edge_agent.errors import ModelError
from edge_agent.vision.card import GOLDEN_TOLERANCE, ClassifierCard, read_classifier_card
from edge_agent.vision.tensors import face_pixels, face_region, input_conversion, probabilities
from edge_agent.vision.tflite import Interpreter, RuntimeChoice, open_interpreter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Classification:
    """The result for one detection.

    `scores` holds one probability per label in use and sums to 1. `is_face` is false for a probable false detection,
    whose label is meaningless.
    """

    label: Label
    scores: Mapping[Label, float]
    is_face: bool = True

    @property
    def score(self) -> float:
        """The probability of the label, 0..1."""
        return self.scores[self.label]


class MaskClassifier:
    """A TFLite classifier with its card; thread-safe."""

    def __init__(
        self, interpreter: Interpreter, card: ClassifierCard, *, name: str, labels: Sequence[Label] = ()
    ) -> None:
        """Check the model against its card. `labels` are those in use; empty: all of the card.

        Raises:
            ModelError: shapes, dtypes or number of labels differ from the card, or the model lacks one of `labels`.
        """
        self.card = card
        self.labels: tuple[Label, ...] = tuple(labels) or card.labels
        if missing := set(self.labels) - set(card.labels):
            raise ModelError(
                f"{name}: has no label {', '.join(sorted(missing))}, only {', '.join(card.labels)}: correct "
                "masks.labels or choose another model"
            )
        self._name = name
        self._interpreter = interpreter
        self.runtime = interpreter.runtime
        _check_tensors(interpreter, card, name=name)
        tensor = interpreter.inputs[0]
        self._to_input = input_conversion(card.input, scale=tensor.scale, zero_point=tensor.zero_point)

    def classify(self, picture: Picture, box: Box) -> Classification:
        """Classify one detection in a picture."""
        region = face_region(box, margin_fraction=self.card.margin_fraction)
        return self._classified(self.outputs(picture, region))

    def scores(self, picture: Picture, region: Box) -> Mapping[Label, float]:
        """The probabilities of the labels for a region, which is scaled to the model's input."""
        return self._classified(self.outputs(picture, region)).scores

    def outputs(self, picture: Picture, region: Box) -> NDArray[np.float64]:
        """All outputs for a region as probabilities that sum to 1: shape (outputs,)."""
        values = self.card.input
        pixels = face_pixels(
            picture,
            region,
            width_px=values.width,
            height_px=values.height,
            colour_order=values.colour_order,
            resampling=self.card.resampling,
        )
        output = self._interpreter.run(self._to_input(pixels))[0]
        return probabilities(output, self.card.output, temperature=self.card.temperature)

    def outputs_of_whole(self, picture: Picture) -> NDArray[np.float64]:
        """The same for a whole picture as region."""
        return self.outputs(picture, Box(0, 0, picture.shape[1], picture.shape[0]))

    def _classified(self, outputs: NDArray[np.float64]) -> Classification:
        """Normalise the outputs over the labels in use."""
        by_label = dict(zip(self.card.labels, outputs.tolist(), strict=False))
        total = sum(by_label[label] for label in self.labels)
        scores = {label: by_label[label] / total for label in self.labels}
        threshold = self.card.no_face_threshold
        is_face = threshold is None or float(outputs[-1]) <= threshold
        return Classification(self.card.decide(scores), scores, is_face)

    def check_golden(self) -> None:
        """Classify the card's pictures and compare the scores with those of the card.

        Raises:
            ModelError: the scores differ by more than GOLDEN_TOLERANCE.
        """
        for number, golden in enumerate(self.card.golden, 1):
            apart = float(np.abs(self.outputs_of_whole(golden.image()) - np.array(golden.scores)).max())
            if apart > GOLDEN_TOLERANCE:
                raise ModelError(
                    f"{self._name}: golden vector {number} differs by {apart:.2f} in {self.runtime}; the model "
                    "would misclassify masks on this device: choose another runtime, or convert the model again"
                )


def open_classifier(
    model: Path,
    *,
    runtime: RuntimeChoice = "auto",
    threads: int = 1,
    copies: int = 1,
    labels: Sequence[Label] = (),
) -> MaskClassifier:
    """Load a mask classifier and its card, and check that they match and that the runtime computes correctly.

    `copies` is the number of threads that can use it at once.

    Raises:
        ModelError: a file is missing or damaged, or card, model and runtime do not match.
    """
    card, content = read_classifier_card(model)
    interpreter = open_interpreter(content, name=str(model), runtime=runtime, threads=threads, copies=copies)
    classifier = MaskClassifier(interpreter, card, name=str(model), labels=labels)
    classifier.check_golden()
    return classifier


def _check_tensors(interpreter: Interpreter, card: ClassifierCard, *, name: str) -> None:
    taken = interpreter.inputs[0]
    given = interpreter.outputs[0]
    wanted = {
        "inputs": (len(interpreter.inputs), 1),
        "outputs": (len(interpreter.outputs), 1),
        "input shape": (taken.shape, (1, card.input.height, card.input.width, 3)),
        "input dtype": (taken.dtype.name, card.input.dtype),
        "outputs per face": (int(np.prod(given.shape)), card.outputs),
        "output dtype": (given.dtype.name, card.output.dtype),
    }
    wrong = [f"{what} {actual} against {stated}" for what, (actual, stated) in wanted.items() if actual != stated]
    # A float output is not quantized: its scale is 0 in the tensor and 1 on the card.
    if given.scale and not np.allclose((given.scale, given.zero_point), (card.output.scale, card.output.zero_point)):
        wrong.append(f"output scale {given.scale:g} against {card.output.scale:g}")
    if taken.dtype.kind in "iu" and not taken.scale:
        wrong.append(f"{taken.dtype.name} input without a scale")
    if wrong:
        raise ModelError(f"{name}: the card does not fit the model: {', '.join(wrong)}; reinstall both")
