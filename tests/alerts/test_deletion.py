"""Deletion: the pictures first, and nothing that is still to be sent."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from edge_agent.alerts.crops import find_crop, find_scene
from edge_agent.alerts.deletion import delete_alert
from edge_agent.alerts.history import AlertHistory
from edge_agent.alerts.store import AlertStore
from edge_agent.errors import CommandError, CropError
from tests.alerts.test_history import an_id, put
from tests.mqtt.samples import BOOT_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALERT = an_id(1)


@pytest.fixture
def history(tmp_path) -> Iterator[AlertHistory]:
    """Two alerts, the first of which is delivered."""
    file = tmp_path / "alerts.sqlite"
    with closing(AlertStore(file, boot_id=BOOT_ID)) as store:
        put(store, 1, 2)
        store.remove(an_id(1))
        yield AlertHistory(file)


def a_crop(folder: Path, name: str) -> Path:
    (folder / "crops").mkdir(exist_ok=True)
    crop = folder / "crops" / name
    crop.write_bytes(b"a picture")
    return crop


def delete(history: AlertHistory, tmp_path: Path, alert_id: str = ALERT) -> bool:
    return delete_alert(alert_id, history=history, crops_folder=tmp_path / "crops", publishes_crops=True)


@pytest.mark.parametrize("suffix", [".jpg", ".jpg.age"])
def test_pictures_and_entry_are_removed(history, tmp_path, suffix):
    crop, another = a_crop(tmp_path, ALERT + suffix), a_crop(tmp_path, an_id(2) + suffix)
    scene, another_scene = (a_crop(tmp_path, f"{one}.scene{suffix}") for one in (ALERT, an_id(2)))
    assert find_crop(tmp_path / "crops", ALERT) == crop
    assert find_scene(tmp_path / "crops", ALERT) == scene

    assert delete(history, tmp_path)

    assert not crop.exists()
    assert not scene.exists()
    assert another.exists()
    assert another_scene.exists()
    assert [entry.message["sequence"] for entry in history.find()] == [2]
    assert not delete(history, tmp_path)


def test_an_alert_without_a_picture_is_removed(history, tmp_path):
    assert delete(history, tmp_path)


def test_a_picture_still_to_be_sent_stays_with_its_entry(history, tmp_path):
    crop = a_crop(tmp_path, f"{an_id(2)}.jpg")

    with pytest.raises(CommandError, match="has not been sent yet"):
        delete(history, tmp_path, an_id(2))

    assert crop.exists()
    assert history.entry(an_id(2)) is not None


def test_an_unpublished_picture_is_removed_while_its_alert_is_pending(history, tmp_path):
    crop = a_crop(tmp_path, f"{an_id(2)}.jpg")

    assert delete_alert(an_id(2), history=history, crops_folder=tmp_path / "crops", publishes_crops=False)

    assert not crop.exists()


def test_a_picture_that_cannot_be_removed_is_still_known(history, tmp_path):
    # Root may remove files anywhere, but not a folder as if it were one.
    (tmp_path / "crops" / f"{ALERT}.jpg").mkdir(parents=True)

    with pytest.raises(CropError, match=r"cannot be removed: .*needs write access"):
        delete(history, tmp_path)

    assert history.entry(ALERT) is not None


def test_an_alert_stays_if_its_picture_cannot_be_looked_for(history, tmp_path):
    # A folder that cannot be entered, even by root: its name is too long.
    folder = tmp_path / ("x" * 300)

    with pytest.raises(CropError, match="needs access"):
        delete_alert(ALERT, history=history, crops_folder=folder, publishes_crops=True)

    assert history.entry(ALERT) is not None


@pytest.mark.parametrize("nasty", ["../secret", "/etc/passwd", "secret", f"{ALERT}/../../secret", f"{ALERT}\n", ""])
def test_an_invalid_id_finds_no_file(history, tmp_path, nasty):
    a_crop(tmp_path, "secret.jpg")
    a_crop(tmp_path, f"../{'secret.jpg'}")

    assert find_crop(tmp_path / "crops", nasty) is None
    assert find_scene(tmp_path / "crops", nasty) is None
    assert not delete(history, tmp_path, nasty)
