"""What a person deletes is gone: the picture first, and nothing that is still to be sent."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from edge_agent.errors import CommandError, CropError
from edge_agent.evidence.album import Album
from edge_agent.evidence.crops import find_crop
from edge_agent.evidence.deletion import delete_alert
from tests.evidence.test_album import a_message, put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALERT = a_message(1)["id"]


@pytest.fixture
def album(tmp_path) -> Iterator[Album]:
    with closing(Album(tmp_path / "album.sqlite", keep_days=30.0)) as opened:
        put(opened, 1, 2)
        yield opened


def a_crop(folder: Path, name: str) -> Path:
    (folder / "crops").mkdir(exist_ok=True)
    crop = folder / "crops" / name
    crop.write_bytes(b"a picture")
    return crop


def delete(album: Album, tmp_path: Path, alert_id: str = ALERT, *, is_owed: bool = False) -> bool:
    return delete_alert(alert_id, album=album, crops_folder=tmp_path / "crops", is_owed=lambda _: is_owed)


@pytest.mark.parametrize("suffix", [".jpg", ".jpg.age"])
def test_the_picture_and_what_is_known_of_it_go(album, tmp_path, suffix):
    crop, another = a_crop(tmp_path, ALERT + suffix), a_crop(tmp_path, a_message(2)["id"] + suffix)
    assert find_crop(tmp_path / "crops", ALERT) == crop

    assert delete(album, tmp_path)

    assert not crop.exists()
    assert another.exists()
    assert [entry.message["sequence"] for entry in album.find()] == [2]
    assert not delete(album, tmp_path)


def test_an_alert_without_a_picture_goes_all_the_same(album, tmp_path):
    assert delete(album, tmp_path)


def test_a_picture_that_is_still_to_be_sent_stays_with_all_that_is_known(album, tmp_path):
    crop = a_crop(tmp_path, f"{ALERT}.jpg")

    with pytest.raises(CommandError, match="still waits to be sent"):
        delete(album, tmp_path, is_owed=True)

    assert crop.exists()
    assert album.entry(ALERT) is not None


def test_a_picture_that_cannot_be_removed_is_still_known(album, tmp_path):
    # Root may remove files anywhere, but not a folder as if it were one.
    (tmp_path / "crops" / f"{ALERT}.jpg").mkdir(parents=True)

    with pytest.raises(CropError, match=r"cannot be removed: .*needs write access"):
        delete(album, tmp_path)

    assert album.entry(ALERT) is not None


@pytest.mark.parametrize("nasty", ["../secret", "/etc/passwd", "secret", f"{ALERT}/../../secret", f"{ALERT}\n", ""])
def test_what_is_no_id_of_an_alert_leads_to_no_file(album, tmp_path, nasty):
    a_crop(tmp_path, "secret.jpg")
    a_crop(tmp_path, f"../{'secret.jpg'}")

    assert find_crop(tmp_path / "crops", nasty) is None
    assert not delete(album, tmp_path, nasty)
