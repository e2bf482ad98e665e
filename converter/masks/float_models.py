"""Float models: wraps a network with its settings as a mask classifier, and converts it to TFLite.

Preprocessing that a card cannot express becomes a fixed 1x1 convolution in front, and the meaning of the outputs a
fixed matrix behind the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.masks.graphs import freeze, has_loop
from converter.masks.outputs import label_matrix
from converter.masks.preprocessing import PIXEL_SCALES
from converter.tflite_conversion import calibration_samples, run_converter
from edge_agent.errors import ModelError
from edge_agent.vision.card import OutputCard
from edge_agent.vision.tensors import face_pixels, probabilities
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from converter.masks.model_settings import ModelSettings
    from converter.masks.networks import Network
    from converter.tflite_conversion import Format
    from edge_agent.domain import Box, Image, Label


@dataclass(frozen=True, slots=True, eq=False)
class FloatModel:
    """A float classifier as a mask classifier.

    `function` is a concrete TensorFlow function with frozen weights: float32 (1, height, width, 3), in the range and
    colour order of the card, to probabilities (1, labels); with a no-face output, its probability comes last.
    """

    network: Network
    settings: ModelSettings
    function: Any

    def values(self, pixels: Image) -> NDArray[np.float32]:
        """The input tensor, (1, height, width, 3), for RGB pixels of this model's size."""
        scale, zero_point = PIXEL_SCALES[self.settings.card_pixels]
        ordered = pixels[..., ::-1] if self.settings.card_colours == "bgr" else pixels
        return np.asarray((ordered.astype(np.float32) - np.float32(zero_point)) * np.float32(scale))[np.newaxis]

    def outputs(self, pixels: Image) -> NDArray[np.float64]:
        """The probabilities that `function` gives for RGB pixels of the input size."""
        import tensorflow as tf

        return np.asarray(self.function(tf.constant(self.values(pixels)))[0], np.float64).reshape(-1)

    def scores(self, image: Image, region: Box) -> dict[Label, float]:
        """Probability of every label for a region, with the outputs treated as on the device."""
        pixels = face_pixels(
            image,
            region,
            width_px=self.network.width_px,
            height_px=self.network.height_px,
            resampling=self.settings.resampling,
        )
        shares = probabilities(self.outputs(pixels), OutputCard(dtype="float32", scale=1.0), temperature=1.0)
        # As on the device: the labels share what `no_face` leaves.
        labels = self.settings.labels
        among = shares[: len(labels)] / shares[: len(labels)].sum()
        return dict(zip(labels, among.tolist(), strict=True))


def apply_settings(network: Network, settings: ModelSettings) -> FloatModel:
    """Apply the settings to a network, in front of and behind it."""
    import tensorflow as tf

    preprocessing = settings.preprocessing
    kernel, bias = preprocessing.kernel()
    matrix = label_matrix(settings.outputs)
    is_label_order = np.array_equal(matrix, np.eye(matrix.shape[0], matrix.shape[1]))
    if preprocessing.fits_card and network.outputs > 1 and is_label_order:
        return FloatModel(network, settings, network.graph)

    def call(pixels: Any) -> Any:
        taken = pixels if preprocessing.fits_card else tf.nn.bias_add(tf.nn.conv2d(pixels, kernel, 1, "SAME"), bias)
        (shares,) = network.graph(taken)
        if network.outputs == 1:
            if settings.single_output == "logit":
                shares = tf.sigmoid(shares)
            elif len(network.single_output) > 1:
                shares = tf.clip_by_value(shares, 0.0, 1.0)
            # Keras' binary convention: the single output is the probability of the second label.
            shares = tf.concat([1.0 - shares, shares], axis=1)
        return shares if is_label_order else tf.matmul(shares, matrix)

    with quiet_tensorflow():
        function = freeze(call, (1, network.height_px, network.width_px, 3), "float32")
    return FloatModel(network, settings, function)


def to_tflite(model: FloatModel, output_format: Format, *, pixels: NDArray[np.uint8]) -> bytes:
    """Convert a float model, batch 1; `int8` takes and gives uint8, the others float32.

    `pixels` are the calibration pictures, (pictures, height, width, 3), RGB; only `int8` and `int16` use them.

    Raises:
        ModelError: TensorFlow cannot convert it.
    """
    # TensorFlow's quantizer of integer formats ends the whole process at a loop.
    if output_format in {"int8", "int16"} and has_loop(model.function):
        raise ModelError(
            f"{model.network.path}: has a loop, as of a recurrent layer, which TensorFlow cannot quantize to "
            f"{output_format}; use --format best, or build the layer with unroll=True"
        )

    def samples() -> Iterator[list[NDArray[Any]]]:
        for picture in calibration_samples(pixels):
            yield [model.values(picture)]

    with quiet_tensorflow():
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_concrete_functions([model.function])
        return run_converter(converter, output_format, samples=samples, name=str(model.network.path))
