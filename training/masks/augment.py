"""Augmentation: random variations of a face for training.

Keras layers on batches of float32 pixels 0..255, shape (n, side, side, 3). Rotation, shear, zoom and shift are combined
into one affine map with a single interpolation: separate ones would blur the picture, and the model would learn faces
softer than those on the device.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras  # noqa: TID253  (layers are classes of Keras; only training itself imports this module)

if TYPE_CHECKING:
    from training.masks.recipe import AugmentationRecipe


class _RandomLayer(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A layer with a recipe and its own random numbers."""

    def __init__(self, recipe: AugmentationRecipe, *, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self._recipe = recipe
        self.seed_generator = keras.random.SeedGenerator(seed)

    def _uniform(self, shape: tuple[int, ...], limit: float) -> Any:
        return keras.random.uniform(shape, -limit, limit, seed=self.seed_generator)


class RandomAffine(_RandomLayer):
    """Rotates, shears, zooms, shifts and mirrors each picture in one step; edges are repeated into new areas."""

    def call(self, images: Any) -> Any:
        """Transform pictures (n, side, side, 3) to the same shape."""
        count, side = images.shape[0], images.shape[1]
        recipe, middle = self._recipe, (side - 1) / 2
        angle = self._uniform((count,), math.radians(recipe.rotation_degrees))
        shear = self._uniform((count,), recipe.shear_fraction)
        zoom = keras.ops.exp(self._uniform((count,), recipe.zoom_fraction))
        across = self._uniform((count,), recipe.shift_fraction) * side
        down = self._uniform((count,), recipe.shift_fraction) * side
        mirrored = self._uniform((count,), 1.0) < 2.0 * recipe.flip_share - 1.0
        sign = keras.ops.where(mirrored, -1.0, 1.0)
        # The map from each output pixel to its source pixel, around the centre.
        a0 = keras.ops.cos(angle) * zoom * sign
        a1 = (keras.ops.sin(angle) + shear) * zoom
        b0 = -keras.ops.sin(angle) * zoom * sign
        b1 = keras.ops.cos(angle) * zoom
        zero = keras.ops.zeros_like(a0)
        a2 = middle - a0 * middle - a1 * middle + across
        b2 = middle - b0 * middle - b1 * middle + down
        transform = keras.ops.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
        return keras.ops.image.affine_transform(images, transform, interpolation="bilinear", fill_mode="nearest")


class RandomColourJitter(_RandomLayer):
    """Varies brightness, contrast, gamma and tint; some pictures become grey."""

    def call(self, images: Any) -> Any:
        """Transform pictures (n, side, side, 3), 0..255, to the same."""
        recipe, count = self._recipe, images.shape[0]
        gain = keras.ops.exp(self._uniform((count, 1, 1, 1), recipe.contrast_fraction))
        gain = gain * keras.ops.exp(self._uniform((count, 1, 1, 3), recipe.tint_fraction))
        average = keras.ops.mean(images, axis=(1, 2, 3), keepdims=True)
        offset = self._uniform((count, 1, 1, 1), recipe.brightness_fraction) * 255.0 + average - average * gain
        lit = keras.ops.clip(images * gain + offset, 0.0, 255.0)
        # A parabola through black and white: close enough to a gamma curve, and ten times cheaper.
        bend = self._uniform((count, 1, 1, 1), recipe.gamma_fraction)
        lit = lit * (1.0 + bend - lit * (bend / 255.0))
        without_colour = self._uniform((count, 1, 1, 1), 1.0) < 2.0 * recipe.grey_share - 1.0
        return keras.ops.where(without_colour, keras.ops.mean(lit, axis=3, keepdims=True), lit)


class RandomBlur(_RandomLayer):
    """Blurs some pictures in one direction, as by motion or a slow shutter, and adds sensor noise."""

    def call(self, images: Any) -> Any:
        """Transform pictures (n, side, side, 3), 0..255, to the same."""
        recipe, count = self._recipe, images.shape[0]
        # Batches are in random order, so the first pictures can be blurred; the others cost no time.
        third = round(recipe.blur_share * count / 3)
        across = keras.ops.average_pool(images[: 2 * third], (1, 5), strides=1, padding="same")
        down = keras.ops.average_pool(
            keras.ops.concatenate([across[:third], images[2 * third : 3 * third]]), (5, 1), strides=1, padding="same"
        )
        blurred = keras.ops.concatenate([down[:third], across[third:], down[third:], images[3 * third :]])
        shape = (count, 1, 1, 1)
        strength = keras.random.uniform(shape, 0.0, recipe.noise_fraction * 255.0, seed=self.seed_generator)
        noise = keras.random.uniform(keras.ops.shape(images), -1.0, 1.0, seed=self.seed_generator)
        return keras.ops.clip(blurred + noise * strength, 0.0, 255.0)


def build_augmentation(recipe: AugmentationRecipe, *, seed: int) -> keras.Sequential:
    """The layers in the order of image formation: pose, light, lens and sensor."""
    return keras.Sequential(
        [RandomAffine(recipe, seed=seed), RandomColourJitter(recipe, seed=seed + 1), RandomBlur(recipe, seed=seed + 2)],
        name="augmentation",
    )


def reseed(model: keras.Model, *, seed: int, epoch: int) -> None:
    """Seed every random layer for an epoch, so that a resumed run draws the same numbers as an uninterrupted one."""
    for number, layer in enumerate(layer for layer in model.layers if hasattr(layer, "seed_generator")):
        layer.seed_generator.state.assign([seed + number, epoch])
