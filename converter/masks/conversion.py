"""Conversion: converts a float classifier to the bytes of a .tflite file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from converter.masks.graphs import has_loop
from converter.tensorflow_logs import quiet_tensorflow
from converter.tflite_conversion import calibration_samples, run_converter
from edge_agent.errors import ModelError

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
