"""Conversion: converts a float classifier to the bytes of a .tflite file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from converter.tensorflow_logs import quiet_tensorflow
from converter.tflite_conversion import calibration_samples, run_converter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from converter.masks.float_models import FloatModel
    from converter.tflite_conversion import Format


def to_tflite(model: FloatModel, output_format: Format, *, pixels: NDArray[np.uint8]) -> bytes:
    """Convert a float model, batch 1; `int8` takes and gives uint8, the others float32.

    `pixels` are the calibration pictures, (pictures, height, width, 3), RGB; only `int8` and `int16` use them.

    Raises:
        ModelError: TensorFlow cannot convert it.
    """

    def samples() -> Iterator[list[NDArray[Any]]]:
        for picture in calibration_samples(pixels):
            yield [model.values(picture)]

    with quiet_tensorflow():
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_concrete_functions([model.function])
        return run_converter(converter, output_format, samples=samples, name=str(model.network.path))
