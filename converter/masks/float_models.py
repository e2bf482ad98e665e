"""Float models: a network with resolved choices as a mask classifier.

What a card cannot express of its preprocessing becomes a fixed 1x1 convolution in front, the meaning of its outputs a
fixed matrix behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.masks.choices import Choices, choose
from converter.masks.graphs import frozen
from converter.masks.networks import Network, open_network
from converter.masks.outputs import sharing_out
from converter.masks.preprocessing import PIXEL_SCALES
from converter.masks.stated import NOTHING_STATED, Stated
from converter.silence import quiet_tensorflow
from edge_agent.vision.card import OutputCard
from edge_agent.vision.tensors import face_pixels, probabilities

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Box, Image, Label


@dataclass(frozen=True, slots=True, eq=False)
class FloatModel:
    """A float classifier as a mask classifier.

    `function` is a concrete TensorFlow function with weights frozen into it: float32 (1, height, width, 3) in the range
    and order of colours that the card will state, to probabilities (1, labels), with
    that of no face last where there is such an output.
    """

    network: Network
    choices: Choices
    function: Any

    @property
    def path(self) -> Path:
        """Where it came from."""
        return self.network.path

    @property
    def name(self) -> str:
        """Default name of the files."""
        return self.network.name

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels that are distinguished, in the order of the outputs."""
        return self.choices.labels

    @property
    def margin_fraction(self) -> float:
        """Margin around the face, as a fraction of it."""
        return self.network.margin_fraction

    def values(self, pixels: Image) -> NDArray[np.float32]:
        """The input tensor, (1, height, width, 3), for RGB pixels of this model's size."""
        scale, zero_point = PIXEL_SCALES[self.choices.card_pixels]
        ordered = pixels[..., ::-1] if self.choices.card_colours == "bgr" else pixels
        return np.asarray((ordered.astype(np.float32) - np.float32(zero_point)) * np.float32(scale))[np.newaxis]

    def outputs(self, pixels: Image) -> NDArray[np.float64]:
        """What the model itself gives for RGB pixels of its size: probabilities, as `function` gives them."""
        import tensorflow as tf

        return np.asarray(self.function(tf.constant(self.values(pixels)))[0], np.float64).reshape(-1)

    def scores(self, image: Image, region: Box) -> dict[Label, float]:
        """Probability of every label for what is inside a region, treated as the device treats its outputs."""
        pixels = face_pixels(
            image,
            region,
            width_px=self.network.width_px,
            height_px=self.network.height_px,
            resampling=self.choices.resampling,
        )
        shares = probabilities(self.outputs(pixels), OutputCard(dtype="float32", scale=1.0), temperature=1.0)
        # As the device has it: the labels share what `no_face` leaves.
        among = shares[: len(self.labels)] / shares[: len(self.labels)].sum()
        return dict(zip(self.labels, among.tolist(), strict=True))


def open_float_model(path: Path, stated: Stated = NOTHING_STATED) -> FloatModel:
    """Load a float classifier, without pictures that its choices could be tried on.

    Raises:
        ConfigError, ModelError: as `open_network` and `choose`.
    """
    network = open_network(path, stated)
    return settled(network, choose(network, stated, {}, ()))


def settled(network: Network, choices: Choices) -> FloatModel:
    """Put what was chosen before and behind a network."""
    import tensorflow as tf

    way = choices.way
    kernel, bias = way.kernel()
    matrix = sharing_out(choices.outputs)

    def call(pixels: Any) -> Any:
        taken = pixels if way.fits_a_card else tf.nn.bias_add(tf.nn.conv2d(pixels, kernel, 1, "SAME"), bias)
        (shares,) = network.graph(taken)
        if network.outputs == 1:
            # Keras' two-class convention: the one output is the probability of the second label.
            shares = tf.concat([1.0 - shares, shares], axis=1)
        return shares if np.array_equal(matrix, np.eye(matrix.shape[0], matrix.shape[1])) else tf.matmul(shares, matrix)

    with quiet_tensorflow():
        function = frozen(call, (1, network.height_px, network.width_px, 3), "float32")
    return FloatModel(
        network=network,
        choices=choices,
        function=function,
    )
