"""Keras models: which loader opens this file?

Keras 3 loads no file of Keras 2 and tf_keras none of Keras 3, and suffixes say little (`mask_detector.model` is
HDF5), so the loader is chosen by content. Every loader gives the same `LoadedModel`.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.label_names import labels_of
from converter.masks.foreign_code import layer_of_its_own, refuse_foreign_code
from converter.model_kind import RUN_FILE
from converter.silence import quiet_tensorflow
from edge_agent.domain import LABELS, Label
from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
ZIP_MAGIC = b"PK\x03\x04"
TFLITE_MAGIC = b"TFL3"

TEACHABLE_MODEL = "keras_model.h5"
TEACHABLE_SAVED_MODEL = "model.savedmodel"
TEACHABLE_LABELS = "labels.txt"
RUN_MODEL = "model.keras"

_INPUT_RANK = 4  # batch, height, width, colours
_OUTPUT_RANK = 2  # batch, labels
_COLOURS = 3


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A float classifier as its file holds it.

    `call` takes a float tensor of shape (1, height, width, 3) and gives one of shape (1, outputs). Sides of the
    input that the model leaves open are 0. `keeps` owns the weights. `labels` and `margin_fraction` are what the
    files beside the model say; empty and None where they say nothing.
    """

    path: Path
    name: str
    kind: str
    call: Callable[[Any], Any]
    keeps: Any
    height_px: int
    width_px: int
    outputs: int
    labels: tuple[Label, ...] = ()
    margin_fraction: float | None = None
    pixels: str | None = None
    training_data: tuple[str, ...] = ()


def load_model(path: Path) -> LoadedModel:
    """Load a Keras classifier: HDF5 of Keras 2 or 3, `.keras`, SavedModel, a Teachable Machine export or a run folder.

    Raises:
        ModelError: missing, damaged, with code of its own, or not a classifier of pictures.
    """
    if path.is_dir():
        loaded = _load_folder(path)
    elif path.is_file():
        loaded = _load_file(path)
    else:
        raise ModelError(f"{path}: no such model; give a .keras or HDF5 file, a SavedModel folder or a training run")
    return _with_run(loaded, path)


def _load_folder(path: Path) -> LoadedModel:
    if (path / "saved_model.pb").is_file():
        return _load_saved_model(path)
    if (path / TEACHABLE_MODEL).is_file() or (path / TEACHABLE_SAVED_MODEL).is_dir():
        return _load_teachable(path, said=path)
    models = [path / RUN_MODEL] if (path / RUN_MODEL).is_file() else sorted(path.glob("*.keras"))
    if len(models) == 1:
        return _load_file(models[0])
    raise ModelError(
        f"{path}: holds {len(models)} .keras files and neither saved_model.pb nor {TEACHABLE_MODEL}; "
        "give the file of the model itself"
    )


def _load_file(path: Path) -> LoadedModel:
    try:
        with path.open("rb") as file:
            start = file.read(len(HDF5_MAGIC))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if start == HDF5_MAGIC:
        return _load_hdf5(path, said=path)
    if start.startswith(ZIP_MAGIC):
        return _load_zip(path)
    if start[4:] == TFLITE_MAGIC:
        raise ModelError(f"{path}: is a TFLite model already; give the Keras model that it was made from")
    raise ModelError(
        f"{path}: not a Keras model (neither HDF5 nor .keras), or cut off at its beginning; "
        "save it again with model.save('masks.keras')"
    )


def _load_hdf5(path: Path, *, said: Path) -> LoadedModel:
    """HDF5 names the Keras that wrote it in an attribute; without `model_config` it holds weights only."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            attributes = {name: _text(value) for name, value in file.attrs.items()}
    except OSError as error:
        raise ModelError(f"{said}: damaged or cut off: {_sentence(error)}; copy or save the model again") from error
    if "model_config" not in attributes:
        raise ModelError(f"{said}: holds weights without a model; save the whole model with model.save('masks.keras')")
    refuse_foreign_code(attributes["model_config"], said)
    version = attributes.get("keras_version", "2")
    return _load_with_keras(path, said=said, version=version, kind=f"HDF5 of Keras {version}")


def _load_zip(path: Path) -> LoadedModel:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "metadata.json" in names and "config.json" in names:
                version = str(json.loads(archive.read("metadata.json"))["keras_version"])
                refuse_foreign_code(archive.read("config.json").decode(), path)
                return _load_with_keras(path, said=path, version=version, kind=f".keras of Keras {version}")
            if any(name.startswith((TEACHABLE_MODEL, TEACHABLE_SAVED_MODEL)) for name in names):
                with tempfile.TemporaryDirectory() as folder:
                    archive.extractall(folder)
                    return _load_teachable(Path(folder), said=path)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ModelError(f"{path}: damaged or cut off: {_sentence(error)}; copy or save the model again") from error
    raise ModelError(f"{path}: an archive without a Keras model; give the .keras file or the Teachable Machine export")


def _load_teachable(folder: Path, *, said: Path) -> LoadedModel:
    """What teachablemachine.withgoogle.com exports for Keras or as a SavedModel; its pixels are always -1..1."""
    if (folder / TEACHABLE_MODEL).is_file():
        loaded = _load_hdf5(folder / TEACHABLE_MODEL, said=said)
    else:
        loaded = _load_saved_model(folder / TEACHABLE_SAVED_MODEL)
    names = folder / TEACHABLE_LABELS
    labels = labels_of(names.read_text(encoding="utf-8").splitlines()) if names.is_file() else ()
    kind = f"Teachable Machine, {loaded.kind}"
    return replace(loaded, path=said, name=said.stem, kind=kind, labels=labels, pixels="-1..1")


def _load_with_keras(path: Path, *, said: Path, version: str, kind: str) -> LoadedModel:
    with quiet_tensorflow(), _named_errors(said):
        if version.startswith("2"):
            import tf_keras as keras
        else:
            import keras

        # Keras 3 tells formats apart by suffix, and `mask_detector.model` has none that it knows.
        with _with_suffix(path, ".h5" if kind.startswith("HDF5") else ".keras") as named:
            model = _in_full_precision(keras.models.load_model(named, compile=False))
    return _of_keras(model, path=said, kind=kind)


def _in_full_precision(model: Any) -> Any:
    """The same model computing in float32: TFLite has no operators for what mixed precision makes of a graph."""
    config = model.get_config()
    if "float16" not in str(config):
        return model
    rebuilt = type(model).from_config(_with_full_precision(config))
    rebuilt.set_weights(model.get_weights())
    return rebuilt


def _with_full_precision(config: Any) -> Any:
    match config:
        case dict():
            return {key: _with_full_precision(value) for key, value in config.items()}
        case list() | tuple():
            return type(config)(_with_full_precision(value) for value in config)
        case "mixed_float16" | "mixed_bfloat16" | "float16" | "bfloat16":
            return "float32"
        case _:
            return config


def _of_keras(model: Any, *, path: Path, kind: str) -> LoadedModel:
    inputs, outputs = list(model.inputs or []), list(model.outputs or [])
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"{path}: has {len(inputs)} inputs and {len(outputs)} outputs; a mask classifier takes one picture of a "
            "face and gives one score per label"
        )
    height, width, count = _checked_shapes(tuple(inputs[0].shape), tuple(outputs[0].shape), path)
    return LoadedModel(path, path.stem, kind, lambda pixels: model(pixels, training=False), model, height, width, count)


def _load_saved_model(path: Path) -> LoadedModel:
    if (path / "keras_metadata.pb").is_file():
        with quiet_tensorflow(), _named_errors(path):
            import tf_keras

            model = tf_keras.models.load_model(path, compile=False)
        return _of_keras(model, path=path, kind="SavedModel of Keras 2")
    with quiet_tensorflow(), _named_errors(path):
        import tensorflow as tf

        held = tf.saved_model.load(str(path))
        signatures = held.signatures
    if not signatures:
        raise ModelError(f"{path}: a SavedModel without a signature; export it with model.export(folder)")
    signature = signatures.get("serving_default") or next(iter(signatures.values()))
    inputs = signature.structured_input_signature[1]
    outputs = signature.structured_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(f"{path}: {len(inputs)} inputs and {len(outputs)} outputs; a mask classifier has one of each")
    ((given, taken),) = inputs.items()
    ((result, scores),) = outputs.items()
    height, width, count = _checked_shapes(tuple(taken.shape), tuple(scores.shape), path)
    return LoadedModel(
        path, path.stem, "SavedModel", lambda pixels: signature(**{given: pixels})[result], held, height, width, count
    )


def _checked_shapes(taken: tuple[int | None, ...], given: tuple[int | None, ...], path: Path) -> tuple[int, int, int]:
    """Height, width (0 where open) and number of outputs of a classifier of colour pictures."""
    if len(taken) != _INPUT_RANK:
        raise ModelError(
            f"{path}: its input has shape {taken}, a mask classifier's has (batch, height, width, 3); "
            "this is not a classifier of pictures"
        )
    if taken[3] != _COLOURS:
        raise ModelError(
            f"{path}: its input has {taken[3]} channels, a mask classifier takes 3 (red, green, blue); "
            "train it on colour pictures, channels last"
        )
    if len(given) != _OUTPUT_RANK or not given[1]:
        raise ModelError(
            f"{path}: its output has shape {given}, a mask classifier's has (batch, labels); end the model with a "
            "pooling and a dense layer"
        )
    return taken[1] or 0, taken[2] or 0, given[1]


def _with_run(loaded: LoadedModel, path: Path) -> LoadedModel:
    """Add what a training run wrote beside its model."""
    run = (path if path.is_dir() else path.parent) / RUN_FILE
    if not run.is_file():
        return loaded
    try:
        told = json.loads(run.read_text(encoding="utf-8"))
        known: dict[str, Label] = {label: label for label in LABELS}
        labels = tuple(known[label] for label in told["labels"])
        margin = float(told["margin_fraction"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{run}: not the description of a training run: {error!r}; train again, or take it away"
        ) from error
    return replace(
        loaded,
        name=str(told.get("name", loaded.name)),
        labels=labels,
        margin_fraction=margin,
        pixels=told.get("pixels"),
        training_data=tuple(str(part) for part in told.get("training_data", ())),
    )


@contextlib.contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Turn whatever a loader raises into one sentence with what to do."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        text = _sentence(error)
        layer = re.search(r"Unknown layer:? '?\"?(\w+)|Could not locate class '(\w+)'", text)
        if layer:
            raise ModelError(layer_of_its_own(path, layer.group(1) or layer.group(2))) from error
        raise ModelError(f"{path}: cannot be loaded: {text}") from error


@contextlib.contextmanager
def _with_suffix(path: Path, suffix: str) -> Iterator[Path]:
    if path.suffix in {suffix, ".hdf5"}:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"model{suffix}"
        link.symlink_to(path.resolve())
        yield link


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:300] or type(error).__name__
