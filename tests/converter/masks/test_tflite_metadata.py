"""TFLite Metadata of Model Maker gives labels and normalization."""

from __future__ import annotations

import pytest

from converter.masks.tflite_metadata import Normalization, labels_in_metadata, normalization_in_metadata
from tests.converter.model_maker import with_metadata


@pytest.fixture(scope="module")
def model(converted):
    return converted.read_bytes()


@pytest.mark.parametrize(
    ("mean", "std", "channels", "wanted"),
    [
        ((127.5,), (127.5,), 3, Normalization("-1..1")),
        ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0), 3, Normalization("-1..1")),
        ((0.0,), (255.0,), 1, Normalization("0..1")),
        ((0.0,), (1.0,), 3, Normalization("0..255")),
        ((103.5, 116.25, 123.5), (1.0,), 3, Normalization("0..255", (103.5, 116.25, 123.5))),
        (
            (123.5, 116.25, 103.5),
            (58.5, 57.0, 57.5),
            3,
            Normalization("0..255", (123.5, 116.25, 103.5), (58.5, 57, 57.5)),
        ),
        ((100.0,), (50.0,), 1, Normalization("0..255", (100.0,), (50.0,))),
        ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0), 1, None),
        ((0.0,), (0.0,), 3, None),
        ((), (), 3, None),
    ],
)
def test_normalization_is_a_range_or_numbers_for_each_channel(model, mean, std, channels, wanted):
    content = with_metadata(model, mean=mean, std=std)

    assert normalization_in_metadata(content, channels=channels) == wanted


def test_a_file_without_metadata_has_no_normalization_and_no_names(model):
    assert normalization_in_metadata(model, channels=3) is None
    assert labels_in_metadata(model) == ()


def test_the_label_file_is_packed_behind_the_model(model):
    assert labels_in_metadata(with_metadata(model, labels=("Mask", "No Mask"))) == ("Mask", "No Mask")


@pytest.mark.parametrize("lost", range(8, 160, 8))
def test_damaged_metadata_is_ignored(model, lost):
    content = with_metadata(model, mean=(127.5,), std=(127.5,), lost_bytes=lost)

    assert normalization_in_metadata(content, channels=3) is None
