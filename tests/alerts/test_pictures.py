"""Pictures: the face alone, without bystanders, encrypted, or none, as configured."""

from pathlib import Path

import numpy as np
import pyrage
import pytest

from edge_agent.alerts.crops import Crops
from edge_agent.config.model import CropsConfig
from edge_agent.domain import Box, Face, Frame, Reading
from edge_agent.vision.images import decode_picture, read_picture
from tests.values import NOON, a_track, noise

ALERT_ID = "01950000-0000-7000-8000-000000000001"
MARGIN_FRACTION = 0.5


def a_reading(bystanders, *, image=None):
    """A person at 40, 40 to 60, 60 in a picture of 200 by 100, whose cutout begins at 30, 30."""
    image = noise(200, 100) if image is None else image
    frame = Frame("door", 0, image, 0.0, NOON)
    box = Box(40, 40, 60, 60)
    return Reading(
        track=a_track(face=Face(box, 0.9)),
        label="without_mask",
        score=0.9,
        scores={"without_mask": 0.9, "with_mask": 0.1},
        taken_at=0.0,
        taken_when=NOON,
        frame_size=(200, 100),
        quality=1.0,
        cutout=frame.cut(box.grown(MARGIN_FRACTION)),
        cutout_place=(30, 30),
        bystanders=bystanders,
    )


def kept(tmp_path, reading, **settings):
    config = CropsConfig(jpeg_quality=100, margin_fraction=MARGIN_FRACTION, **settings)
    crop = Crops(tmp_path, config).keep_reading(ALERT_ID, reading)
    assert crop is not None
    return crop


def test_a_bystander_is_hidden_and_the_alerted_person_is_not(tmp_path):
    crop = kept(tmp_path, a_reading((Box(28, 5, 40, 25),)))

    shown = read_picture(Path(crop.file))
    reading = a_reading(())
    hidden = np.s_[6:24, 31:39]
    assert np.abs(shown[hidden].astype(int) - reading.cutout[hidden]).mean() > 30
    face = np.s_[12:28, 12:25]
    assert np.abs(shown[face].astype(int) - reading.cutout[face]).mean() < 15


def test_a_bystander_in_front_of_the_person_does_not_hide_them(tmp_path):
    crop = kept(tmp_path, a_reading((Box(0, 0, 40, 40),)))

    shown = read_picture(Path(crop.file))
    face = np.s_[12:28, 12:28]
    assert np.abs(shown[face].astype(int) - a_reading(()).cutout[face]).mean() < 15
    assert np.abs(shown[2:8, 2:8].astype(int) - a_reading(()).cutout[2:8, 2:8]).mean() > 30


def test_bystanders_are_visible_if_configured(tmp_path):
    reading = a_reading((Box(0, 0, 40, 40),))

    shown = read_picture(Path(kept(tmp_path, reading, blur_bystanders=False).file))

    assert np.abs(shown.astype(int) - reading.cutout).mean() < 15


def test_all_people_in_a_whole_frame_are_bystanders(tmp_path):
    frame = Frame("door", 0, noise(200, 100), 0.0, NOON)

    crop = Crops(tmp_path, CropsConfig(jpeg_quality=100)).keep_frame(ALERT_ID, frame, faces=[Box(40, 40, 60, 60)])

    assert crop is not None
    shown = read_picture(Path(crop.file))
    assert shown.shape == frame.image.shape
    assert np.abs(shown[42:58, 42:58].astype(int) - frame.image[42:58, 42:58]).mean() > 30


def test_an_encrypted_scene_is_nowhere_in_the_clear(tmp_path, owner):
    pictures = Crops(tmp_path, CropsConfig(picture="scene", encrypt_for=[str(owner.to_public())]))

    scene = pictures.keep_scene(ALERT_ID, b"a JPEG")

    assert scene is not None
    assert [file.name for file in tmp_path.iterdir()] == [f"{ALERT_ID}.scene.jpg.age"]
    assert pyrage.decrypt(Path(scene.file).read_bytes(), [owner]) == b"a JPEG"


def test_no_picture_is_stored_if_pictures_are_disabled(tmp_path):
    pictures = Crops(tmp_path / "crops", CropsConfig(picture="none"))

    assert pictures.keep_reading(ALERT_ID, a_reading(())) is None
    assert pictures.keep_frame(ALERT_ID, Frame("door", 0, noise(20, 20), 0.0, NOON), faces=[]) is None
    assert not (tmp_path / "crops").exists()


@pytest.fixture
def owner():
    return pyrage.x25519.Identity.generate()


def test_an_encrypted_crop_is_readable_by_its_owner_only(tmp_path, owner):
    reading = a_reading(())

    crop = kept(tmp_path, reading, encrypt_for=[str(owner.to_public())])

    assert crop.file == str(tmp_path / f"{ALERT_ID}.jpg.age")
    encrypted = Path(crop.file).read_bytes()
    assert len(encrypted) == crop.bytes
    opened = decode_picture(pyrage.decrypt(encrypted, [owner]))
    assert opened.shape == reading.cutout.shape
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(encrypted, [pyrage.x25519.Identity.generate()])


def test_nothing_of_an_encrypted_crop_is_in_the_clear_in_the_folder(tmp_path, owner):
    kept(tmp_path, a_reading(()), encrypt_for=[str(owner.to_public())])

    assert [file.name for file in tmp_path.iterdir()] == [f"{ALERT_ID}.jpg.age"]
    assert b"JFIF" not in (tmp_path / f"{ALERT_ID}.jpg.age").read_bytes()
