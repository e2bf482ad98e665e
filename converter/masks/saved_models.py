"""SavedModels: loads folders exported by TensorFlow or Keras."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from converter.masks.keras_models import as_model_errors
from converter.masks.loaded_model import LoadedModel, describe_tensors
from edge_agent.errors import ModelError
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from pathlib import Path

SAVED_MODEL = "saved_model.pb"
SERVING = "serving_default"
_METADATA_OF_KERAS_2 = "keras_metadata.pb"


def load_saved_model(path: Path, *, source: Path) -> LoadedModel:
    """Load a SavedModel folder; `source` is its path in messages.

    The graph of a signature is used, independent of what saved it: custom layers are plain operations there.

    Raises:
        ModelError: it is damaged, has no signature or several inputs or outputs, or takes strings.
    """
    with quiet_tensorflow(), as_model_errors(source):
        import tensorflow as tf

        loaded = tf.saved_model.load(str(path))
    if not loaded.signatures:
        raise ModelError(f"{source}: a SavedModel without a signature; export it with model.export(folder)")
    signature = _signature_of_pictures(loaded.signatures)
    if _takes_text(signature):
        raise ModelError(
            f"{source}: takes encoded pictures or examples, as strings; export it with a signature that takes pixels, "
            "as float32 of (batch, height, width, 3)"
        )
    inputs = signature.structured_input_signature[1]
    outputs = signature.structured_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(f"{source}: {describe_tensors(len(inputs), len(outputs))}")
    ((input_name, input_spec),) = inputs.items()
    ((output_name, _),) = outputs.items()
    return LoadedModel(
        path=source,
        name=source.stem,
        kind="SavedModel of Keras 2" if (path / _METADATA_OF_KERAS_2).is_file() else "SavedModel",
        call=lambda pixels: signature(**{input_name: pixels})[output_name],
        owner=loaded,
        shape=tuple(input_spec.shape),
        dtype=input_spec.dtype.name,
    )


def _signature_of_pictures(signatures: Any) -> Any:
    """The default signature, unless it takes encoded pictures or examples; then that with the fewest scores.

    Others give features, of which there are more.
    """
    name = min(signatures, key=lambda name: (_takes_text(signatures[name]), name != SERVING, _size(signatures[name])))
    return signatures[name]


def _takes_text(signature: Any) -> bool:
    return any(spec.dtype.name == "string" for spec in signature.structured_input_signature[1].values())


def _size(signature: Any) -> float:
    """The number of values that it gives for a picture; infinity if open."""
    sizes = [spec.shape[1:].num_elements() for spec in signature.structured_outputs.values()]
    return math.inf if None in sizes else sum(sizes)
