"""Custom code: rejects Keras models that would execute code when loaded, or that TFLite cannot express."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MODULES_OF_KERAS = ("keras", "Keras", "tf_keras", "tensorflow", "builtins")


def check_no_custom_code(config: str, path: Path) -> None:
    """Reject a model whose Keras configuration (JSON) has lambdas, quantized layers or classes from outside Keras.

    Loading it would run the code of a Lambda layer, load the SavedModel that a TFSMLayer names, or import any module
    named.

    Raises:
        ModelError: it contains such code, or is not JSON.
    """
    try:
        description = json.loads(config)
    except ValueError as error:
        raise ModelError(f"{path}: its description is damaged: {error}; copy or save the model again") from error
    for part in _class_configs(description):
        name = part["class_name"]
        options = part.get("config")
        activation = options.get("activation") if isinstance(options, dict) else None
        # Keras 2 writes a lambda function as its byte code alone, and functions of Keras by their names.
        is_program = isinstance(activation, dict) and "class_name" not in activation
        if name == "Lambda" or is_program:
            what = "a Lambda layer" if name == "Lambda" else f"a lambda as activation of {name}"
            raise ModelError(
                f"{path}: has {what}, a program that loading would run; put a layer of Keras in its place, "
                "or export the model where it was made: model.export(folder)"
            )
        if name == "QuantizedDTypePolicy":
            raise ModelError(
                f"{path}: is quantized already, and would be a second time; convert the float model that it was made "
                "from"
            )
        if name == "TFSMLayer":
            raise ModelError(
                f"{path}: is a wrapper (TFSMLayer) around a SavedModel that lies elsewhere; convert that folder itself"
            )
        registered = part.get("registered_name")
        if isinstance(registered, str) and ">" in registered and registered.split(">")[0] not in _MODULES_OF_KERAS:
            raise ModelError(custom_layer_message(path, str(name)))
        module = part.get("module")
        if isinstance(module, str) and module.split(".")[0] not in _MODULES_OF_KERAS:
            raise ModelError(custom_layer_message(path, str(name)))


def check_no_operations(config: str, path: Path) -> None:
    """Reject an HDF5 model of Keras 3 with operations outside of layers, such as those of preprocess_input.

    Its own loader takes them for layers of the same or an unknown name.

    Raises:
        ModelError: it contains some.
    """
    names = dict.fromkeys(
        str(part["class_name"])
        for part in _class_configs(json.loads(config))
        # A layer has one of these, apart from a Pipeline of augmentation layers.
        if "inbound_nodes" in part
        and part["class_name"] != "Pipeline"
        and not {"trainable", "dtype"} & part["config"].keys()
    )
    if names:
        raise ModelError(
            f"{path}: has {' and '.join(names)} outside of layers, which Keras 3 cannot load from HDF5; build it "
            f"by its code, call model.load_weights('{path.name}'), and save it with model.save('masks.keras')"
        )


def _class_configs(config: Any) -> Iterator[dict[str, Any]]:
    """All parts of a Keras configuration that name a class."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from _class_configs(value)
    elif isinstance(config, list):
        for value in config:
            yield from _class_configs(value)


def custom_layer_message(path: Path, name: str) -> str:
    """The error message for a model with a layer that Keras does not know."""
    return (
        f"{path}: has a custom layer, '{name}', which is not executed; export the model where that layer is "
        "defined, with model.export(folder), and convert the folder"
    )
