"""Detector conversion: converts a trained face detector to int8 networks and their card.

There is one network per input size, as inner shapes are fixed. Logits and boxes have separate output tensors, a pair
per stride, since a joint tensor would force one scale on them.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.faces.cross_layer_equalization import equalize
from converter.labelled_faces import faces_in, faces_of_scenes
from converter.model_kind import run_file_of
from converter.progress import print_message
from converter.tflite_conversion import calibration_samples, run_converter
from edge_agent.errors import ConfigError, ModelError, PictureError
from edge_agent.vision.detector.scaling import letterboxed
from edge_agent.vision.images import read_picture
from training.faces.network import open_network
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from edge_agent.domain import Image

MIN_LOGIT, MAX_LOGIT = -8.0, 7.0
"""Probabilities of 0.0003 and 0.999: clipping beyond them changes no detection."""
MIN_PICTURES, MAX_PICTURES = 20, 150


@dataclass(frozen=True, slots=True, order=True)
class InputSize:
    """Width and height of a network input in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class TrainedDetector:
    """The network of a run with its metadata."""

    folder: Path
    name: str
    network: Any
    strides: tuple[int, ...]
    training_data: tuple[str, ...]
    metrics: Mapping[str, Any]
    """Average precision on the run's own validation pictures."""


def open_trained_detector(model: Path) -> TrainedDetector:
    """Load a run of `edge-train faces` by its folder or its model file.

    Raises:
        ModelError: the model or its run.json is missing, damaged, or not that of a face detector.
    """
    run_file = run_file_of(model)
    try:
        run_info = json.loads(run_file.read_text(encoding="utf-8"))
        name, strides, data, validation = (
            run_info["name"],
            run_info["strides"],
            run_info["training_data"],
            run_info["validation"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{run_file}: not what 'edge-train faces' writes beside a model ({error!r})") from error
    with quiet_tensorflow():
        network = open_network(model / "model.keras" if model.is_dir() else model)
    return TrainedDetector(run_file.parent, name, network, tuple(strides), tuple(data), validation)


def calibration_pictures(place: Path) -> list[Image]:
    """Whole pictures from a folder, or from the `train` split of COCO annotations, evenly spread.

    Raises:
        ConfigError: fewer than MIN_PICTURES are readable.
    """
    faces = faces_of_scenes(place, split="train", labelled=False) if place.is_file() else faces_in(place)
    paths = list(dict.fromkeys(face.path for face in faces))
    chosen = [paths[number * len(paths) // MAX_PICTURES] for number in range(MAX_PICTURES)]
    pictures = []
    for path in dict.fromkeys(chosen if len(paths) > MAX_PICTURES else paths):
        try:
            pictures.append(read_picture(path))
        except PictureError as error:
            print_message(str(error))
    if len(pictures) < MIN_PICTURES:
        raise ConfigError(f"{place}: {len(pictures)} pictures that can be read; int8 needs at least {MIN_PICTURES}")
    return pictures


def to_detector_tflite(detector: TrainedDetector, size: InputSize, pictures: Sequence[Image]) -> bytes:
    """Convert to int8 for one input size; the input takes the bytes of BGR pixels less 128.

    With uint8 pixels TFLite would spend a twelfth of the network's time on subtracting that.

    Raises:
        ModelError: TensorFlow cannot convert it.
    """

    def shown() -> Iterator[Image]:
        return (letterboxed(picture, width_px=size.width, height_px=size.height)[0] for picture in pictures)

    def samples() -> Iterator[list[Any]]:
        for pixels in calibration_samples(shown()):
            yield [pixels[np.newaxis].astype(np.float32)]

    with quiet_tensorflow(), tempfile.TemporaryDirectory() as folder:
        import keras
        import tensorflow as tf

        # Through a SavedModel: concrete functions of a Keras 3 model give a file that no runtime can read.
        network = equalize(detector.network, (pixels[np.newaxis].astype(np.float32) for pixels in shown()))
        archive = keras.export.ExportArchive()
        archive.track(network)
        archive.add_endpoint(
            "serve",
            lambda pixels: _clip_logits(network(pixels, training=False)),
            input_signature=[tf.TensorSpec([1, size.height, size.width, 3], tf.float32, name="pixels")],
        )
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        name = f"{size.width}x{size.height}"
        return run_converter(converter, "int8", samples=samples, name=name, int8_interface="int8")


def _clip_logits(outputs: dict[str, Any]) -> dict[str, Any]:
    """Clip logits to the relevant range.

    A network may give the sky 80 logits and more, on which int8 would waste its 256 steps. ReLU6 is the bound that is
    fused into the preceding convolution, so that no tensor has the full range.
    """
    import tensorflow as tf

    step = (MAX_LOGIT - MIN_LOGIT) / 6
    return {
        name: tf.nn.relu6((values - MIN_LOGIT) / step) * step + MIN_LOGIT if name.startswith("logits") else values
        for name, values in outputs.items()
    }
