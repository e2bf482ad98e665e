"""File formats: a file that is not a model is named for what it is, with the way to a model."""

from __future__ import annotations

import pickle
import zipfile

import pytest

from converter.masks.loading import load_model
from edge_agent.errors import ModelError

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 127678168\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.h5", LFS, "a pointer of Git LFS in place of the 127.7 MB model; .*git lfs pull"),
        ("a.h5", b"<!DOCTYPE html><html>", "a web page that was saved in place of a model"),
        ("a.pkl", pickle.dumps({"a": 1}), "a Python pickle"),
        ("a.pb", b"\x0a\x10", "a TensorFlow graph on its own"),
        ("a.ckpt", b"\x00\x01", "a checkpoint of TensorFlow"),
        ("a.tar.gz", b"\x1f\x8b\x08", "an archive; unpack it first"),
        ("a.tflite", b"\x1c\x00\x00\x00TFL3", "edge-convert card"),
        ("a.h5", b"", "an empty file"),
        ("a.h5", b"nonsense", "not a Keras model"),
    ],
)
def test_the_kind_of_a_file_is_recognised(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ModelError, match=said):
        load_model(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "member", "said"),
    [
        ("a.pth", "masks/data.pkl", r"a file of PyTorch; .*torch\.onnx\.export"),
        ("a.pt2", "masks/data/weights/weight_0", r"a file of PyTorch; .*torch\.onnx\.export"),
        ("a.pth", "model_unquant.tflite", "make its card: edge-convert card"),
        ("a.pth", "holiday.txt", r"an archive without a Keras model \(holiday\.txt\)"),
    ],
)
def test_the_kind_of_an_archive_is_recognised(tmp_path, name, member, said):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr(member, "x")

    with pytest.raises(ModelError, match=said):
        load_model(tmp_path / name)
