"""File formats: recognises model files, and explains how to convert unsupported ones."""

from __future__ import annotations

import codecs
import re
import zipfile
from typing import TYPE_CHECKING, Literal, TypeAlias

from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

FileFormat: TypeAlias = Literal["hdf5", "zip", "json", "onnx"]

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
ZIP_MAGIC = b"PK\x03\x04"
TFLITE_MAGIC = b"TFL3"
READ_BYTES = 4096

_TAKEN = "HDF5 or .keras of Keras, SavedModel folders, model.json with its weights, ONNX, Teachable Machine exports"
_TO_ONNX = "export it where it was trained, with torch.onnx.export(model, example, 'masks.onnx'), and convert that file"
_TO_SAVED_MODEL = (
    "export it where it was trained, with model.export(folder) or tf.saved_model.save, and convert the folder"
)


def format_of(path: Path) -> FileFormat:
    """Identify a model file by its content.

    Raises:
        ModelError: it is not a model, or one for another command; the message states what it is and what to do.
    """
    try:
        with path.open("rb") as file:
            start = file.read(READ_BYTES)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if start.startswith(HDF5_MAGIC):
        return "hdf5"
    if start.startswith(ZIP_MAGIC):
        return "zip"
    if start.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"{" and path.suffix == ".json":
        return "json"
    if path.suffix == ".onnx" and start[:1] == b"\x08":
        return "onnx"
    raise ModelError(f"{path}: {_describe_unsupported(path, start)}")


def describe_archive(path: Path) -> str:
    """Describe a zip without a Keras model, and what to do with it."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    # .pt2 is a program of torch.export, without pickles.
    if path.suffix == ".pt2" or any(name.endswith("data.pkl") for name in names):
        return f"a file of PyTorch; {_TO_ONNX}"
    if any(name.endswith(".tflite") for name in names):
        return f"an archive with a TFLite model; make its card: edge-convert card {path} --calibration FOLDER"
    shown = ", ".join(names[:5])
    return f"an archive without a Keras model ({shown}); unpack it and give the model in it: {_TAKEN}"


def _describe_unsupported(path: Path, start: bytes) -> str:
    text = start.lstrip()[:200].lower()
    found: tuple[tuple[bool, str], ...] = (
        (
            start[4:8] == TFLITE_MAGIC,
            f"is a TFLite model already; make its card: edge-convert card {path} --calibration FOLDER",
        ),
        (
            text.startswith(b"version https://git-lfs"),
            f"a pointer of Git LFS in place of the {_size_in(start)}model; fetch it with 'git lfs pull' where it was "
            "cloned, or download the file itself",
        ),
        (
            text.startswith((b"<!doctype html", b"<html")),
            "a web page that was saved in place of a model; use the download link of the file itself",
        ),
        (
            start[:2] == b"\x80\x02" or start[:1] == b"\x80",
            "a Python pickle (.pkl, or a checkpoint of PyTorch before 1.6); loading it would run what is in it: "
            + _TO_ONNX,
        ),
        (
            path.suffix in {".pb", ".pbtxt"},
            f"a TensorFlow graph on its own; {_TO_SAVED_MODEL} (a SavedModel is a folder with saved_model.pb in it)",
        ),
        (
            path.suffix in {".index", ".meta", ".ckpt"} or ".data-0" in path.name or path.name == "checkpoint",
            f"a checkpoint of TensorFlow, weights without a model; {_TO_SAVED_MODEL}",
        ),
        (start.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")), "an archive; unpack it first"),
        (start[257:262] == b"ustar", "an archive; unpack it first"),
        (not start, "an empty file; download or save the model again"),
    )
    otherwise = (
        "not a Keras model (neither HDF5 nor .keras), or cut off at its beginning; save it again with "
        f"model.save('masks.keras'); what is taken: {_TAKEN}"
    )
    return next((what for applies, what in found if applies), otherwise)


def _size_in(pointer: bytes) -> str:
    size = re.search(rb"size (\d+)", pointer)
    return f"{int(size.group(1)) / 1e6:.1f} MB " if size else ""
