"""Verification: checks a detector's networks against its card in every runtime of the device."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from converter.drawn_faces import as_png, drawn_faces
from converter.faces.conversion import InputSize
from converter.tflite_conversion import versions
from edge_agent.errors import ConfigError, ModelError
from edge_agent.vision.card import DetectorCard, DetectorFile, GoldenFace, InputCard
from edge_agent.vision.detector.tflite import TfliteDetector
from edge_agent.vision.tflite import open_interpreter, probe_runtimes
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from converter.faces.conversion import TrainedDetector
    from edge_agent.domain import Face, Image
    from edge_agent.vision.tflite import RuntimeName

GOLDEN_SCORE = 0.5
"""Golden faces must exceed this score in every size, or they would show nothing."""
_FACE_SHARES = (0.3, 0.4, 0.5, 0.6)
_GOLDEN_WIDTH_PX, _GOLDEN_HEIGHT_PX = 160, 120
_GROUND = (150, 140, 120)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""That of a card's files begins with it (`DetectorFile.file`)."""


def check_name(name: str) -> None:
    """Check that a detector can have this name, after which its files are named.

    Raises:
        ConfigError: a card does not allow it.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name '{name}': use letters, digits, '_', '.' and '-' only; files are named after it")


def make_detector_card(
    detector: TrainedDetector, contents: Mapping[InputSize, bytes], *, name: str, smallest_px: float
) -> DetectorCard:
    """Describe converted networks, with a golden picture in which each network finds a face in every runtime.

    Raises:
        ModelError: no runtime can run a network, or a network finds none of the drawn faces.
    """
    card = DetectorCard(
        name=name,
        files=tuple(_file(content, size, name=name) for size, content in contents.items()),
        strides=detector.strides,
        smallest_px=smallest_px,
        golden_picture=as_png(next(_golden_pictures())),
        training_data=list(detector.training_data),
        metrics={"validation": dict(detector.metrics)},
        versions=versions(),
    )
    with quiet_tensorflow():
        runtimes = _working_runtimes(next(iter(contents.values())), name=name)
        for picture in _golden_pictures():
            candidate_card = _with_golden(card, list(contents.values()), picture, runtimes)
            if candidate_card is not None:
                return candidate_card
    raise ModelError(f"{name}: no network finds any of the drawn faces in every runtime; train it longer")


def verify_detector(card: DetectorCard, contents: Sequence[bytes]) -> None:
    """Check that every network finds the golden face in every runtime available here.

    Raises:
        ModelError: a network fails, or no runtime works.
    """
    with quiet_tensorflow():
        for runtime in _working_runtimes(contents[0], name=card.name):
            openers = [partial(open_interpreter, content, name=card.name, runtime=runtime) for content in contents]
            detector = TfliteDetector(card, openers, name=card.name, min_score=GOLDEN_SCORE, min_face_px=1)
            detector.check_golden()


def renamed(card: DetectorCard, name: str) -> DetectorCard:
    """The card and its networks under another name."""
    files = tuple(
        file.model_copy(update={"file": network_file(name, InputSize(file.input.width, file.input.height))})
        for file in card.files
    )
    return card.model_copy(update={"name": name, "files": files})


def detector_files(card: DetectorCard, contents: Sequence[bytes], *, folder: Path) -> dict[Path, bytes]:
    """The files of a detector for writing them together; the card comes first."""
    networks = {folder / file.file: content for file, content in zip(card.files, contents, strict=True)}
    return {folder / f"{card.name}.json": card.to_json().encode(), **networks}


def _working_runtimes(content: bytes, *, name: str) -> list[RuntimeName]:
    runtimes = [probe.runtime for probe in probe_runtimes(content) if probe.works]
    if not runtimes:
        raise ModelError(f"{name}: no runtime of the device can run it; pip install ai-edge-litert")
    return runtimes


def network_file(name: str, size: InputSize) -> str:
    """The name of the network for an input size."""
    return f"{name}-{size.width}x{size.height}.tflite"


def _file(content: bytes, size: InputSize, *, name: str) -> DetectorFile:
    return DetectorFile(
        file=network_file(name, size),
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        input=InputCard(
            width=size.width, height=size.height, colour_order="bgr", dtype="int8", scale=1.0, zero_point=0.0
        ),
        # A placeholder until the network has been run.
        golden=(GoldenFace(box=(0, 0, 1, 1), score=0.0),),
    )


def _golden_pictures() -> Iterator[Image]:
    """Drawn faces of several sizes on a plain background; one is enough, but no detector accepts all of them."""
    for share in _FACE_SHARES:
        side = round(share * _GOLDEN_HEIGHT_PX * 1.4)
        for face in drawn_faces():
            picture = np.full((_GOLDEN_HEIGHT_PX, _GOLDEN_WIDTH_PX, 3), _GROUND, np.uint8)
            left, top = (_GOLDEN_WIDTH_PX - side) // 2, (_GOLDEN_HEIGHT_PX - side) // 2
            picture[top : top + side, left : left + side] = cv2.resize(
                face, (side, side), interpolation=cv2.INTER_CUBIC
            )
            yield picture


def _with_golden(
    card: DetectorCard, contents: Sequence[bytes], picture: Image, runtimes: Sequence[RuntimeName]
) -> DetectorCard | None:
    """The card with the faces that each network finds in this picture, if all runtimes agree."""
    files = []
    for file, content in zip(card.files, contents, strict=True):
        single_network_card = card.model_copy(update={"files": (file,)})
        found = [_most_confident_face(single_network_card, content, runtime, picture) for runtime in runtimes]
        faces = [face for face in found if face is not None and face.score >= GOLDEN_SCORE]
        if not faces or len(faces) < len(runtimes):
            return None
        box, score = faces[0].box, round(faces[0].score, 4)
        golden = GoldenFace(box=(round(box.x1, 1), round(box.y1, 1), round(box.x2, 1), round(box.y2, 1)), score=score)
        files.append(file.model_copy(update={"golden": (golden,)}))
    candidate_card = card.model_copy(update={"files": tuple(files), "golden_picture": as_png(picture)})
    try:
        verify_detector(candidate_card, contents)
    except ModelError:
        return None
    return candidate_card


def _most_confident_face(card: DetectorCard, content: bytes, runtime: RuntimeName, picture: Image) -> Face | None:
    """The most confident face that a single-network card finds in a picture."""
    opener = partial(open_interpreter, content, name=card.name, runtime=runtime)
    detector = TfliteDetector(card, [opener], name=card.name, min_score=GOLDEN_SCORE, min_face_px=1)
    return next(iter(detector.detect(picture)), None)
