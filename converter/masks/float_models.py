"""Float models: which numbers does a Keras classifier take for pixels, and what do its outputs mean?

What the command or the training run says counts; the rest is read off the model's own graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from converter.masks.graph_reading import Ending, ending, first_scaling
from converter.masks.keras_models import LoadedModel, load_model
from converter.silence import quiet_tensorflow
from edge_agent.errors import ConfigError, ModelError
from edge_agent.vision.card import OutputCard
from edge_agent.vision.tensors import face_pixels, probabilities

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Box, Image, Label

PixelRange: TypeAlias = Literal["-1..1", "0..1", "0..255"]
PIXEL_RANGES: tuple[PixelRange, ...] = get_args(PixelRange)

# Real value of one step of a pixel, and the pixel value that means 0.
PIXEL_SCALES: Mapping[PixelRange, tuple[float, float]] = {
    "-1..1": (1 / 127.5, 127.5),
    "0..1": (1 / 255, 0.0),
    "0..255": (1.0, 0.0),
}

# A factor at the beginning of a graph: down to about -1..1 from 255 steps (1/255 to 1/50, by the spread of
# ImageNet's colours), or up to it from 0..1 (2, or 1/0.22).
_FACTORS_OF_BYTES = (1 / 300, 1 / 50)
_FACTORS_OF_FRACTIONS = (1.5, 8.0)
# Subtracting more than this without scaling is the mean colour of 0..255.
_LEAST_MEAN_OF_BYTES = 2.0


@dataclass(frozen=True, slots=True)
class Told:
    """What somebody says of a Keras file that it does not say itself; None and empty: nothing."""

    labels: tuple[Label, ...] = ()
    pixels: PixelRange | None = None
    margin_fraction: float | None = None
    size_px: int | None = None


NOTHING_TOLD = Told()


@dataclass(frozen=True, slots=True, eq=False)
class FloatModel:
    """A Keras classifier as a mask classifier.

    `function` is a concrete TensorFlow function: float32 (1, height, width, 3) in the range of `pixels`, to
    probabilities (1, labels). Weights are frozen into it. RGB.
    """

    path: Path
    name: str
    kind: str
    labels: tuple[Label, ...]
    height_px: int
    width_px: int
    pixels: PixelRange
    pixels_are_assumed: bool
    margin_fraction: float
    training_data: tuple[str, ...]
    function: Any

    def values(self, pixels: Image) -> NDArray[np.float32]:
        """The input tensor, (1, height, width, 3), for RGB pixels of this model's size."""
        scale, zero_point = PIXEL_SCALES[self.pixels]
        return ((pixels.astype(np.float32) - np.float32(zero_point)) * np.float32(scale))[np.newaxis]

    def outputs(self, pixels: Image) -> NDArray[np.float64]:
        """What the model itself gives for RGB pixels of its size: probabilities, shape (labels,)."""
        import tensorflow as tf

        return np.asarray(self.function(tf.constant(self.values(pixels)))[0], np.float64).reshape(-1)

    def scores(self, image: Image, region: Box) -> dict[Label, float]:
        """Probability of every label for what is inside a region, treated as the device treats its outputs."""
        pixels = face_pixels(image, region, width_px=self.width_px, height_px=self.height_px, colour_order="rgb")
        shares = probabilities(self.outputs(pixels), OutputCard(dtype="float32", scale=1.0), temperature=1.0)
        return dict(zip(self.labels, shares.tolist(), strict=True))


def open_float_model(path: Path, told: Told = NOTHING_TOLD, *, otherwise: Told = NOTHING_TOLD) -> FloatModel:
    """Load a Keras classifier and find out what goes in and what comes out.

    `told` overrules what is found in the file and beside it; `otherwise` counts where neither says anything.

    Raises:
        ConfigError: labels are missing, or contradict what the model says of itself.
        ModelError: the model cannot be loaded, is no classifier, or hides the range of its pixels.
    """
    loaded = load_model(path)
    labels = _settled_labels(loaded, told.labels, otherwise.labels)
    height, width = loaded.height_px or told.size_px, loaded.width_px or told.size_px
    if not height or not width:
        raise ConfigError(f"{path}: leaves the size of its input open; say it: --size 224")
    with quiet_tensorflow():
        bare = _frozen(loaded.call, height, width)
        ends_in = ending(bare)
        if loaded.outputs == 1 and ends_in == "probabilities":
            raise ModelError(
                f"{path}: a softmax over one output is always 1; train it with a sigmoid, or with two outputs"
            )
        function = _frozen(_with_probabilities(bare, ends_in, loaded.outputs), height, width)
    pixels = told.pixels or _stated_range(loaded) or _found_range(bare, path)
    margins = (told.margin_fraction, loaded.margin_fraction, otherwise.margin_fraction, 0.0)
    return FloatModel(
        path=path,
        name=loaded.name,
        kind=loaded.kind,
        labels=labels,
        height_px=height,
        width_px=width,
        pixels=pixels or "-1..1",
        pixels_are_assumed=pixels is None,
        margin_fraction=next(margin for margin in margins if margin is not None),
        training_data=loaded.training_data,
        function=function,
    )


def _settled_labels(loaded: LoadedModel, given: tuple[Label, ...], otherwise: tuple[Label, ...]) -> tuple[Label, ...]:
    if given and loaded.labels and given != loaded.labels:
        raise ConfigError(
            f"--labels {','.join(given)}: the model says of itself {','.join(loaded.labels)}; "
            "give the labels in the order of its outputs, or leave --labels out"
        )
    # One output stands for two labels.
    wanted = max(loaded.outputs, 2)
    assumed = otherwise if len(otherwise) == wanted else ()
    labels = given or loaded.labels or assumed
    if not labels:
        raise ConfigError(
            f"{loaded.path}: does not say what its {loaded.outputs} outputs mean; "
            "give --labels in their order, as with_mask,without_mask"
        )
    if len(labels) != wanted:
        raise ConfigError(
            f"{loaded.path}: its {loaded.outputs} output(s) need {wanted} labels, but --labels names {len(labels)} "
            f"({', '.join(labels)}); give one label per output, in their order"
        )
    return labels


def _stated_range(loaded: LoadedModel) -> PixelRange | None:
    if loaded.pixels is None:
        return None
    for name in PIXEL_RANGES:
        if name == loaded.pixels:
            return name
    raise ModelError(f"{loaded.path}: its run says pixels '{loaded.pixels}', known are {', '.join(PIXEL_RANGES)}")


def _frozen(call: Any, height: int, width: int) -> Any:
    """Trace for one picture and freeze the weights; every function inside is inlined."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    traced = tf.function(call, autograph=False).get_concrete_function(
        tf.TensorSpec([1, height, width, 3], tf.float32, name="pixels")
    )
    return convert_variables_to_constants_v2(traced)


def _with_probabilities(bare: Any, ends_in: Ending, outputs: int) -> Any:
    import tensorflow as tf

    def call(pixels: Any) -> Any:
        (raw,) = bare(pixels)
        raw = tf.cast(tf.reshape(raw, [1, outputs]), tf.float32)
        if outputs == 1:
            # Keras' two-class convention: the one output is the probability of the second label.
            second = raw if ends_in == "sigmoid" else tf.sigmoid(raw)
            return tf.concat([1.0 - second, second], axis=1)
        return tf.nn.softmax(raw) if ends_in == "logits" else raw

    return call


def _found_range(bare: Any, path: Path) -> PixelRange | None:
    """The range that the scaling at the beginning of the graph is made for; None where there is no scaling."""
    factor, offset = first_scaling(bare)
    if factor == 1.0 and offset == 0.0:
        return None
    size = abs(factor)
    if _FACTORS_OF_BYTES[0] <= size <= _FACTORS_OF_BYTES[1] or (size == 1.0 and abs(offset) > _LEAST_MEAN_OF_BYTES):
        return "0..255"
    if _FACTORS_OF_FRACTIONS[0] <= size <= _FACTORS_OF_FRACTIONS[1]:
        return "0..1"
    raise ModelError(
        f"{path}: begins with a scaling of its own (pixel * {factor:.4g} {offset:+.4g}) that fits no usual range; "
        f"say which pixels it was trained on: --pixels {' or '.join(PIXEL_RANGES)}"
    )
