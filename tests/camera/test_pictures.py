"""Pictures: folders of pictures, played like a recording."""

import logging

import cv2
import numpy as np
import pytest

from edge_agent.camera.pictures import PICTURES_PER_SECOND, PictureFolder, picture_paths
from edge_agent.errors import CameraError
from tests.cameras import next_picture


def write_picture(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((20, 30, 3), 90, np.uint8) if pixels is None else pixels)
    return path


def test_files_keep_their_order_and_folders_are_read_in_name_order(tmp_path):
    for name in ("b/2.png", "b/1.JPG", "b/c/0.webp", "a.png", "b/notes.txt", "b/.hidden.png", "b/.trash/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")

    paths = picture_paths([tmp_path / "b", tmp_path / "a.png", tmp_path / "missing.xyz"])

    names = [str(path.relative_to(tmp_path)) for path in paths]
    assert names == ["b/1.JPG", "b/2.png", "b/c/0.webp", "a.png", "missing.xyz"]


def test_a_damaged_picture_is_reported_once_and_skipped(tmp_path, caplog):
    for number in (1, 3, 4):
        write_picture(tmp_path / f"{number}.png", np.full((20, 30, 3), number, np.uint8))
    (tmp_path / "0.png").write_bytes(b"no")
    (tmp_path / "2.png").write_bytes(b"")
    folder = PictureFolder(tmp_path)

    seen = []
    with caplog.at_level(logging.WARNING):
        while (image := next_picture(folder)) is not None:
            seen.append((int(image[0, 0, 0]), folder.position_seconds))

    assert seen == [(1, 0.0), (3, 1 / PICTURES_PER_SECOND), (4, 2 / PICTURES_PER_SECOND)]
    assert next_picture(folder) is None
    reported = [record.getMessage().split(":")[0] for record in caplog.records]
    assert reported == [str(tmp_path / "0.png"), str(tmp_path / "2.png")]


def test_a_folder_without_pictures_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("none here")

    with pytest.raises(CameraError, match=r"contains no pictures; add files that end in \.bmp"):
        PictureFolder(tmp_path)


def test_a_folder_of_only_damaged_pictures_is_an_error_with_the_first_reason(tmp_path, caplog):
    (tmp_path / "1.jpg").write_bytes(b"")
    (tmp_path / "2.jpg").write_bytes(b"no")

    with pytest.raises(
        CameraError, match=r"none of its 2 pictures can be read; the first: .*1\.jpg: the file is empty"
    ):
        PictureFolder(tmp_path)

    assert not caplog.records
