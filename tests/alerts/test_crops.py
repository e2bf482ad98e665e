"""Crops: each file is complete and durable, or missing."""

import hashlib
import os
import stat
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.alerts.crops import Crops
from edge_agent.config.model import CropsConfig
from edge_agent.errors import ConfigError, CropError
from edge_agent.vision.images import read_picture
from tests.file_sizes import limited_file_size

ALERT_ID = "01950000-0000-7000-8000-000000000001"


@pytest.fixture
def cutout():
    """A picture with some detail: 120 px wide, 160 px high."""
    ramp = np.arange(160 * 120 * 3, dtype=np.uint32) % 251
    return cv2.GaussianBlur(ramp.astype(np.uint8).reshape(160, 120, 3), (9, 9), 0)


def test_a_crop_is_a_jpeg_named_by_its_alert(tmp_path, cutout):
    crop = Crops(tmp_path / "state" / "crops", CropsConfig(jpeg_quality=95)).save(ALERT_ID, cutout)

    assert crop.file == str(tmp_path / "state" / "crops" / f"{ALERT_ID}.jpg")
    content = Path(crop.file).read_bytes()
    assert crop.sha256 == hashlib.sha256(content).hexdigest()
    assert crop.bytes == len(content)
    shown = read_picture(Path(crop.file))
    assert shown.shape == cutout.shape
    assert np.abs(shown.astype(int) - cutout).mean() < 4


def test_a_folder_that_messages_cannot_name_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="not UTF-8"):
        Crops(tmp_path / os.fsdecode(b"crops\xff"), CropsConfig())


def test_the_path_is_absolute_even_if_the_folder_is_relative(tmp_path, cutout, monkeypatch):
    monkeypatch.chdir(tmp_path)

    crop = Crops(Path("crops"), CropsConfig(jpeg_quality=90)).save(ALERT_ID, cutout)

    assert crop.file == str(tmp_path / "crops" / f"{ALERT_ID}.jpg")


def test_crops_are_not_readable_by_all_users(tmp_path, cutout):
    crop = Crops(tmp_path, CropsConfig(jpeg_quality=90)).save(ALERT_ID, cutout)

    assert not stat.S_IMODE(Path(crop.file).stat().st_mode) & stat.S_IRWXO


def test_a_scene_is_stored_beside_its_crop_with_the_same_permissions(tmp_path, cutout):
    crops = Crops(tmp_path, CropsConfig(jpeg_quality=90))
    crop = crops.save(ALERT_ID, cutout)

    scene = crops.keep_scene(ALERT_ID, b"a JPEG")

    assert scene.file == str(tmp_path / f"{ALERT_ID}.scene.jpg")
    assert Path(scene.file).read_bytes() == b"a JPEG"
    assert stat.S_IMODE(Path(scene.file).stat().st_mode) == stat.S_IMODE(Path(crop.file).stat().st_mode)


def test_lower_quality_makes_smaller_files(tmp_path, cutout):
    fine = Crops(tmp_path, CropsConfig(jpeg_quality=95)).save(ALERT_ID, cutout)
    coarse = Crops(tmp_path, CropsConfig(jpeg_quality=20)).save(ALERT_ID, cutout)

    assert coarse.bytes < fine.bytes


def test_nothing_but_the_crop_is_left_in_the_folder(tmp_path, cutout):
    Crops(tmp_path, CropsConfig(jpeg_quality=90)).save(ALERT_ID, cutout)

    assert [file.name for file in tmp_path.iterdir()] == [f"{ALERT_ID}.jpg"]


def test_unfinished_files_are_removed_at_the_start_and_nothing_else(tmp_path, cutout):
    kept = Crops(tmp_path, CropsConfig(jpeg_quality=90)).save(ALERT_ID, cutout)
    own = tmp_path / "holiday.jpg"
    own.touch()
    (tmp_path / ".01950000-0000-7000-8000-000000000002.jpg.unfinished").write_bytes(b"\xff\xd8")

    Crops(tmp_path, CropsConfig(jpeg_quality=90))

    assert sorted(tmp_path.iterdir()) == sorted([own, Path(kept.file)])


@pytest.mark.parametrize("folder", ["taken", "/proc/maskwatch"])
def test_an_unwritable_folder_is_reported_with_its_name(tmp_path, cutout, folder):
    (tmp_path / "taken").write_text("a file in the place of the folder")
    crops = Crops(tmp_path / folder, CropsConfig(jpeg_quality=90))

    with pytest.raises(CropError, match=rf"{tmp_path / folder}/{ALERT_ID}\.jpg: .*crops\.dir"):
        crops.save(ALERT_ID, cutout)


def test_a_full_disk_leaves_nothing_behind(tmp_path, cutout):
    crops = Crops(tmp_path, CropsConfig(jpeg_quality=90))
    with limited_file_size(500), pytest.raises(CropError, match="File too large"):
        crops.save(ALERT_ID, cutout)

    assert list(tmp_path.iterdir()) == []
    assert crops.save(ALERT_ID, cutout).bytes > 500


def test_an_invalid_picture_is_a_crop_error(tmp_path):
    with pytest.raises(CropError, match=r"\(0, 10, 3\) cannot be encoded"):
        Crops(tmp_path, CropsConfig(jpeg_quality=90)).save(ALERT_ID, np.zeros((0, 10, 3), np.uint8))
