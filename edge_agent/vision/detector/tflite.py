"""The project's detector: TFLite networks with a card, one per input size."""

from __future__ import annotations

import math
import threading
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.domain import Box, Face, Picture
from edge_agent.errors import ModelError, PictureError
from edge_agent.vision.card import GOLDEN_TOLERANCE, DetectorCard, InputCard, read_detector_card
from edge_agent.vision.detector.decoding import BOX_CHANNELS, SCORE_CHANNELS, Level, decode
from edge_agent.vision.detector.scaling import faces_inside, fitting_scale, letterboxed
from edge_agent.vision.tensors import input_conversion
from edge_agent.vision.tflite import Interpreter, RuntimeChoice, Tensor, open_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

COLOURS = 3
GOLDEN_OVERLAP = 0.7
"""Least IoU with a golden box: rounding changes it by far less, a wrong scale or colour order by far more."""


class TfliteDetector:
    """The networks of one card, one per input size; thread-safe."""

    def __init__(
        self,
        card: DetectorCard,
        open_interpreters: Sequence[Callable[[], Interpreter]],
        *,
        name: str,
        min_score: float,
        min_face_px: float,
        sha256: str = "",
    ) -> None:
        """Networks are opened when needed: each takes 12 MB, and a camera uses one of them.

        `sha256` is that of the card's file, if it has one.

        `min_face_px` is the shorter side, in pixels of the picture, of the smallest face to detect. It determines the
        input size; smaller faces that are detected anyway are returned, too.
        """
        self.card = card
        self.sha256 = sha256
        self._open_interpreters = tuple(open_interpreters)
        self._name = name
        self._min_score = min_score
        # The smallest face to detect is then just large enough for the network.
        self._wanted_scale = card.smallest_px / min_face_px
        self._sizes = [(file.input.width, file.input.height) for file in card.files]
        self._networks: dict[int, _Network] = {}
        self._opening = threading.Lock()

    def detect(self, picture: Picture, *, min_score: float | None = None) -> list[Face]:
        """Detect faces, as `FaceDetector`; none in an empty picture.

        Raises:
            ModelError: the network for this picture size does not match the card.
            PictureError: the pixels are not BGR, uint8.
        """
        if isinstance(picture, np.ndarray) and (picture.dtype != np.uint8 or picture.shape[2:] != (COLOURS,)):
            raise PictureError(
                "detection needs BGR pixels, uint8; these are "
                f"{picture.dtype} of shape {picture.shape}: convert them first"
            )
        height, width = picture.shape[:2]
        if not picture.nbytes:
            return []
        chosen = choose_input(self._sizes, (width, height), self._wanted_scale)
        with self._opening:
            if chosen not in self._networks:
                self._networks[chosen] = self._opened(chosen)
        return self._networks[chosen].detect(picture, min_score=self._min_score if min_score is None else min_score)

    def _opened(self, number: int) -> _Network:
        file = self.card.files[number]
        return _Network(
            file.input, self.card.strides, self._open_interpreters[number](), name=f"{self._name}: {file.file}"
        )

    def check_golden(self) -> None:
        """Run every network on the card's picture, and compare the faces with those of the card.

        Raises:
            ModelError: shapes, dtypes or faces differ from the card.
        """
        picture = self.card.golden_image()
        for number, file in enumerate(self.card.files):
            network = self._opened(number)
            lowest = min(golden.score for golden in file.golden) - GOLDEN_TOLERANCE
            found = network.detect(picture, min_score=max(lowest, 0.0))
            for golden in file.golden:
                if not any(_is_same(face, Box(*golden.box), golden.score) for face in found):
                    raise ModelError(
                        f"{self._name}: {file.file} does not find the golden face in {network.runtime}; the model "
                        "would miss faces on this device: choose another runtime, or convert the model again"
                    )


class _Network:
    """The network for one input size."""

    def __init__(self, card: InputCard, strides: Sequence[int], interpreter: Interpreter, *, name: str) -> None:
        self._card = card
        self._interpreter = interpreter
        self.runtime = interpreter.runtime
        self._pairs = _paired(interpreter, card, strides, name=name)
        tensor = interpreter.inputs[0]
        self._to_input = input_conversion(card, scale=tensor.scale, zero_point=tensor.zero_point)

    def detect(self, picture: Picture, *, min_score: float) -> list[Face]:
        """Detect the faces of a picture, in its pixels."""
        pixels, back = letterboxed(picture, width_px=self._card.width, height_px=self._card.height)
        if self._card.colour_order == "rgb":
            pixels = pixels[..., ::-1]
        outputs = [*map(_real, self._interpreter.run(self._to_input(pixels)), self._interpreter.outputs)]
        levels = [Level(stride, outputs[logits], outputs[boxes]) for stride, logits, boxes in self._pairs]
        boxes, scores = decode(levels, min_score=min_score)
        found = [(Box(*box), score) for box, score in zip((boxes * back).tolist(), scores.tolist(), strict=True)]
        return faces_inside(found, picture)


def open_tflite_detector(
    card_file: Path,
    *,
    min_score: float | None,
    min_face_px: float,
    runtime: RuntimeChoice = "auto",
    threads: int = 1,
    copies: int = 1,
) -> TfliteDetector:
    """Load a card with its networks, and check the golden faces.

    `min_score` None: that of the card. `copies` is the number of threads that can use it at once.

    Raises:
        ModelError: a file is missing or damaged, or card, networks and runtime do not match.
    """
    card, contents, sha256 = read_detector_card(card_file)
    least = card.min_score if min_score is None else min_score

    def opened(copies: int) -> TfliteDetector:
        openers = [
            partial(
                open_interpreter,
                content,
                name=str(card_file.parent / file.file),
                runtime=runtime,
                threads=threads,
                copies=copies,
            )
            for file, content in zip(card.files, contents, strict=True)
        ]
        return TfliteDetector(
            card, openers, name=str(card_file), min_score=least, min_face_px=min_face_px, sha256=sha256
        )

    opened(copies=1).check_golden()
    return opened(copies)


def choose_input(inputs: Sequence[tuple[int, int]], image_size: tuple[int, int], wanted_scale: float) -> int:
    """Index of the input with the shortest longer side that has at least the wanted scale, or else the largest scale.

    Of inputs with the same longer side, that with the largest scale, so that a small picture is not scaled down to save
    time; of those with the same scale, the smallest. Sizes are (width, height) in pixels.
    """

    def rank(number: int) -> tuple[float, float, int]:
        width, height = inputs[number]
        scale = fitting_scale(image_size, (width, height))
        return max(width, height) if scale >= wanted_scale else math.inf, -scale, width * height

    return min(range(len(inputs)), key=rank)


def _paired(
    interpreter: Interpreter, card: InputCard, strides: Sequence[int], *, name: str
) -> list[tuple[int, int, int]]:
    """For each stride the numbers of its outputs, logits and boxes, by their shapes: converters order them arbitrarily.

    Raises:
        ModelError: input or outputs do not match the card.
    """
    taken = interpreter.inputs[0]
    by_shape = {tensor.shape: number for number, tensor in enumerate(interpreter.outputs)}
    wanted_input = ((1, card.height, card.width, 3), card.dtype)
    if (taken.shape, taken.dtype.name) != wanted_input:
        raise ModelError(
            f"{name}: the card does not fit: input {taken.shape} {taken.dtype.name} against {wanted_input[0]} "
            f"{wanted_input[1]}; reinstall both"
        )
    pairs = []
    for stride in strides:
        cells = (1, card.height // stride, card.width // stride)
        logits, boxes = by_shape.get((*cells, SCORE_CHANNELS)), by_shape.get((*cells, BOX_CHANNELS))
        if logits is None or boxes is None:
            shapes = ", ".join(str(shape) for shape in by_shape)
            raise ModelError(f"{name}: no face detector with stride {stride}: its outputs are {shapes}; reinstall both")
        pairs.append((stride, logits, boxes))
    return pairs


def _real(output: NDArray[np.generic], tensor: Tensor) -> NDArray[np.float32]:
    """Dequantized values of an output without its batch axis; a scale of 0 means that it is not quantized."""
    values = output[0].astype(np.float32)
    if tensor.scale:
        values = (values - np.float32(tensor.zero_point)) * np.float32(tensor.scale)
    return np.asarray(values, np.float32)


def _is_same(face: Face, box: Box, score: float) -> bool:
    return face.box.overlap(box) >= GOLDEN_OVERLAP and abs(face.score - score) <= GOLDEN_TOLERANCE
