"""Preprocessing: converts pixels to the values a network was trained on.

A card can express a pixel range and colour order, so that the device only resizes. Anything else (means and deviations
per colour, conversion to grey) becomes a fixed 1x1 convolution in front of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edge_agent.domain import Image

PixelRange: TypeAlias = Literal["-1..1", "0..1", "0..255"]
PIXEL_RANGES: tuple[PixelRange, ...] = get_args(PixelRange)
Colours: TypeAlias = Literal["rgb", "bgr", "grey"]
COLOURS: tuple[Colours, ...] = get_args(Colours)

PIXEL_SCALES: Mapping[PixelRange, tuple[float, float]] = {
    "-1..1": (1 / 127.5, 127.5),
    "0..1": (1 / 255, 0.0),
    "0..255": (1.0, 0.0),
}
"""Real value of one step of a pixel, and the pixel value that means 0."""
GREY_OF_RGB = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as used by OpenCV, Pillow and TensorFlow."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Value = (pixel in the range of `pixels` - mean) / deviation, in the order of `colours`.

    `means` and `deviations` have one number per channel, in units of `pixels`; empty: 0 and 1.
    """

    pixels: PixelRange = "-1..1"
    colours: Colours = "rgb"
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    @property
    def channels(self) -> int:
        """Number of input channels: 1 or 3."""
        return 1 if self.colours == "grey" else 3

    @property
    def fits_card(self) -> bool:
        """Whether a pixel range and colour order express all of it."""
        return self.colours != "grey" and not self.means and not self.deviations

    def kernel(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The convolution from RGB pixels, 0..255: weights (1, 1, 3, channels) and bias (channels,)."""
        scale, zero_point = PIXEL_SCALES[self.pixels]
        mixed = {"rgb": np.eye(3), "bgr": np.eye(3)[::-1], "grey": np.array([GREY_OF_RGB])}[self.colours]
        means = np.array(self.means or (0.0,) * self.channels)
        deviations = np.array(self.deviations or (1.0,) * self.channels)
        weights = (mixed * scale / deviations[:, np.newaxis]).T
        bias = (-zero_point * scale - means) / deviations
        return weights.reshape(1, 1, 3, self.channels).astype(np.float32), bias.astype(np.float32)

    def values(self, pixels: Image) -> NDArray[np.float32]:
        """The network's input, (1, height, width, channels), for RGB pixels, (height, width, 3)."""
        weights, bias = self.kernel()
        return np.asarray(pixels.astype(np.float32) @ weights[0, 0] + bias, np.float32)[np.newaxis]

    def as_options(self) -> str:
        """The equivalent command-line options."""
        # The equals sign is needed because -1..1 looks like an option.
        text = f"--pixels={self.pixels} --colours {self.colours}"
        text += f" --means={','.join(f'{mean:g}' for mean in self.means)}" if self.means else ""
        return text + (f" --std={','.join(f'{one:g}' for one in self.deviations)}" if self.deviations else "")

    def as_json(self) -> dict[str, Any]:
        """The entries of a card's `source` section."""
        return {
            "pixels": self.pixels,
            "colours": self.colours,
            "means": list(self.means),
            "std": list(self.deviations),
        }


PER_CHANNEL = (
    # keras.applications, mode "caffe" (VGG, ResNet): BGR 0..255 minus the ImageNet means.
    Preprocessing("0..255", "bgr", (103.939, 116.779, 123.68)),
    Preprocessing("0..255", "rgb", (123.68, 116.779, 103.939)),
    # torchvision, and keras.applications, mode "torch" (DenseNet): ImageNet means and deviations.
    Preprocessing("0..1", "rgb", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    Preprocessing("0..1", "bgr", (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)),
)
"""Common for pretrained networks."""

_RARE: tuple[tuple[PixelRange, float, float], ...] = (
    ("0..255", 0.0, 127.5),
    ("0..1", 0.5, 1.0),
    ("0..255", 127.5, 1.0),
    # Statistics of MNIST, as in many examples of PyTorch.
    ("0..1", 0.1307, 0.3081),
    # Inverted.
    ("0..1", 1.0, -1.0),
    ("0..255", 255.0, -1.0),
    ("-1..1", 0.0, -1.0),
)
"""Pixels, mean and deviation of all channels."""
_RARE_IN_GREY: tuple[tuple[PixelRange, float, float], ...] = (*_RARE, ("0..1", 0.449, 0.226))
"""With the averages of ImageNet's means and deviations."""


_MEANS_OF_RES10 = (104.0, 177.0, 123.0)
"""Of OpenCV's face detector, which authors also pass to blobFromImage for their own classifier."""


def rare_preprocessings(channels: int) -> tuple[Preprocessing, ...]:
    """Preprocessings for 1 or 3 channels that are tried too, and must be much better than any common one."""
    if channels == 1:
        return tuple(Preprocessing(pixels, "grey", (mean,), (std,)) for pixels, mean, std in _RARE_IN_GREY)
    uniform = tuple(
        Preprocessing(pixels, colours, (mean,) * channels, (std,) * channels)
        for colours in ("rgb", "bgr")
        for pixels, mean, std in _RARE
    )
    return (*uniform, *(Preprocessing("0..255", colours, _MEANS_OF_RES10) for colours in ("rgb", "bgr")))


COLOUR_SPACES: Mapping[str, int] = {
    "HSV": cv2.COLOR_RGB2HSV,
    # As in tf.image.rgb_to_hsv.
    "HSV with hues of the whole range": cv2.COLOR_RGB2HSV_FULL,
    "YCrCb": cv2.COLOR_RGB2YCrCb,
    "CIELAB": cv2.COLOR_RGB2LAB,
}
"""Names, and OpenCV's codes."""


@dataclass(frozen=True, slots=True)
class UnsupportedPreprocessing(Preprocessing):
    """Pixels in a colour space that the device does not compute; tried only to explain why a model is inaccurate."""

    colour_space: str = ""

    def values(self, pixels: Image) -> NDArray[np.float32]:
        """The network's input for RGB pixels, as of any preprocessing."""
        converted = np.asarray(cv2.cvtColor(pixels, COLOUR_SPACES[self.colour_space]), np.uint8)
        return Preprocessing(self.pixels).values(converted)

    def __str__(self) -> str:
        """The name of the colour space, and the range of its values."""
        return f"{self.colour_space} ({self.pixels})"


UNSUPPORTED = tuple(
    UnsupportedPreprocessing(pixels, colour_space=name) for name in COLOUR_SPACES for pixels in PIXEL_RANGES
)


def common_preprocessings(channels: int) -> tuple[Preprocessing, ...]:
    """The common preprocessings for 1 or 3 channels, most likely first."""
    if channels == 1:
        return tuple(Preprocessing(pixels, "grey") for pixels in ("0..1", "-1..1", "0..255"))
    plain = tuple(
        Preprocessing(pixels, colours) for colours in ("rgb", "bgr") for pixels in ("-1..1", "0..1", "0..255")
    )
    return plain + PER_CHANNEL
