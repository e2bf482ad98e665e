"""TensorFlow.js models: loads layers models (a model.json with weight shards)."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.masks.custom_code import check_no_custom_code
from converter.masks.keras_models import as_model_errors, from_keras, keras_of
from edge_agent.errors import ModelError
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from converter.masks.loaded_model import LoadedModel

TEACHABLE_METADATA = "metadata.json"


def is_tfjs(content: Any) -> bool:
    """Whether the content of a model.json is a TensorFlow.js model."""
    return isinstance(content, dict) and "weightsManifest" in content


def load_tfjs(path: Path, content: Any) -> LoadedModel:
    """Rebuild a layers model from its model.json and the weight shards beside it.

    Raises:
        ModelError: it is a graph model, a shard is missing or too short, a layer is unknown, or layers share a name.
    """
    topology = content.get("modelTopology")
    if content.get("format") == "graph-model" or not isinstance(topology, dict) or "model_config" not in topology:
        raise ModelError(
            f"{path}: a graph model of TensorFlow.js, which has no layers any more; convert what it was made from, or "
            "export the model as 'tfjs_layers_model'"
        )
    configuration = json.dumps(topology["model_config"])
    check_no_custom_code(configuration, path)
    # TensorFlow.js uses the Keras 2 format for all layers; only Keras 3 writes `batch_shape`.
    version = "3" if '"batch_shape"' in configuration else "2"
    weights = _weights(path, content["weightsManifest"])
    with quiet_tensorflow(), as_model_errors(path):
        model = keras_of(version).models.model_from_json(configuration)
        names = [str(getattr(variable, "path", variable.name)).split(":")[0] for variable in model.weights]
        entries = [_known_as(name, weights, path) for name in names]
        _check_unique(entries, path)
        for variable, entry in zip(model.weights, entries, strict=True):
            variable.assign(weights[entry])
    return from_keras(model, path=path, kind="layers model of TensorFlow.js")


def labels_in_metadata(folder: Path) -> tuple[str, ...]:
    """The labels that Teachable Machine stores beside such a model."""
    try:
        content = json.loads((folder / TEACHABLE_METADATA).read_text(encoding="utf-8"))
        return tuple(str(name) for name in content["labels"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _known_as(name: str, weights: dict[str, NDArray[Any]], path: Path) -> str:
    """The name of a weight in the manifest, with or without the prefix of a nested model."""
    found = name if name in weights else next((entry for entry in weights if name.endswith(f"/{entry}")), "")
    found = found or next((entry for entry in weights if entry.endswith(f"/{name}")), "")
    if not found:
        raise ModelError(f"{path}: its manifest has no weights {name}; export the model again")
    return found


def _check_unique(names: Sequence[str], path: Path) -> None:
    """Reject names that occur twice: layers of nested models would get each other's weights."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ModelError(
                f"{path}: {count} layers have weights of the name {name}; convert the Keras file that it was made "
                "from, or give the layers different names and export it again"
            )


def _weights(path: Path, manifest: Any) -> dict[str, NDArray[Any]]:
    _check_unique([str(entry["name"]).split(":")[0] for group in manifest for entry in group["weights"]], path)
    weights = {}
    for group in manifest:
        try:
            content = b"".join((path.parent / shard).read_bytes() for shard in group["paths"])
        except OSError as error:
            raise ModelError(f"{error.filename}: a shard of {path.name} is missing; copy it beside it") from error
        at = 0
        for entry in group["weights"]:
            quantization = entry.get("quantization")
            dtype = np.dtype((quantization or entry)["dtype"])
            count = math.prod(entry["shape"])
            if at + count * dtype.itemsize > len(content):
                raise ModelError(f"{path}: its shards are shorter than it says; copy the model again")
            values = np.frombuffer(content, dtype, count, at).reshape(entry["shape"]).astype(np.float32)
            if quantization and "scale" in quantization:
                values = values * np.float32(quantization["scale"]) + np.float32(quantization["min"])
            weights[str(entry["name"]).split(":")[0]] = values
            at += count * dtype.itemsize
    return weights
