"""Keras models: loads files of Keras 2 and Keras 3.

Keras 3 loads no files of Keras 2 and tf_keras none of Keras 3. Suffixes are unreliable (`mask_detector.model` is
HDF5), so the loader is selected by content.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.masks.custom_code import check_no_custom_code, check_no_operations, custom_layer_message
from converter.masks.loaded_model import LoadedModel, describe_tensors
from edge_agent.errors import ConfigError, ModelError
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from converter.masks.outputs import SingleOutput

ARCHITECTURE = "model.json"
_FIRST_VERSIONS = ("0.", "1.")
_LOGIT_LOSSES = {"hinge", "squaredhinge"}
_PROBABILITY_LOSSES = {
    "binarycrossentropy",
    "binaryfocalcrossentropy",
    "meansquarederror",
    "mse",
    "meanabsoluteerror",
    "mae",
}
"""Losses of a single output by name, in lower case without underscores; a hinge is decided at 0, as a logit is."""
_DESCRIBES_A_MODEL = re.compile(rb'"(class_name|modelTopology)"')


def is_keras_archive(path: Path) -> bool:
    """Whether a zip is a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        return {"metadata.json", "config.json"} <= set(archive.namelist())


def load_hdf5(path: Path, *, source: Path) -> LoadedModel:
    """Load an HDF5 model; `source` is its path in messages. Weights alone need a model.json beside them.

    Raises:
        ModelError: the file is damaged, contains custom code, or holds only weights.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            attributes = {name: _text(value) for name, value in file.attrs.items()}
    except OSError as error:
        raise ModelError(f"{source}: damaged or cut off: {one_line(error)}; copy or save the model again") from error
    if "model_config" in attributes:
        check_no_custom_code(attributes["model_config"], source)
        version = attributes.get("keras_version", "2")
        if version.startswith(_FIRST_VERSIONS):
            raise ModelError(
                f"{source}: of Keras {version}, whose layers no later version knows; load it with Keras 2.2, which "
                "still does, and save it again, or train it with a newer Keras"
            )
        if version.startswith("3"):
            check_no_operations(attributes["model_config"], source)
        loaded = _load_with_keras(path, source=source, version=version, kind=f"HDF5 of Keras {version}")
        return replace(loaded, single_output=_meaning_by_loss(attributes.get("training_config", "{}")))
    descriptions = architectures_in(path.parent)
    matching = (
        [file for file in descriptions if same_stem(file, path)]
        or [file for file in descriptions if file.name == ARCHITECTURE]
        or descriptions
    )
    if len(matching) == 1:
        return load_architecture(matching[0], path)
    raise ModelError(
        f"{source}: contains weights without a model; put the {ARCHITECTURE} of model.to_json() beside it, or save "
        "the whole model with model.save('masks.keras')"
    )


def load_keras_archive(path: Path) -> LoadedModel:
    """Load a `.keras` file.

    Raises:
        ModelError: the file is damaged or contains custom code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            version = str(json.loads(archive.read("metadata.json"))["keras_version"])
            config = archive.read("config.json").decode()
            check_no_custom_code(config, path)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ModelError(f"{path}: damaged or cut off: {one_line(error)}; copy or save the model again") from error
    loaded = _load_with_keras(path, source=path, version=version, kind=f".keras of Keras {version}")
    return replace(loaded, single_output=_meaning_by_loss(config, section="compile_config"))


def load_architecture(path: Path, weights: Path) -> LoadedModel:
    """Load the files written by `model.to_json()` and `model.save_weights()`.

    Raises:
        ModelError: a file is damaged or contains custom code, or the two do not match.
    """
    with as_model_errors(path):
        # Editors on Windows add a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
    check_no_custom_code(text, path)
    version = str(json.loads(text).get("keras_version", "3"))
    with quiet_tensorflow(), as_model_errors(weights):
        model = keras_of(version).models.model_from_json(text)
        with _with_suffix(
            weights, ".weights.h5" if version.startswith("3") and _is_keras_3(weights) else ".h5"
        ) as file:
            model.load_weights(file)
    return from_keras(model, path=path, kind=f"JSON and weights of Keras {version}")


def architectures_in(folder: Path) -> list[Path]:
    """The JSON files in a folder that describe a Keras or TensorFlow.js model, by their first bytes."""
    descriptions = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(OSError), path.open("rb") as file:
            if _DESCRIBES_A_MODEL.search(file.read(512)):
                descriptions.append(path)
    return descriptions


def same_stem(description: Path, weights: Path) -> bool:
    """Whether two files have the same stem: mask.json and mask.weights.h5."""
    return description.stem == weights.name.split(".")[0]


def keras_of(version: str) -> Any:
    """The module that loads files of a Keras version."""
    if version.startswith("2"):
        import tf_keras as keras
    else:
        import keras
    return keras


def _load_with_keras(path: Path, *, source: Path, version: str, kind: str) -> LoadedModel:
    # Keras 3 selects the format by suffix and rejects unknown ones such as `.model`.
    suffix = ".h5" if kind.startswith("HDF5") else ".keras"
    with quiet_tensorflow(), as_model_errors(source), _with_suffix(path, suffix) as renamed:
        model = keras_of(version).models.load_model(renamed, compile=False)
    return from_keras(model, path=source, kind=kind)


def _meaning_by_loss(text: str, *, section: str = "") -> SingleOutput | None:
    """What the loss in a saved training configuration says of a single output; None without a known loss."""
    try:
        saved = json.loads(text)
    except ValueError:
        return None
    training = saved.get(section) if section else saved
    loss = training.get("loss") if isinstance(training, dict) else None
    options = loss.get("config") if isinstance(loss, dict) else loss
    # Losses are saved as a name, a function with its name, or a class with its options.
    name = options if isinstance(options, str) else loss.get("class_name") if isinstance(loss, dict) else None
    name = str(name).lower().replace("_", "")
    if name in _LOGIT_LOSSES or (isinstance(options, dict) and options.get("from_logits")):
        return "logit"
    return "probability" if name in _PROBABILITY_LOSSES else None


def from_keras(model: Any, *, path: Path, kind: str) -> LoadedModel:
    """Describe a model of Keras 2 or Keras 3.

    Raises:
        ModelError: it has several inputs or outputs.
    """
    inputs, outputs = list(model.inputs or []), list(model.outputs or [])
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(f"{path}: {describe_tensors(len(inputs), len(outputs))}")
    # Keras computes with a copy of the statistics of a Normalization, and updates it on loading a file, but not in
    # models within a model (HDF5 of Keras 3), nor for weights that are set.
    for layer in model._flatten_layers():  # noqa: SLF001
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    input_tensor = inputs[0]
    return LoadedModel(
        path=path,
        name=path.parent.name if path.name == ARCHITECTURE else path.stem,
        kind=kind,
        call=lambda pixels: model(pixels, training=False),
        owner=model,
        shape=tuple(input_tensor.shape),
        dtype=str(getattr(input_tensor.dtype, "name", input_tensor.dtype)),
    )


@contextlib.contextmanager
def as_model_errors(path: Path) -> Iterator[None]:
    """Convert any exception of a loader into a one-sentence error with a remedy.

    Raises:
        ModelError: in place of any exception other than one about a file or an option.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        text = one_line(error)
        layer = re.search(r"Unknown layer:? '?\"?(\w+)|Could not locate class '([\w>]+)'", text)
        if layer:
            raise ModelError(custom_layer_message(path, layer.group(1) or layer.group(2))) from error
        raise ModelError(f"{path}: cannot be loaded: {text}") from error


@contextlib.contextmanager
def _with_suffix(path: Path, suffix: str) -> Iterator[Path]:
    if path.name.endswith(suffix) or path.suffix == ".hdf5":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"model{suffix}"
        link.symlink_to(path.resolve())
        yield link


def _is_keras_3(weights: Path) -> bool:
    """Keras 2 lists the layer names in an attribute of the file, Keras 3 does not."""
    import h5py

    with h5py.File(weights, "r") as file:
        return "layer_names" not in file.attrs


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def one_line(error: Exception) -> str:
    """The message of a third-party exception on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:300] or type(error).__name__
