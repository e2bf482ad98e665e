"""Judged alerts become pictures in class folders, each in one of them, cut to the face."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from edge_agent.errors import ConfigError
from edge_agent.evidence import export
from edge_agent.evidence.album import Album
from edge_agent.evidence.export import export_faces, judged_alerts
from tests.evidence.test_album import COURSE, NOON, a_message, put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.evidence.album import Truth


@pytest.fixture
def album(tmp_path: Path) -> Iterator[Album]:
    with closing(Album(tmp_path / "album.sqlite", keep_days=30.0)) as opened:
        yield opened


def identity(number: int) -> str:
    return str(a_message(number)["id"])


def a_crop(folder: Path, number: int) -> None:
    """A picture that is black but for the face, where COURSE says that it is."""
    picture = np.zeros((60, 50, 3), np.uint8)
    x1, y1, x2, y2 = COURSE.face_in_crop
    picture[y1:y2, x1:x2] = 200
    (folder / "crops").mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "crops" / f"{identity(number)}.jpg"), picture)


def judge(album: Album, folder: Path, number: int, truth: Truth) -> None:
    put(album, number)
    album.say_truth(identity(number), truth)
    a_crop(folder, number)


def exported(album: Album, folder: Path, **asked: Any) -> Any:
    entries = judged_alerts(album, **asked)
    return export_faces(entries, crops_folder=folder / "crops", into=folder / "judged")


def files_in(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder / "judged")) for file in (folder / "judged").rglob("*.*"))


def test_what_was_judged_lies_in_the_folder_of_what_it_shows_and_nothing_else_does(album, tmp_path):
    judge(album, tmp_path, 1, "with_mask")
    judge(album, tmp_path, 2, "no_face")
    judge(album, tmp_path, 3, "")

    assert exported(album, tmp_path).pictures == {"with_mask": 1, "no_face": 1}

    assert files_in(tmp_path) == [f"no_face/{identity(2)}.png", f"with_mask/{identity(1)}.png"]


def test_a_picture_is_the_face_alone(album, tmp_path):
    judge(album, tmp_path, 1, "with_mask")

    exported(album, tmp_path)

    face = cv2.imread(str(tmp_path / "judged" / "with_mask" / f"{identity(1)}.png"))
    assert face.shape == (50, 40, 3)
    assert face.min() > 150


def test_what_was_judged_anew_moves(album, tmp_path):
    judge(album, tmp_path, 1, "with_mask")
    exported(album, tmp_path)
    album.say_truth(identity(1), "no_face")

    exported(album, tmp_path)

    assert files_in(tmp_path) == [f"no_face/{identity(1)}.png"]


def test_others_are_taken_by_the_label_they_had_where_that_is_wanted(album, tmp_path):
    judge(album, tmp_path, 1, "with_mask")
    judge(album, tmp_path, 2, "")

    assert exported(album, tmp_path, also_others=True).pictures == {"with_mask": 1, "without_mask": 1}


def test_a_camera_and_a_first_day_can_be_asked_for(album, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "ENTRIES_A_PAGE", 2)
    for number, camera, age_days in ((1, "door", 3), (2, "yard", 0), (3, "door", 1), (4, "door", 0)):
        put(album, number, camera=camera, when=NOON - timedelta(days=age_days))

    def found(**asked: Any) -> list[int]:
        return [entry.message["sequence"] for entry in judged_alerts(album, also_others=True, **asked)]

    assert found() == [4, 3, 2, 1]
    assert found(camera="door") == [4, 3, 1]
    assert found(since="2026-02-28") == [4, 3, 2]


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_picture_that_is_gone_or_cannot_be_read_is_counted(album, tmp_path, content):
    judge(album, tmp_path, 1, "with_mask")
    crop = tmp_path / "crops" / f"{identity(1)}.jpg"
    crop.unlink()
    if content is not None:
        crop.write_bytes(content)

    done = exported(album, tmp_path)

    assert (dict(done.pictures), done.missing, done.encrypted) == ({}, 1, 0)


def test_an_encrypted_picture_is_counted_and_left_alone(album, tmp_path):
    judge(album, tmp_path, 1, "with_mask")
    crop = tmp_path / "crops" / f"{identity(1)}.jpg"
    crop.rename(f"{crop}.age")

    done = exported(album, tmp_path)

    assert (dict(done.pictures), done.missing, done.encrypted) == ({}, 0, 1)


def test_a_folder_that_cannot_be_written_is_named(album, tmp_path):
    judge(album, tmp_path, 1, "with_mask")
    (tmp_path / "judged").touch()

    with pytest.raises(ConfigError, match=r"judged/with_mask/.*cannot be written: .*name another folder"):
        exported(album, tmp_path)
