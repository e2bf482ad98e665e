"""Finders: how does a trained face finder become int8 networks with their card?

One network for each size of input, for the shapes inside are fixed. Logits and boxes leave it in tensors of their
own, a pair for each stride: joined, they would have to share one scale.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from converter.drawn_faces import as_png, drawn_faces
from converter.faces import faces_in, faces_of_scenes, read_picture
from converter.progress import say, with_progress
from converter.silence import quiet_tensorflow
from edge_agent.errors import ConfigError, ModelError, PictureError
from edge_agent.vision.card import FinderCard, FinderFile, GoldenFace, InputCard
from edge_agent.vision.faces.letterbox import letterboxed
from edge_agent.vision.faces.tflite import TfliteFinder
from edge_agent.vision.tflite import open_interpreter, probe_runtimes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from edge_agent.domain import Face, Image
    from edge_agent.vision.tflite import RuntimeName

GOLDEN_SCORE = 0.5
"""A golden face is found better than this in every size, or it proves nothing."""
FEWEST_PICTURES, MOST_PICTURES = 20, 150
_FACE_SHARES = (0.3, 0.4, 0.5, 0.6)
_GOLDEN_WIDTH_PX, _GOLDEN_HEIGHT_PX = 160, 120
_GROUND = (150, 140, 120)
_DISTRIBUTIONS = ("maskwatch", "tensorflow", "keras", "ai-edge-litert", "tflite-runtime")


@dataclass(frozen=True, slots=True, order=True)
class InputSize:
    """Width and height of an input in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class TrainedFinder:
    """The network of a run and what the run says of it."""

    network: Any
    strides: tuple[int, ...]
    training_data: tuple[str, ...]
    metrics: Mapping[str, Any]
    """Average precision on the run's own validation pictures."""


def open_trained_finder(model: Path) -> TrainedFinder:
    """Load the model.keras of a run of `edge-train faces`.

    Raises:
        ModelError: the model or the run.json beside it is missing or damaged, or is no face finder's.
    """
    beside = model.parent / "run.json"
    try:
        said = json.loads(beside.read_text(encoding="utf-8"))
        strides, data, validation = said["strides"], said["training_data"], said["validation"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{beside}: not what 'edge-train faces' writes beside a model ({error!r})") from error
    with quiet_tensorflow():
        import keras

        try:
            network = keras.models.load_model(model, compile=False)
        # Keras raises many classes for a file it cannot read.
        except Exception as error:
            raise ModelError(f"{model}: Keras cannot read it: {str(error)[:200]}") from error
    return TrainedFinder(network, tuple(strides), tuple(data), validation)


def calibration_pictures(place: Path) -> list[Image]:
    """Whole pictures: of a folder, or of the `train` split of COCO annotations, evenly over either.

    Raises:
        ConfigError: fewer than FEWEST_PICTURES can be read.
    """
    faces = faces_of_scenes(place, split="train") if place.is_file() else faces_in(place)
    paths = list(dict.fromkeys(face.path for face in faces))
    chosen = [paths[number * len(paths) // MOST_PICTURES] for number in range(MOST_PICTURES)]
    pictures = []
    for path in dict.fromkeys(chosen if len(paths) > MOST_PICTURES else paths):
        try:
            pictures.append(read_picture(path))
        except PictureError as error:
            say(str(error))
    if len(pictures) < FEWEST_PICTURES:
        raise ConfigError(f"{place}: {len(pictures)} pictures that can be read; int8 needs {FEWEST_PICTURES} at least")
    return pictures


def to_finder_tflite(finder: TrainedFinder, size: InputSize, pictures: Sequence[Image]) -> bytes:
    """Convert to int8 for one size of input, which takes BGR bytes as they are.

    Raises:
        ModelError: TensorFlow cannot convert it.
    """
    with quiet_tensorflow(), tempfile.TemporaryDirectory() as folder:
        import keras
        import tensorflow as tf

        # By way of a SavedModel: concrete functions of a Keras 3 model give a file that no runtime can read.
        archive = keras.export.ExportArchive()
        archive.track(finder.network)
        archive.add_endpoint(
            "serve",
            lambda pixels: finder.network(pixels, training=False),
            input_signature=[tf.TensorSpec([1, size.height, size.width, 3], tf.float32, name="pixels")],
        )
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _samples(pictures, size)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
        try:
            return bytes(converter.convert())
        # TensorFlow raises a dozen classes here, some private.
        except Exception as error:
            raise ModelError(f"{size.width}x{size.height}: cannot be converted: {str(error)[:300]}") from error


def make_finder_card(
    finder: TrainedFinder, contents: Mapping[InputSize, bytes], *, name: str, smallest_px: float
) -> FinderCard:
    """Describe converted networks, with a golden picture in which every runtime finds a face with each of them.

    Raises:
        ModelError: no runtime can run one, or one of them finds none of the drawn faces.
    """
    card = FinderCard(
        name=name,
        files=tuple(_file(content, size, name=name) for size, content in contents.items()),
        strides=finder.strides,
        smallest_px=smallest_px,
        golden_picture=as_png(next(_golden_pictures())),
        training_data=list(finder.training_data),
        metrics={"validation": dict(finder.metrics)},
        versions=_versions(),
    )
    with quiet_tensorflow():
        runtimes = [probe.runtime for probe in probe_runtimes(next(iter(contents.values()))) if probe.works]
        for picture in _golden_pictures():
            described = _with_golden(card, list(contents.values()), picture, runtimes)
            if described is not None:
                return described
    raise ModelError(f"{name}: no network finds any of the drawn faces in every runtime; train it longer")


def finder_files(card: FinderCard, contents: Mapping[InputSize, bytes], *, card_file: Path) -> dict[Path, bytes]:
    """The files of a finder, ready to be written together."""
    files = {card_file.parent / file.file: content for file, content in zip(card.files, contents.values(), strict=True)}
    return {**files, card_file: card.to_json().encode()}


def _samples(pictures: Sequence[Image], size: InputSize) -> Iterator[list[Any]]:
    """What int8 learns its ranges from."""
    for number, picture in enumerate(with_progress(pictures, total=len(pictures), what="calibrating")):
        pixels, _ = letterboxed(picture, width_px=size.width, height_px=size.height)
        if number == 0:
            # One black and one white pixel: the input's range is then that of all pixels there are, and
            # preprocessing on the device nothing but a resize.
            pixels = pixels.copy()
            pixels[0, 0], pixels[0, -1] = 0, 255
        yield [pixels[np.newaxis].astype(np.float32)]


def _file(content: bytes, size: InputSize, *, name: str) -> FinderFile:
    return FinderFile(
        file=f"{name}-{size.width}x{size.height}.tflite",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        input=InputCard(
            width=size.width, height=size.height, colour_order="bgr", dtype="uint8", scale=1.0, zero_point=0.0
        ),
        # A placeholder until the network has spoken.
        golden=(GoldenFace(box=(0, 0, 1, 1), score=0.0),),
    )


def _golden_pictures() -> Iterator[Image]:
    """Drawn faces on a plain ground, of several sizes; one is enough, but not every finder takes each for a face."""
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
    card: FinderCard, contents: Sequence[bytes], picture: Image, runtimes: Sequence[RuntimeName]
) -> FinderCard | None:
    """The card with what each network finds in this picture, if every runtime finds the same."""
    files = []
    for file, content in zip(card.files, contents, strict=True):
        alone = card.model_copy(update={"files": (file,)})
        found = [_surest(alone, content, runtime, picture) for runtime in runtimes]
        faces = [face for face in found if face is not None and face.score >= GOLDEN_SCORE]
        if not faces or len(faces) < len(runtimes):
            return None
        box, score = faces[0].box, round(faces[0].score, 4)
        golden = GoldenFace(box=(round(box.x1, 1), round(box.y1, 1), round(box.x2, 1), round(box.y2, 1)), score=score)
        files.append(file.model_copy(update={"golden": (golden,)}))
    described = card.model_copy(update={"files": tuple(files), "golden_picture": as_png(picture)})
    for runtime in runtimes:
        interpreters = [open_interpreter(content, name=card.name, runtime=runtime) for content in contents]
        finder = TfliteFinder(described, interpreters, name=card.name, min_score=GOLDEN_SCORE, smallest_px=1)
        try:
            finder.check_golden()
        except ModelError:
            return None
    return described


def _surest(card: FinderCard, content: bytes, runtime: RuntimeName, picture: Image) -> Face | None:
    """The surest face that the one network of a card finds in a picture."""
    interpreter = open_interpreter(content, name=card.name, runtime=runtime)
    finder = TfliteFinder(card, [interpreter], name=card.name, min_score=GOLDEN_SCORE, smallest_px=1)
    return next(iter(finder.find(picture)), None)


def _versions() -> dict[str, str]:
    versions = {}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
