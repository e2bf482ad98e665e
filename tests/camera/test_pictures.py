"""Pictures: photographs one by one, and folders of them."""

import logging
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.camera.pictures import LARGEST_PX, PICTURES_PER_SECOND, PictureFolder, picture_paths, read_picture
from edge_agent.errors import CameraError, PictureError


def write_picture(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((20, 30, 3), 90, np.uint8) if pixels is None else pixels)
    return path


def write_huge_png(path, *, side_px):
    """A few hundred kilobytes that state and hold `side_px` squared black pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(side_px * (side_px + 1)), 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".JPG"])
def test_every_kind_is_read(tmp_path, suffix):
    image = read_picture(write_picture(tmp_path / f"portrait{suffix}"))

    assert image.shape == (20, 30, 3)
    assert image.dtype == np.uint8
    assert abs(int(image.mean()) - 90) <= 1


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((20, 30), 90, np.uint8),
        np.full((20, 30, 4), 90, np.uint8),
        np.full((20, 30), 90 * 257, np.uint16),
        np.full((20, 30, 3), 90 * 257, np.uint16),
    ],
    ids=["grey", "transparent", "grey of 16 bits", "colour of 16 bits"],
)
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_other_layouts_become_colour_of_eight_bits(tmp_path, pixels, suffix):
    image = read_picture(write_picture(tmp_path / f"scan{suffix}", pixels))

    assert image.shape == (20, 30, 3)
    assert image.dtype == np.uint8
    assert (image == 90).all()


def test_a_telephone_held_upright_gives_an_upright_picture(tmp_path):
    lying = np.zeros((20, 30, 3), np.uint8)
    lying[:, :15] = 255
    path = write_picture(tmp_path / "lying.jpg", lying)
    content = path.read_bytes()
    turned = b"Exif\0\0MM\0*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(turned) + 2) + turned + content[2:])

    image = read_picture(path)

    assert image.shape == (30, 20, 3)
    assert image[:10].mean() > 200
    assert image[-10:].mean() < 50


def test_a_name_that_is_not_utf8_is_read(tmp_path):
    path = write_picture(tmp_path / "plain.png")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    path.rename(odd)

    assert read_picture(odd).shape == (20, 30, 3)


def test_each_way_in_which_a_picture_cannot_be_read_has_its_own_sentence(tmp_path):
    good = write_picture(tmp_path / "good.jpg", np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    (tmp_path / "half.jpg").write_bytes(good.read_bytes()[:2000])
    os.mkfifo(tmp_path / "pipe.jpg")
    cv2.imwrite(str(tmp_path / "float.tiff"), np.zeros((20, 30, 3), np.float32))

    reasons = {
        "missing.jpg": "No such file or directory",
        "empty.jpg": "the file is empty",
        "letter.jpg": "not a JPEG, PNG, BMP, WebP or TIFF picture",
        "half.jpg": "cut off or damaged",
        "pipe.jpg": "not a file",
        "float.tiff": "float32",
    }
    for name, reason in reasons.items():
        with pytest.raises(PictureError) as raised:
            read_picture(tmp_path / name)
        assert str(raised.value).startswith(f"{tmp_path / name}: ")
        assert reason in str(raised.value)


def test_a_hundred_megapixels_are_refused_before_they_are_decoded(tmp_path):
    path = write_huge_png(tmp_path / "bomb.png", side_px=10_000)

    with pytest.raises(PictureError, match=r"10000x10000 pixels .* too large; make it smaller than 67 megapixels"):
        read_picture(path)


def test_the_largest_telephone_pictures_are_read(tmp_path):
    path = write_huge_png(tmp_path / "wall.png", side_px=8000)

    assert LARGEST_PX >= 8000 * 8000
    assert read_picture(path).shape == (8000, 8000, 3)


def test_files_stay_in_their_order_and_folders_are_walked_in_name_order(tmp_path):
    for name in ("b/2.png", "b/1.JPG", "b/c/0.webp", "a.png", "b/notes.txt", "b/.hidden.png", "b/.trash/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")

    paths = picture_paths([tmp_path / "b", tmp_path / "a.png", tmp_path / "missing.xyz"])

    names = [str(path.relative_to(tmp_path)) for path in paths]
    assert names == ["b/1.JPG", "b/2.png", "b/c/0.webp", "a.png", "missing.xyz"]


def test_a_broken_picture_among_good_ones_is_reported_once_and_skipped(tmp_path, caplog):
    for number in (1, 3, 4):
        write_picture(tmp_path / f"{number}.png", np.full((20, 30, 3), number, np.uint8))
    (tmp_path / "0.png").write_bytes(b"no")
    (tmp_path / "2.png").write_bytes(b"")
    folder = PictureFolder(tmp_path)

    seen = []
    with caplog.at_level(logging.WARNING):
        while (image := folder.read()) is not None:
            seen.append((int(image[0, 0, 0]), folder.position_seconds))

    assert seen == [(1, 0.0), (3, 1 / PICTURES_PER_SECOND), (4, 2 / PICTURES_PER_SECOND)]
    assert folder.read() is None
    reported = [record.getMessage().split(":")[0] for record in caplog.records]
    assert reported == [str(tmp_path / "0.png"), str(tmp_path / "2.png")]


def test_a_folder_without_a_picture_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("none here")

    with pytest.raises(CameraError, match=r"holds no picture; put files there that end in \.bmp"):
        PictureFolder(tmp_path)


def test_a_folder_of_nothing_but_broken_pictures_is_refused_with_the_first_reason(tmp_path, caplog):
    (tmp_path / "1.jpg").write_bytes(b"")
    (tmp_path / "2.jpg").write_bytes(b"no")

    with pytest.raises(
        CameraError, match=r"none of its 2 pictures can be read; the first: .*1\.jpg: the file is empty"
    ):
        PictureFolder(tmp_path)

    assert not caplog.records
