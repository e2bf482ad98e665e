"""TFLite detector: chooses the input size, decodes its outputs, and rejects what does not fit."""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.domain import Box, Image
from edge_agent.errors import ModelError, PictureError
from edge_agent.vision.card import DetectorCard, DetectorFile, GoldenFace, InputCard, read_detector_card
from edge_agent.vision.detector.tflite import TfliteDetector, choose_input, open_tflite_detector
from edge_agent.vision.tflite import Tensor

STRIDES = (8, 16)
SCALE, ZERO_POINT = 0.1, 128


def tensor(index: int, shape: tuple[int, ...], *, scale: float = SCALE, zero_point: int = ZERO_POINT) -> Tensor:
    return Tensor(index, f"tensor {index}", shape, np.dtype(np.uint8), scale, zero_point)


class BrightCells:
    """A fake interpreter that detects a face, two cells wide, at every 16 px cell with a bright centre."""

    runtime = "litert"

    def __init__(self, width: int, height: int) -> None:
        self.inputs = (tensor(0, (1, height, width, 3), scale=1.0, zero_point=0),)
        # Boxes before logits, small cells last: converters write outputs in any order.
        shapes = [(1, height // stride, width // stride, channels) for stride in (16, 8) for channels in (4, 2)]
        self.outputs = tuple(tensor(number, shape) for number, shape in enumerate(shapes, 1))
        self.inputs_run: list[Any] = []

    def run(self, value: Any) -> list[Any]:
        self.inputs_run.append(value)
        answers = [np.full(output.shape, ZERO_POINT, np.uint8) for output in self.outputs]
        bright = value[0, 8::16, 8::16, 0] > 100
        answers[0][0, ..., :2] = ZERO_POINT + 5  # the centre of the cell
        answers[0][0, ..., 2:] = ZERO_POINT + 7  # e ** 0.7, two cells
        answers[1][0] = np.where(bright, ZERO_POINT + 60, 0)[..., None]
        answers[3][0] = 0
        return answers


def as_png(image: Image) -> str:
    return base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()


def a_picture(width: int, height: int, *, face: tuple[int, int] | None) -> Image:
    """A black picture with a white square of 16 px in it."""
    image = np.zeros((height, width, 3), np.uint8)
    if face is not None:
        x, y = face
        image[y : y + 16, x : x + 16] = 255
    return image


GOLDEN_BOX = (40 - 16.1, 24 - 16.1, 40 + 16.1, 24 + 16.1)


def a_card(*sizes: tuple[int, int], smallest_px: float = 16, golden_score: float = 0.99) -> DetectorCard:
    files = [
        DetectorFile(
            file=f"faces-{width}x{height}.tflite",
            sha256=hashlib.sha256(b"").hexdigest(),
            size_bytes=1,
            input=InputCard(width=width, height=height, colour_order="bgr", dtype="uint8", scale=1.0, zero_point=0),
            golden=(GoldenFace(box=GOLDEN_BOX, score=golden_score),),
        )
        for width, height in sizes
    ]
    return DetectorCard(
        name="bright cells",
        files=tuple(files),
        strides=STRIDES,
        smallest_px=smallest_px,
        golden_picture=as_png(a_picture(64, 64, face=(32, 16))),
    )


def itself(interpreter: Any) -> Any:
    return interpreter


def a_detector(*sizes: tuple[int, int], min_face_px: float = 8, min_score: float = 0.5, **card: float):
    interpreters: list[Any] = [BrightCells(*size) for size in sizes]
    detector = TfliteDetector(
        a_card(*sizes, **card),
        [partial(itself, interpreter) for interpreter in interpreters],
        name="faces.json",
        min_score=min_score,
        min_face_px=min_face_px,
    )
    return detector, interpreters


def test_a_face_is_found_in_pixels_of_the_picture():
    detector, _ = a_detector((64, 64))

    faces = detector.detect(a_picture(64, 64, face=(32, 16)))

    assert len(faces) == 1
    assert faces[0].box.overlap(Box(*GOLDEN_BOX)) > 0.95
    assert faces[0].score == pytest.approx(0.998, abs=0.01)


def test_boxes_of_a_scaled_picture_are_in_its_pixels():
    detector, _ = a_detector((64, 64))
    large = cv2.resize(a_picture(64, 64, face=(32, 16)), (256, 256), interpolation=cv2.INTER_NEAREST)

    assert detector.detect(large)[0].box.overlap(Box(*(4 * side for side in GOLDEN_BOX))) > 0.95


def test_boxes_stay_inside_the_picture():
    detector, _ = a_detector((64, 64))

    box = detector.detect(a_picture(64, 64, face=(48, 48)))[0].box

    assert (box.x2, box.y2) == (64, 64)


def test_a_face_below_the_minimum_size_is_still_detected():
    detector, _ = a_detector((64, 64), min_face_px=40)

    assert len(detector.detect(a_picture(64, 64, face=(32, 16)))) == 1


@pytest.mark.parametrize(
    ("picture", "wanted_scale", "chosen"),
    [
        ((640, 480), 0.5, (320, 256)),  # large enough, and the cheapest
        ((640, 480), 0.75, (512, 384)),
        ((640, 480), 3.0, (512, 384)),  # none is enough: the one that shows most
        ((480, 640), 0.75, (384, 512)),
        ((640, 360), 0.75, (512, 288)),  # as large a picture as in 512x384, without unused rows
        ((360, 640), 0.75, (384, 512)),
        ((400, 300), 0.9, (512, 384)),  # a small picture is not scaled down to 512x288
        ((1, 8000), 0.01, (320, 256)),
    ],
)
def test_the_input_is_chosen_by_the_picture_and_the_smallest_face(picture, wanted_scale, chosen):
    inputs = [(512, 384), (384, 512), (320, 256), (512, 288)]

    assert inputs[choose_input(inputs, picture, wanted_scale)] == chosen


def test_the_detector_runs_only_the_network_it_chose():
    detector, (landscape, portrait) = a_detector((128, 64), (64, 128))

    detector.detect(a_picture(100, 300, face=None))

    assert (len(landscape.inputs_run), len(portrait.inputs_run)) == (0, 1)


@pytest.mark.parametrize("shape", [(1, 640), (640, 1), (1, 1), (5, 8000), (3000, 20)])
def test_a_picture_of_any_shape_is_accepted(shape):
    detector, _ = a_detector((64, 64))

    assert detector.detect(np.zeros((*shape, 3), np.uint8)) == []


def test_an_empty_picture_has_no_face():
    detector, interpreters = a_detector((64, 64))

    assert detector.detect(np.zeros((0, 64, 3), np.uint8)) == []
    assert not interpreters[0].inputs_run


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 1), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.uint16),
        np.zeros((64, 64, 3), np.float32),
    ],
    ids=["grey", "one channel", "four channels", "16 bit", "float"],
)
def test_pixels_of_another_layout_are_rejected(pixels):
    detector, _ = a_detector((64, 64))

    with pytest.raises(PictureError, match="BGR pixels, uint8; these are"):
        detector.detect(pixels)


def test_only_the_network_for_the_size_of_the_pictures_is_opened():
    opened: list[str] = []

    def opener(name: str, interpreter: Any) -> Any:
        opened.append(name)
        return interpreter

    detector = TfliteDetector(
        a_card((64, 64), (128, 64)),
        [partial(opener, "square", BrightCells(64, 64)), partial(opener, "wide", BrightCells(128, 64))],
        name="faces.json",
        min_score=0.5,
        min_face_px=8,
    )

    for _ in range(3):
        detector.detect(a_picture(128, 64, face=(32, 16)))

    assert opened == ["wide"]


def test_a_card_for_another_input_is_refused():
    interpreter: Any = BrightCells(64, 32)
    detector = TfliteDetector(a_card((64, 64)), [lambda: interpreter], name="faces.json", min_score=0.5, min_face_px=16)

    with pytest.raises(ModelError, match=r"faces-64x64.tflite: the card does not fit: input \(1, 32, 64, 3\)"):
        detector.check_golden()


def test_a_network_with_other_outputs_is_rejected():
    other: Any = BrightCells(64, 64)
    other.outputs = (tensor(1, (1, 2)),)
    detector = TfliteDetector(a_card((64, 64)), [lambda: other], name="faces.json", min_score=0.5, min_face_px=16)

    with pytest.raises(ModelError, match=r"no face detector with stride 8: its outputs are \(1, 2\)"):
        detector.check_golden()


def test_a_runtime_that_finds_the_golden_face_passes():
    detector, _ = a_detector((64, 64))

    detector.check_golden()


def test_a_runtime_with_other_scores_for_the_golden_face_is_rejected():
    detector, _ = a_detector((64, 64), golden_score=0.6)

    with pytest.raises(ModelError, match=r"faces-64x64\.tflite does not find the golden face in litert"):
        detector.check_golden()


def test_a_missing_card_is_reported(tmp_path):
    with pytest.raises(ModelError, match="no such card of a face detector; 'edge-agent models'"):
        open_tflite_detector(tmp_path / "faces.json", min_score=0.6, min_face_px=24)


def test_a_card_of_a_mask_classifier_is_rejected(tmp_path):
    (tmp_path / "faces.json").write_text('{"schema": "maskwatch.card/1", "kind": "mask_classifier"}')

    # Only this mistake, and not those that follow from it.
    with pytest.raises(ModelError, match=r"not a card of a face detector: kind: [^;]*$"):
        read_detector_card(tmp_path / "faces.json")


def test_a_network_that_differs_from_its_card_is_refused(tmp_path):
    (tmp_path / "faces.json").write_text(a_card((64, 64)).to_json())
    (tmp_path / "faces-64x64.tflite").write_bytes(b"damaged")

    with pytest.raises(ModelError, match=r"SHA-256 differs from faces\.json"):
        read_detector_card(tmp_path / "faces.json")


def test_bytes_that_are_not_a_network_are_rejected(tmp_path):
    (tmp_path / "faces.json").write_text(a_card((64, 64)).to_json())
    (tmp_path / "faces-64x64.tflite").write_bytes(b"")

    with pytest.raises(ModelError, match="not a TFLite model"):
        open_tflite_detector(tmp_path / "faces.json", min_score=0.6, min_face_px=24)


def test_an_input_size_not_divisible_by_the_cells_is_rejected():
    with pytest.raises(ValueError, match="60x64 is not a multiple of the strides"):
        a_card((60, 64))
