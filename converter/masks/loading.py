"""Loading: selects the loader of a model.

The choice is made by content. Every loader returns a `LoadedModel`.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError

from converter.masks.file_formats import describe_archive, format_of
from converter.masks.keras_models import (
    ARCHITECTURE,
    architectures_in,
    is_keras_archive,
    load_architecture,
    load_hdf5,
    load_keras_archive,
    one_line,
    same_stem,
)
from converter.masks.label_files import LABELS, names_beside, read_label_file
from converter.masks.onnx_models import load_onnx
from converter.masks.preprocessing import Colours, PixelRange
from converter.masks.saved_models import SAVED_MODEL, load_saved_model
from converter.masks.tfjs_models import is_tfjs, labels_in_metadata, load_tfjs
from converter.model_kind import run_file_of
from edge_agent.errors import ModelError, mistakes_in

if TYPE_CHECKING:
    from converter.masks.loaded_model import LoadedModel

TEACHABLE_MODEL = "keras_model.h5"
TEACHABLE_SAVED_MODEL = "model.savedmodel"
RUN_MODEL = "model.keras"


def load_model(path: Path, *, size_px: int | None = None) -> LoadedModel:
    """Load a float classifier: any file or folder that `edge-convert convert` accepts.

    `size_px` is the side of an input that an ONNX file leaves open; other kinds are loaded with open sides.

    Raises:
        ConfigError: an ONNX file leaves the size open, and `size_px` is None.
        ModelError: the model is missing, damaged, contains custom code, or cannot be converted.
    """
    if path.is_dir():
        loaded = _load_folder(path)
    elif path.is_file():
        loaded = _load_file(path, size_px=size_px)
    else:
        raise ModelError(f"{path}: no such model; give a .keras or HDF5 file, a SavedModel folder or a training run")
    loaded = loaded if loaded.output_names else replace(loaded, output_names=names_beside(path))
    return _with_run(loaded, path)


def _load_folder(path: Path) -> LoadedModel:
    if (path / SAVED_MODEL).is_file():
        return load_saved_model(path, source=path)
    if (path / TEACHABLE_MODEL).is_file() or (path / TEACHABLE_SAVED_MODEL).is_dir():
        return _load_teachable(path, source=path)
    if (path / ARCHITECTURE).is_file():
        return _load_json(path / ARCHITECTURE)
    models = [path / RUN_MODEL] if (path / RUN_MODEL).is_file() else sorted(path.glob("*.keras"))
    if len(models) == 1:
        return _load_file(models[0])
    if not models and len(descriptions := architectures_in(path)) == 1:
        return _load_json(descriptions[0])
    raise ModelError(
        f"{path}: holds {len(models)} .keras files and neither {SAVED_MODEL} nor {TEACHABLE_MODEL} nor {ARCHITECTURE}; "
        "give the file of the model itself"
    )


def _load_file(path: Path, *, size_px: int | None = None) -> LoadedModel:
    match format_of(path):
        case "hdf5":
            return load_hdf5(path, source=path)
        case "json":
            return _load_json(path)
        case "onnx":
            return load_onnx(path, size_px=size_px)
        case "zip":
            return _load_zip(path)


def _load_zip(path: Path) -> LoadedModel:
    try:
        if is_keras_archive(path):
            return load_keras_archive(path)
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            names = archive.namelist()
            if any(name.startswith((TEACHABLE_MODEL, TEACHABLE_SAVED_MODEL)) for name in names):
                archive.extractall(folder)
                return _load_teachable(Path(folder), source=path)
            if ARCHITECTURE in names:
                archive.extractall(folder)
                return replace(_load_json(Path(folder) / ARCHITECTURE), path=path, name=path.stem)
        raise ModelError(f"{path}: {describe_archive(path)}")
    except (zipfile.BadZipFile, EOFError) as error:
        raise ModelError(f"{path}: damaged or cut off: {one_line(error)}; copy or save the model again") from error


def _load_json(path: Path) -> LoadedModel:
    """Load a JSON description of a Keras or TensorFlow.js model, with the weights beside it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: damaged: {error}; copy or save the model again") from error
    if is_tfjs(content):
        names = labels_in_metadata(path.parent)
        loaded = replace(load_tfjs(path, content), output_names=names)
        # Pixels are always RGB, -1..1, in Teachable Machine.
        return replace(loaded, pixels="-1..1", colours="rgb") if names else loaded
    weights = sorted({*path.parent.glob("*.h5"), *path.parent.glob("*.hdf5")})
    if len(weights) > 1:
        weights = [file for file in weights if same_stem(path, file)]
    if len(weights) != 1:
        raise ModelError(
            f"{path}: describes a model, whose weights lie in one .h5 file beside it; there are {len(weights)}: "
            "put what model.save_weights() wrote there, and nothing else"
        )
    return load_architecture(path, weights[0])


def _load_teachable(folder: Path, *, source: Path) -> LoadedModel:
    """Load a Teachable Machine export for Keras or as SavedModel; its pixels are always RGB, -1..1."""
    if (folder / TEACHABLE_MODEL).is_file():
        loaded = load_hdf5(folder / TEACHABLE_MODEL, source=source)
    else:
        loaded = load_saved_model(folder / TEACHABLE_SAVED_MODEL, source=source)
    kind = f"Teachable Machine, {loaded.kind}"
    names = read_label_file(folder / LABELS)
    return replace(loaded, path=source, name=source.stem, kind=kind, output_names=names, pixels="-1..1", colours="rgb")


class _Run(BaseModel):
    """What a training run states of its model in run.json."""

    labels: tuple[str, ...]
    margin_fraction: float
    # Files are named after it.
    name: str | None = Field(None, pattern="^[^/]+$")
    pixels: PixelRange | None = None
    colour_order: Colours | None = None
    training_data: tuple[str, ...] = ()


def _with_run(loaded: LoadedModel, path: Path) -> LoadedModel:
    """Add the metadata that a training run wrote beside its model."""
    file = run_file_of(path)
    if not file.is_file():
        return loaded
    try:
        run = _Run.model_validate_json(file.read_bytes())
    except ValidationError as error:
        mistakes = "; ".join(mistakes_in(error))
        raise ModelError(
            f"{file}: not the description of a training run: {mistakes}; train again, or remove it"
        ) from error
    return replace(
        loaded,
        name=run.name or loaded.name,
        output_names=run.labels,
        margin_fraction=run.margin_fraction,
        pixels=run.pixels,
        colours=run.colour_order,
        # The resampling of edge-train.
        resampling="area",
        training_data=run.training_data,
    )
