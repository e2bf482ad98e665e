"""SavedModels: what is in a folder that TensorFlow or Keras exported?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.masks.keras_models import named_errors, of_keras
from converter.masks.loaded_model import LoadedModel
from converter.silence import quiet_tensorflow
from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

SAVED_MODEL = "saved_model.pb"


def load_saved_model(path: Path, *, said: Path) -> LoadedModel:
    """Load a SavedModel folder; `said` is how messages call it.

    Raises:
        ModelError: damaged, without a signature, or with several inputs or outputs.
    """
    if (path / "keras_metadata.pb").is_file():
        with quiet_tensorflow(), named_errors(said):
            import tf_keras

            model = tf_keras.models.load_model(path, compile=False)
        return of_keras(model, path=said, kind="SavedModel of Keras 2")
    with quiet_tensorflow(), named_errors(said):
        import tensorflow as tf

        held = tf.saved_model.load(str(path))
        signatures = held.signatures
    if not signatures:
        raise ModelError(f"{said}: a SavedModel without a signature; export it with model.export(folder)")
    signature = signatures.get("serving_default") or next(iter(signatures.values()))
    inputs = signature.structured_input_signature[1]
    outputs = signature.structured_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(f"{said}: {len(inputs)} inputs and {len(outputs)} outputs; a mask classifier has one of each")
    ((given, taken),) = inputs.items()
    ((result, _),) = outputs.items()
    return LoadedModel(
        path=said,
        name=said.stem,
        kind="SavedModel",
        call=lambda pixels: signature(**{given: pixels})[result],
        keeps=held,
        shape=tuple(taken.shape),
        dtype=taken.dtype.name,
    )
