"""Packing: packed faces equal those of the pictures."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from edge_agent.domain import Box
from edge_agent.errors import ConfigError
from edge_agent.vision.images import read_picture
from edge_agent.vision.tensors import face_pixels, face_region
from tests.file_sizes import limited_file_size
from training.masks.examples import Example
from training.masks.jitter import FaceCropper
from training.masks.pack import MAX_FACE_PX, open_pack

VIEW = FaceCropper(margin_fraction=0.25, input_px=64)


def a_scene(tmp_path, *, width=300, height=200):
    random = np.random.default_rng(1)
    image = cv2.resize(random.integers(0, 256, (20, 30, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / "scene.png"
    cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("box", [Box(100, 60, 140, 110), Box(0, 0, 30, 40), Box(270, 150, 310, 210)])
def test_a_packed_face_has_the_pixels_of_the_device(tmp_path, box):
    path = a_scene(tmp_path)
    region = face_region(box, margin_fraction=VIEW.margin_fraction)
    seen = face_pixels(read_picture(path), region, width_px=64, height_px=64)

    pack = open_pack([Example(path, "with_mask", "one", box)], folder=tmp_path / "packs")

    assert np.array_equal(VIEW.crop(pack.crop(0), pack.box(0), whole=False), seen)


def test_a_large_face_is_kept_no_larger_than_any_input_needs(tmp_path):
    path = a_scene(tmp_path, width=900, height=900)

    pack = open_pack([Example(path, "with_mask", "one", Box(200, 200, 700, 650))], folder=tmp_path / "packs")

    assert pack.box(0).width_px == pytest.approx(MAX_FACE_PX)


def test_a_picture_without_a_box_is_the_face(tmp_path):
    path = a_scene(tmp_path, width=90, height=80)

    pack = open_pack([Example(path, "with_mask", "one")], folder=tmp_path / "packs")

    assert pack.whole.all()
    assert pack.box(0) == Box(0, 0, 90, 80)
    assert np.array_equal(pack.crop(0), read_picture(path))


def test_unreadable_pictures_are_listed_and_omitted(tmp_path):
    path = a_scene(tmp_path)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")

    pack = open_pack(
        [Example(broken, "with_mask", "one"), Example(path, "with_mask", "one")], folder=tmp_path / "packs"
    )

    assert [example.path for example in pack.examples] == [path]
    assert "broken.jpg: " in pack.unreadable[0]


@pytest.mark.parametrize("source", ["../elsewhere", "street/night", "x" * 300])
def test_a_pack_lies_in_its_folder_whatever_its_source_is_called(tmp_path, source):
    example = Example(a_scene(tmp_path), "with_mask", source)

    open_pack([example], folder=tmp_path / "packs")

    assert {path.suffix for path in (tmp_path / "packs").iterdir()} == {".bin", ".npz"}


def test_a_full_disk_leaves_no_part_of_a_pack_on_it(tmp_path):
    examples = [Example(a_scene(tmp_path), "with_mask", "one")]

    with limited_file_size(1000), pytest.raises(OSError, match="too large"):
        open_pack(examples, folder=tmp_path / "packs")

    assert not list((tmp_path / "packs").iterdir())


def test_the_unfinished_index_of_another_run_is_left_alone(tmp_path):
    examples = [Example(a_scene(tmp_path), "with_mask", "one")]
    open_pack(examples, folder=tmp_path / "packs")
    (index,) = (tmp_path / "packs").glob("*.npz")
    index.unlink()
    index.with_suffix(".part.npz").mkdir()

    assert len(open_pack(examples, folder=tmp_path / "packs")) == 1


def test_data_without_readable_pictures_is_reported(tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")

    with pytest.raises(ConfigError, match="no face can be read"):
        open_pack([Example(broken, "with_mask", "one")], folder=tmp_path / "packs")


def test_opening_again_reads_no_picture(tmp_path):
    path = a_scene(tmp_path)
    examples = [Example(path, "with_mask", "one", Box(100, 60, 140, 110))]
    first = open_pack(examples, folder=tmp_path / "packs")
    unchanged = path.stat()
    path.write_bytes(b"no picture")
    os.utime(path, ns=(unchanged.st_atime_ns, unchanged.st_mtime_ns))

    second = open_pack(examples, folder=tmp_path / "packs")

    assert np.array_equal(first.crop(0), second.crop(0))


def test_a_picture_that_has_changed_is_read_again(tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"no picture")
    examples = [Example(path, "with_mask", "one"), Example(a_scene(tmp_path), "with_mask", "one")]
    assert len(open_pack(examples, folder=tmp_path / "packs")) == 1

    cv2.imwrite(str(path), np.zeros((50, 40, 3), np.uint8))

    pack = open_pack(examples, folder=tmp_path / "packs")
    assert (len(pack), pack.unreadable) == (2, ())
