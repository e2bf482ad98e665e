"""Inspection: the outbox beside a running agent, read-only."""

import os
import sqlite3
from contextlib import closing

import pytest

from edge_agent.alerts.inspection import Contents, inspect_outbox, waiting_messages
from edge_agent.alerts.store import AlertStore
from edge_agent.errors import UnavailableError
from tests.mqtt.samples import BOOT_ID, put


def test_what_waits_is_counted_beside_the_agent_that_works_there(store):
    first = put(store)
    second = put(store)
    figures = put(store, "telemetry")

    contents = inspect_outbox(store.path)

    assert contents == Contents({"alert": 2, "telemetry": 1}, store.size_bytes(), first["when"], {}, ())
    assert contents.messages == 3
    assert list(waiting_messages(store.path)) == [first, second, figures]


def test_drops_and_damaged_files_are_told(tmp_path):
    path = tmp_path / "alerts.sqlite"
    path.write_bytes(b"this is no database " * 500)
    with closing(AlertStore(path, boot_id=BOOT_ID, max_messages=1)) as store:
        for _ in range(3):
            put(store)

    contents = inspect_outbox(path)

    assert contents.dropped == {"alert": 2}
    assert len(contents.set_aside) == 1


def test_an_outbox_that_was_never_begun_holds_nothing_and_is_not_begun(tmp_path):
    path = tmp_path / "alerts.sqlite"

    assert inspect_outbox(path).messages == 0
    assert list(waiting_messages(path)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_outbox_is_not_touched(tmp_path):
    path = tmp_path / "alerts.sqlite"
    content = os.urandom(10_000)
    path.write_bytes(content)

    with pytest.raises(UnavailableError, match="aside at its next start"):
        inspect_outbox(path)

    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_another_layout_is_left_to_the_agent(tmp_path):
    path = tmp_path / "alerts.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE something (else_ TEXT)")
        database.execute("PRAGMA user_version = 99")

    with pytest.raises(UnavailableError, match="layout 99"):
        inspect_outbox(path)
