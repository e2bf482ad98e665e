"""Export: the faces of reviewed alerts, in one folder per label, each in one folder only."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from edge_agent.alerts import export
from edge_agent.alerts.export import export_faces, reviewed_alerts
from edge_agent.alerts.history import AlertHistory
from edge_agent.alerts.store import AlertStore
from edge_agent.errors import ConfigError
from edge_agent.vision.images import read_picture
from edge_agent.vision.tensors import cut_region
from tests.alerts.test_history import NOON, TIMELINE, an_id, put
from tests.mqtt.samples import BOOT_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.alerts.history import Review


class Alerts:
    """A store whose history is reviewed."""

    def __init__(self, folder: Path) -> None:
        self.store = AlertStore(folder / "alerts.sqlite", boot_id=BOOT_ID)
        self.history = AlertHistory(folder / "alerts.sqlite")

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def alerts(tmp_path: Path) -> Iterator[Alerts]:
    with closing(Alerts(tmp_path)) as opened:
        yield opened


def a_crop(folder: Path, number: int) -> None:
    """A black picture with a face at the position given by TIMELINE."""
    picture = np.zeros((60, 50, 3), np.uint8)
    x1, y1, x2, y2 = TIMELINE.face_in_crop
    picture[y1:y2, x1:x2] = 200
    (folder / "crops").mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "crops" / f"{an_id(number)}.jpg"), picture)


def review(alerts: Alerts, folder: Path, number: int, label: Review) -> None:
    put(alerts.store, number)
    alerts.history.review(an_id(number), label)
    a_crop(folder, number)


def exported(alerts: Alerts, folder: Path, **filters: Any) -> Any:
    entries = reviewed_alerts(alerts.history, **filters)
    return export_faces(entries, crops_folder=folder / "crops", into=folder / "reviewed", cut=cut_region)


def files_in(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder / "reviewed")) for file in (folder / "reviewed").rglob("*.*"))


def test_reviewed_alerts_are_exported_into_the_folder_of_their_review(alerts, tmp_path):
    review(alerts, tmp_path, 1, "with_mask")
    review(alerts, tmp_path, 2, "no_face")
    review(alerts, tmp_path, 3, "")

    assert exported(alerts, tmp_path).pictures == {"with_mask": 1, "no_face": 1}

    assert files_in(tmp_path) == [f"no_face/{an_id(2)}.png", f"with_mask/{an_id(1)}.png"]


def test_an_exported_picture_shows_only_the_face(alerts, tmp_path):
    review(alerts, tmp_path, 1, "with_mask")

    exported(alerts, tmp_path)

    face = read_picture(tmp_path / "reviewed" / "with_mask" / f"{an_id(1)}.png")
    assert face.shape == (50, 40, 3)
    assert face.min() > 150


def test_a_changed_review_moves_the_picture(alerts, tmp_path):
    review(alerts, tmp_path, 1, "with_mask")
    exported(alerts, tmp_path)
    alerts.history.review(an_id(1), "no_face")

    exported(alerts, tmp_path)

    assert files_in(tmp_path) == [f"no_face/{an_id(1)}.png"]


def test_unreviewed_alerts_are_exported_by_their_label_if_requested(alerts, tmp_path):
    review(alerts, tmp_path, 1, "with_mask")
    review(alerts, tmp_path, 2, "")

    assert exported(alerts, tmp_path, also_others=True).pictures == {"with_mask": 1, "without_mask": 1}


def test_alerts_are_filtered_by_camera_and_first_day(alerts, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "ENTRIES_A_PAGE", 2)
    for number, camera, age_days in ((1, "door", 3), (2, "yard", 0), (3, "door", 1), (4, "door", 0)):
        put(alerts.store, number, camera=camera, when=NOON - timedelta(days=age_days))

    def found(**filters: Any) -> list[int]:
        return [entry.message["sequence"] for entry in reviewed_alerts(alerts.history, also_others=True, **filters)]

    assert found() == [4, 3, 2, 1]
    assert found(camera="door") == [4, 3, 1]
    assert found(since="2026-02-28") == [4, 3, 2]


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_missing_or_unreadable_picture_is_counted(alerts, tmp_path, content):
    review(alerts, tmp_path, 1, "with_mask")
    crop = tmp_path / "crops" / f"{an_id(1)}.jpg"
    crop.unlink()
    if content is not None:
        crop.write_bytes(content)

    done = exported(alerts, tmp_path)

    assert (dict(done.pictures), done.missing, done.encrypted) == ({}, 1, 0)


def test_encrypted_pictures_are_counted_and_not_exported(alerts, tmp_path):
    review(alerts, tmp_path, 1, "with_mask")
    crop = tmp_path / "crops" / f"{an_id(1)}.jpg"
    crop.rename(f"{crop}.age")

    done = exported(alerts, tmp_path)

    assert (dict(done.pictures), done.missing, done.encrypted) == ({}, 0, 1)


def test_an_unwritable_folder_is_named(alerts, tmp_path):
    review(alerts, tmp_path, 1, "with_mask")
    (tmp_path / "reviewed").touch()

    with pytest.raises(ConfigError, match=r"reviewed/with_mask/.*cannot be written: .*choose another folder"):
        exported(alerts, tmp_path)
