import os
import sqlite3
from contextlib import closing

import pytest

from edge_agent.delivery.inspection import Contents, look_into, waiting_messages
from edge_agent.delivery.outbox import Outbox
from edge_agent.errors import UnavailableError
from tests.delivery.samples import BOOT_ID, a_message


def test_what_waits_is_counted_beside_the_agent_that_works_there(outbox):
    first = outbox.put(a_message())
    second = outbox.put(a_message())
    figures = outbox.put({"schema": "t"}, kind="telemetry")

    contents = look_into(outbox.path)

    assert contents == Contents({"alert": 2, "telemetry": 1}, outbox.size_bytes(), first["when"], {}, ())
    assert contents.messages == 3
    assert list(waiting_messages(outbox.path)) == [first, second, figures]


def test_drops_and_damaged_files_are_told(tmp_path):
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"this is no database " * 500)
    with closing(Outbox(path, boot_id=BOOT_ID, keep_rows=1)) as outbox:
        for _ in range(3):
            outbox.put(a_message())

    contents = look_into(path)

    assert contents.dropped == {"alert": 2}
    assert len(contents.set_aside) == 1


def test_an_outbox_that_was_never_begun_holds_nothing_and_is_not_begun(tmp_path):
    path = tmp_path / "outbox.sqlite"

    assert look_into(path).messages == 0
    assert list(waiting_messages(path)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_outbox_is_not_touched(tmp_path):
    path = tmp_path / "outbox.sqlite"
    content = os.urandom(10_000)
    path.write_bytes(content)

    with pytest.raises(UnavailableError, match="sets a damaged one aside"):
        look_into(path)

    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_another_layout_is_left_to_the_agent(tmp_path):
    path = tmp_path / "outbox.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")

    with pytest.raises(UnavailableError, match="sets it aside at its next start"):
        look_into(path)
