"""Alert history: the pending messages of the outbox, read beside a running agent."""

import os
import sqlite3
from contextlib import closing

import pytest

from edge_agent.alerts.database import files_set_aside
from edge_agent.alerts.history import AlertHistory, OutboxContents
from edge_agent.alerts.store import AlertStore
from edge_agent.errors import UnavailableError
from tests.mqtt.samples import BOOT_ID, put


def test_pending_messages_are_counted_beside_a_running_agent(store):
    first = put(store)
    second = put(store)
    figures = put(store, "telemetry")

    history = AlertHistory(store.path, only_reads=True)
    contents = history.outbox()
    pending = list(history.pending_messages())

    assert contents == OutboxContents({"alert": 2, "telemetry": 1}, store.size_bytes(), first["when"], {})
    assert contents.messages == 3
    assert pending == [first, second, figures]


def test_drops_and_damaged_files_are_reported(tmp_path):
    path = tmp_path / "alerts.sqlite"
    path.write_bytes(b"this is no database " * 500)
    with closing(AlertStore(path, boot_id=BOOT_ID, max_messages=1)) as store:
        for _ in range(3):
            put(store)

    history = AlertHistory(path, only_reads=True)
    assert history.outbox().dropped == {"alert": 2}
    assert len(files_set_aside(history.file)) == 1


def test_a_missing_store_has_no_pending_messages_and_is_not_created(tmp_path):
    path = tmp_path / "alerts.sqlite"

    history = AlertHistory(path, only_reads=True)
    assert history.outbox().messages == 0
    assert list(history.pending_messages()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_store_is_not_touched(tmp_path):
    path = tmp_path / "alerts.sqlite"
    content = os.urandom(10_000)
    path.write_bytes(content)

    with pytest.raises(UnavailableError, match="aside at its next start"):
        AlertHistory(path, only_reads=True).outbox()

    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_store_with_another_schema_is_left_to_the_agent(tmp_path):
    path = tmp_path / "alerts.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE something (else_ TEXT)")
        database.execute("PRAGMA user_version = 99")

    with pytest.raises(UnavailableError, match="layout 99"):
        AlertHistory(path, only_reads=True).outbox()


def test_pending_messages_are_read_in_pages(store, monkeypatch):
    monkeypatch.setattr("edge_agent.alerts.history.MESSAGES_A_PAGE", 2)
    messages = [put(store) for _ in range(5)]

    history = AlertHistory(store.path, only_reads=True)
    assert list(history.pending_messages()) == messages
