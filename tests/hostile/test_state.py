"""Hostile changes of the state: files deleted or replaced and clock steps while the agent runs."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import uuid
from contextlib import closing
from datetime import datetime, timedelta, timezone

import pytest

from edge_agent.alerts.database import history_entry
from edge_agent.alerts.events import EventQueue
from edge_agent.alerts.history import AlertHistory
from edge_agent.alerts.retention import Retention
from edge_agent.alerts.store import AlertStore
from edge_agent.alerts.timeline import Timeline
from edge_agent.messages.alert import AlertMessage, CropFile
from tests.mqtt.samples import BOOT_ID, a_message, put

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def delete(path):
    path.unlink()


def delete_with_its_log(path):
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def delete_the_folder(path):
    shutil.rmtree(path.parent)


def move_the_folder(path):
    path.parent.rename(path.parent.with_name("elsewhere"))


def replace_by_another(path):
    with closing(sqlite3.connect(path.with_name("other"))) as database:
        database.execute("CREATE TABLE mine (x)")
    path.with_name("other").replace(path)


def replace_by_nothing(path):
    path.with_name("empty").touch()
    path.with_name("empty").replace(path)


def replace_by_an_earlier_copy(path):
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def delete_the_log(path):
    path.with_name(f"{path.name}-wal").unlink()


@pytest.mark.parametrize(
    "attack",
    [
        delete, delete_with_its_log, delete_the_folder, move_the_folder, replace_by_another, replace_by_nothing,
        replace_by_an_earlier_copy, delete_the_log,
    ],
)  # fmt: skip
def test_a_store_whose_file_is_deleted_is_restored_and_reported(store, caplog, attack):
    before = [put(store) for _ in range(8)]
    attack(store.path)

    # Called by the recorder every second.
    store.write_buffered()
    after = put(store)

    assert [row.message for row in store.waiting(100)] == [*before, after]
    assert "deleted or replaced" in store.damage
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert not store.write_error
    assert store.count() == 9
    store.close()
    with closing(AlertStore(store.path, boot_id=BOOT_ID)) as again:
        assert [row.message for row in again.waiting(100)] == [*before, after]
        assert again.next_sequence("alert") == 10


def test_a_reader_sees_the_restored_file(store):
    put(store)
    history = AlertHistory(store.path, only_reads=True)
    assert history.count() == 0
    delete(store.path)
    store.write_buffered()
    put(store)

    assert history.count() == 0
    assert history.outbox().messages == 2


def test_a_store_in_place_is_not_rewritten(store, caplog):
    put(store)
    for _ in range(50):
        store.write_buffered()
        put(store, "telemetry")

    assert (store.damage, store.write_error, caplog.records) == ("", "", [])


def put_crop(folder, *, when):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{uuid.uuid4()}.jpg"
    file.write_bytes(b"x" * 100)
    os.utime(file, (when.timestamp(), when.timestamp()))
    return file


@pytest.mark.parametrize("years", [3, 56])
def test_a_clock_step_before_the_first_crop_does_not_age_crops(tmp_path, years):
    wrong = NOW - timedelta(days=365.25 * years)
    retention = Retention(tmp_path / "crops", keep_days=30, keep_bytes=10**9)
    assert retention.sweep(at=0.0, now=wrong, waiting=frozenset()) == []
    crop = put_crop(tmp_path / "crops", when=wrong + timedelta(seconds=60))

    assert retention.sweep(at=600.0, now=NOW, waiting=frozenset()) == []
    assert crop.exists()


@pytest.mark.parametrize("years", [3, 56])
def test_a_clock_step_while_the_agent_is_off_does_not_age_crops(tmp_path, years):
    crop = put_crop(tmp_path / "crops", when=NOW - timedelta(days=365.25 * years))

    assert (
        Retention(tmp_path / "crops", keep_days=30, keep_bytes=10**9).sweep(at=5.0, now=NOW, waiting=frozenset()) == []
    )
    assert crop.exists()


def files_that_hold(word, folder):
    return [file.name for file in folder.iterdir() if word.encode() in file.read_bytes()]


@pytest.mark.parametrize("is_pending", [False, True], ids=["after it was sent", "while it is pending"])
def test_deleted_data_is_neither_in_the_file_nor_in_its_log(store, is_pending):
    message = a_message("alert", sequence=store.next_sequence("alert"))
    assert isinstance(message, AlertMessage)
    store.put(message, history_entry(message, Timeline((), 0.0, 0.0, message.box), now=NOW))
    if not is_pending:
        store.remove(message.id)
    assert AlertHistory(store.path).remove(message.id)
    if is_pending:
        store.remove(message.id)
        store.sweep(at=1000.0, now=NOW, keep_days=30)

    assert files_that_hold(message.id, store.path.parent) == []


def test_webhooks_get_the_name_of_a_picture_and_not_the_device_s_folders(tmp_path):
    crop = CropFile(file="/var/lib/maskwatch/crops/x.jpg", sha256="0" * 64, bytes=9)
    with closing(AlertStore(tmp_path / "alerts.sqlite", boot_id=BOOT_ID, webhooks=["shop"])) as store:
        put(store, crop=crop)
        found = EventQueue(store.path, webhook="shop", kinds=["alert"]).oldest()

        assert found is not None
        assert json.loads(found.message)["crop"]["file"] == "x.jpg"
        assert store.waiting(1)[0].message["crop"]["file"] == crop.file
