"""TFLite conversion: runs TensorFlow's converters for classifiers and detectors."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import re
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from converter.progress import progress_step
from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from edge_agent.domain import Image

Format: TypeAlias = Literal["int8", "int16", "float16", "float32", "dynamic"]
FORMATS: tuple[Format, ...] = get_args(Format)
DISTRIBUTIONS = ("maskwatch", "tensorflow", "keras", "tf_keras", "ai-edge-litert", "tflite-runtime")


def run_converter(
    converter: Any,
    output_format: Format,
    *,
    name: str,
    samples: Callable[[], Iterator[list[NDArray[Any]]]] | None = None,
    int8_interface: Literal["int8", "uint8"] = "uint8",
) -> bytes:
    """Convert to a format with a TensorFlow converter; `samples` yields the calibration values for int8.

    `int8_interface` is the type of the inputs and outputs of an int8 model; uint8 costs a conversion in the model.

    Raises:
        ModelError: TensorFlow cannot convert the model; `name` is its name in the message.
    """
    import tensorflow as tf

    match output_format:
        case "float32":
            pass
        case "float16":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        case "dynamic":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            # Otherwise dense layers get an operator version that tflite-runtime 2.14 does not know.
            converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001
        case "int16":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = samples
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
        case "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = samples
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.as_dtype(int8_interface)
    try:
        with progress_step(f"converting to {output_format}"):
            return bytes(converter.convert())
    # TensorFlow raises a dozen classes here, some of them private.
    except Exception as error:
        raise ModelError(
            f"{name}: cannot be converted to {output_format}: {_reason(error)}; put another layer in its place"
        ) from error


def calibration_samples(pictures: Iterable[Image]) -> Iterator[Image]:
    """The pictures for int8 calibration."""
    for number, picture in enumerate(pictures):
        shown = picture.copy()
        if number == 0:
            # One black and one white pixel: the input range is then that of all possible pixels, so that
            # preprocessing on the device is only a resize.
            shown[0, 0], shown[0, -1] = 0, 255
        yield shown


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make and verify a model, if they are installed."""
    found = {"python": platform.python_version()}
    for distribution in DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[distribution] = importlib.metadata.version(distribution)
    return found


def _reason(error: Exception) -> str:
    """The operations that TFLite lacks, if that is the cause; otherwise the start of the compiler's message."""
    # It repeats a sentence for every layer that it concerns.
    text = " ".join(dict.fromkeys(" ".join(line.split()) for line in str(error).splitlines()))
    lacking = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", text)))
    return f"TFLite has no operation {', '.join(lacking)}" if lacking else text[:300].rstrip(".")
