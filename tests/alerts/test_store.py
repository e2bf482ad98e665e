"""Alert store: history, outbox and counters in one transaction, across damage, locks and full disks."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from collections import Counter
from contextlib import closing, nullcontext
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_agent.alerts.database import files_set_aside
from edge_agent.alerts.store import FIRST_TO_GO, HISTORY, MAX_BUFFERED, AlertStore
from edge_agent.errors import UnavailableError
from edge_agent.messages.alert import CropFile
from edge_agent.messages.message import KINDS
from tests.file_sizes import limited_file_size
from tests.mqtt.samples import BOOT_ID, put

ANOTHER_BOOT = "6c1e2a34-0000-4000-8000-000000000002"


def test_messages_wait_oldest_first_until_they_are_removed(store):
    first, second, third = (put(store) for _ in range(3))

    store.remove(second["id"])

    assert [row.key for row in store.waiting(10)] == [first["id"], third["id"]]
    assert [row.message for row in store.waiting(1)] == [first]
    assert store.count() == 2


def test_a_closed_store_leaves_the_file_to_the_next_one(tmp_path):
    """After a reload, a recorder that a slow disk delayed may still have messages for the former store."""
    former = AlertStore(tmp_path / "alerts.sqlite", boot_id=BOOT_ID)
    put(former)
    former.close()
    store = AlertStore(tmp_path / "alerts.sqlite", boot_id=BOOT_ID)

    put(former)
    late = put(former)
    former.write_buffered()
    with pytest.raises(UnavailableError):
        former.remove("unknown")
    messages = [put(store) for _ in range(4)]

    assert late["id"] not in [row.key for row in store.waiting(10)]
    assert [message["sequence"] for message in messages] == [2, 3, 4, 5]
    assert store.write_error == ""
    assert former.is_closed
    store.close()


def test_messages_are_numbered_from_one(store):
    assert [put(store)["sequence"] for _ in range(3)] == [1, 2, 3]


def test_numbering_continues_after_a_restart_with_an_empty_outbox(tmp_path):
    before = AlertStore(tmp_path / "alerts.sqlite", boot_id=BOOT_ID)
    before.remove(put(before)["id"])
    before.close()

    after = AlertStore(tmp_path / "alerts.sqlite", boot_id=BOOT_ID)

    assert after.count() == 0
    assert after.last_sequences() == {"alert": 1}
    assert put(after)["sequence"] == 2
    after.close()


def test_sequence_numbers_restart_after_a_boot(tmp_path):
    before = AlertStore(tmp_path / "alerts.sqlite", boot_id=BOOT_ID)
    put(before)
    before.close()

    after = AlertStore(tmp_path / "alerts.sqlite", boot_id=ANOTHER_BOOT)

    assert after.last_sequences() == {}
    assert put(after)["sequence"] == 1
    assert after.count() == 2
    after.close()


def test_crops_of_pending_messages_are_listed(store):
    crop = CropFile(file="/somewhere/crops/0190.jpg", sha256="a" * 64, bytes=3)
    kept = put(store, crop=crop)
    put(store)

    assert store.crops_of_waiting() == {"0190.jpg"}

    store.remove(kept["id"])
    assert store.crops_of_waiting() == set()


def test_stored_messages_survive_a_killed_process(tmp_path):
    program = textwrap.dedent(
        """
        import itertools, sys
        from pathlib import Path
        from edge_agent.alerts.store import AlertStore
        from tests.mqtt.samples import a_message, put
        store = AlertStore(Path(sys.argv[1]), boot_id=sys.argv[2])
        for _ in itertools.count():
            print(put(store)["id"], flush=True)
        """
    )
    path = tmp_path / "alerts.sqlite"
    command = [sys.executable, "-c", program, str(path), BOOT_ID]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        acknowledged = [process.stdout.readline().strip() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]

    store = AlertStore(path, boot_id=BOOT_ID)
    rows = store.waiting(100_000)
    store.close()
    assert [row.key for row in rows][: len(acknowledged)] == acknowledged
    assert len(rows) - len(acknowledged) in {0, 1}
    assert [row.message["sequence"] for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("content", [b"this is no database " * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_set_aside_and_replaced(tmp_path, caplog, content):
    path = tmp_path / "alerts.sqlite"
    path.write_bytes(content)

    store = AlertStore(path, boot_id=BOOT_ID)

    assert put(store)["sequence"] == 1
    store.close()
    (aside,) = tmp_path.glob("alerts.sqlite.damaged-*")
    assert aside.read_bytes() == content
    (record,) = caplog.records
    assert str(path) in record.message
    assert str(aside) in record.message


@pytest.fixture
def damaged(tmp_path):
    """An outbox of 200 alerts over many pages; returns its file, damaged by `what`."""

    def harm(what):
        path = tmp_path / "alerts.sqlite"
        store = AlertStore(path, boot_id=BOOT_ID)
        for _ in range(200):
            put(store, crop_error="x" * 3000)
        store.close()
        what(path)
        return path

    return harm


def test_readable_rows_of_a_truncated_file_are_salvaged(damaged, caplog):
    path = damaged(lambda path: os.truncate(path, path.stat().st_size // 2))

    store = AlertStore(path, boot_id=BOOT_ID)

    saved = [row.message["sequence"] for row in store.waiting(1000)]
    assert 50 < len(saved) < 200
    assert saved == sorted(saved)
    assert f"{len(saved)} pending messages and 0 alerts of the history were salvaged" in store.damage
    assert store.damage in caplog.text
    assert put(store)["sequence"] > max(saved)
    store.close()
    assert len(files_set_aside(path)) == 1


def test_rows_on_both_sides_of_garbage_are_salvaged(damaged):
    def write_garbage(path):
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            file.write(os.urandom(40_000))

    store = AlertStore(damaged(write_garbage), boot_id=BOOT_ID)

    saved = [row.message["sequence"] for row in store.waiting(1000)]
    assert len(saved) > 150
    assert {1, 200} <= set(saved)
    assert store.count() == len(saved)
    store.close()


@pytest.mark.parametrize("wrong", [b'"device\x01', b'"device\xff', b"}device}"], ids=["control", "no UTF-8", "no JSON"])
def test_a_message_with_wrong_bytes_is_dropped_and_the_others_are_salvaged(damaged, wrong):
    def change(path):
        content = path.read_bytes()
        place = content.index(b'"device"', len(content) // 2)
        path.write_bytes(content[:place] + wrong + content[place + len(wrong) :])

    store = AlertStore(damaged(change), boot_id=BOOT_ID)

    saved = [row.message["sequence"] for row in store.waiting(1000)]
    assert len(saved) == store.count() == 199
    assert "199 pending messages" in store.damage
    assert put(store)["sequence"] == 201
    store.close()


def test_garbage_in_the_schema_is_damage(damaged):
    def change(path):
        content = path.read_bytes()
        path.write_bytes(
            content.replace(b"tableoutboxoutbox", b"tableout\xb1oxoutbox").replace(
                b"CREATE TABLE outbox", b"CREATE TABLE o(tbox"
            )
        )

    path = damaged(change)
    store = AlertStore(path, boot_id=BOOT_ID)

    assert store.damage
    assert put(store)
    store.close()
    assert len(files_set_aside(path)) == 1


@pytest.mark.parametrize("table", ["outbox", "last_sequence", "dropped", "alerts"])
def test_a_file_that_lacks_a_table_is_set_aside(damaged, table):
    def drop(path):
        with closing(sqlite3.connect(path)) as database:
            database.execute(f"DROP TABLE {table}")

    path = damaged(drop)
    store = AlertStore(path, boot_id=BOOT_ID)

    assert store.count() == (0 if table == "outbox" else 200)
    assert put(store)["sequence"] == 201
    store.close()
    assert len(files_set_aside(path)) == 1


def test_a_table_dropped_at_run_time_does_not_stop_the_agent(damaged):
    store = AlertStore(damaged(lambda _path: None), boot_id=BOOT_ID)
    with closing(sqlite3.connect(store.path)) as database:
        database.execute("DROP TABLE outbox")

    assert put(store)["sequence"] == 201
    assert store.count() == 1
    store.close()


def test_a_damaged_file_is_salvaged_once_the_disk_has_room(damaged):
    def drop(path):
        with closing(sqlite3.connect(path)) as database:
            database.execute("DROP TABLE dropped")

    path = damaged(drop)
    with limited_file_size(1000):
        store = AlertStore(path, boot_id=ANOTHER_BOOT)
        new = put(store)
        assert [row.message for row in store.waiting(1000)] == [new]
        assert store.write_error
    store.write_buffered()

    assert (store.write_error, store.count()) == ("", 201)
    assert store.waiting(1000)[-1].message == new
    store.close()
    assert len(files_set_aside(path)) == 1
    assert {file.name for file in path.parent.iterdir()} == {path.name, files_set_aside(path)[0].name}


@pytest.mark.parametrize("change", range(3))
def test_a_kill_during_the_repair_loses_no_salvaged_row(damaged, monkeypatch, change):
    """`change`: the number of the rename at which the process is killed."""

    class Killed(BaseException):
        pass

    def drop(path):
        with closing(sqlite3.connect(path)) as database:
            database.execute("DROP TABLE dropped")

    path = damaged(drop)
    renamed = []

    def replace_or_die(source, target):
        renamed.append(source)
        if len(renamed) > change:
            raise Killed
        source.rename(target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace_or_die)
        with pytest.raises(Killed):
            AlertStore(path, boot_id=ANOTHER_BOOT)

    with closing(AlertStore(path, boot_id=ANOTHER_BOOT)) as store:
        assert store.count() == 200
        assert store.damage
    (aside,) = files_set_aside(path)
    assert {file.name for file in path.parent.iterdir()} == {path.name, aside.name}


def test_only_the_last_few_damaged_files_are_kept(tmp_path):
    path = tmp_path / "alerts.sqlite"
    for _ in range(8):
        path.write_bytes(b"this is no database " * 500)
        AlertStore(path, boot_id=BOOT_ID).close()

    assert len(files_set_aside(path)) == 5


def test_a_file_with_another_schema_is_set_aside(tmp_path):
    path = tmp_path / "alerts.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.execute("CREATE TABLE something (else_ TEXT)")
    database.close()

    store = AlertStore(path, boot_id=BOOT_ID)

    assert put(store)["sequence"] == 1
    store.close()
    assert len(list(tmp_path.glob("alerts.sqlite.damaged-*"))) == 1


def test_damage_found_later_stops_nothing_and_repeats_no_number(tmp_path, caplog):
    path = tmp_path / "alerts.sqlite"
    store = AlertStore(path, boot_id=BOOT_ID)
    # More than SQLite keeps in memory.
    for _ in range(100):
        put(store, crop_error="x" * 50_000)
    for file in (path, path.with_name(path.name + "-wal")):
        file.write_bytes(os.urandom(file.stat().st_size))

    assert store.waiting(1000) == []
    assert put(store)["sequence"] == 101
    assert store.count() == 1
    store.close()
    assert len(caplog.records) == 1
    assert list(tmp_path.glob("alerts.sqlite.damaged-*"))


def test_each_kind_is_numbered_separately(store):
    alert, resolved = put(store), put(store, "resolved")
    figures = [put(store, "telemetry") for _ in range(2)]

    assert [message["sequence"] for message in (alert, resolved, *figures)] == [1, 1, 1, 2]
    assert [row.kind for row in store.waiting(10)] == ["alert", "resolved", "telemetry", "telemetry"]
    assert [row.kind for row in store.waiting(10, kinds=["resolved"])] == ["resolved"]
    assert store.count("telemetry") == 2


def test_messages_after_a_position_are_distinguished_from_older_ones(store):
    put(store)
    moment = store.last_position()
    young = put(store)

    assert [row.key for row in store.waiting(10, after=moment)] == [young["id"]]


def test_the_waiting_time_survives_a_restart_within_a_boot(tmp_path):
    path = tmp_path / "alerts.sqlite"
    for boot_id, is_known in ((BOOT_ID, True), (BOOT_ID, True), (ANOTHER_BOOT, False)):
        with closing(AlertStore(path, boot_id=boot_id)) as store:
            if not store.count():
                put(store, when=datetime(1970, 1, 1, tzinfo=timezone.utc))
            (row,) = store.waiting(10)
            assert (row.waited_seconds is not None and 0 <= row.waited_seconds < 60) == is_known


def test_a_full_outbox_drops_telemetry_first_then_resolved_and_then_the_oldest_alert_and_counts(tmp_path, caplog):
    path = tmp_path / "alerts.sqlite"
    store = AlertStore(path, boot_id=BOOT_ID, max_messages=4)
    put(store)
    put(store, "resolved")
    for _ in range(2):
        put(store, "telemetry")

    kinds = []
    for _ in range(5):
        put(store)
        kinds.append([row.kind for row in store.waiting(10)])

    assert kinds == [
        ["alert", "resolved", "telemetry", "alert"],
        ["alert", "resolved", "alert", "alert"],
        *[["alert"] * 4] * 3,
    ]
    assert [row.message["sequence"] for row in store.waiting(10)] == [3, 4, 5, 6]
    put(store, "telemetry")
    assert store.dropped() == {"alert": 2, "resolved": 1, "counts": 0, "telemetry": 3, "history": 0}
    assert len(caplog.records) == 1
    store.remove(*[row.key for row in store.waiting(2)])
    assert caplog.messages[-1].endswith("has room again; 6 messages were dropped")
    store.close()

    again = AlertStore(path, boot_id=ANOTHER_BOOT, max_messages=4)
    assert again.dropped() == {"alert": 2, "resolved": 1, "counts": 0, "telemetry": 3, "history": 0}
    again.close()


def test_the_limit_in_bytes_holds(tmp_path):
    store = AlertStore(tmp_path / "alerts.sqlite", boot_id=BOOT_ID, max_bytes=20_000)

    for _ in range(50):
        put(store)
        assert store.size_bytes() <= 20_000

    waiting = store.waiting(100)
    assert store.size_bytes() == sum(len(json.dumps(row.message)) for row in waiting)
    assert store.dropped()["alert"] == 50 - len(waiting)
    store.close()


@pytest.mark.parametrize("folder", ["taken", "/proc/maskwatch"])
def test_messages_are_buffered_in_memory_if_the_disk_is_unusable(tmp_path, caplog, folder):
    (tmp_path / "taken").write_text("a file in the place of the folder")

    store = AlertStore(tmp_path / folder / "alerts.sqlite", boot_id=BOOT_ID)

    assert re.search(r"alerts.sqlite: the alert store cannot be used: .*state_dir", store.write_error)
    messages = [put(store) for _ in range(3)]
    assert [row.message for row in store.waiting(10)] == messages
    assert store.count() == 3
    with pytest.raises(UnavailableError, match="state_dir"):
        store.crops_of_waiting()
    assert len(caplog.records) == 1
    store.close()
    assert "3 messages and 0 changes of the history that were buffered in memory are lost" in caplog.text


def test_messages_are_buffered_while_the_disk_is_full_and_written_afterwards(tmp_path, caplog):
    path = tmp_path / "alerts.sqlite"
    store = AlertStore(path, boot_id=BOOT_ID)
    put(store)

    with limited_file_size(1000):
        for _ in range(3):
            put(store)
        store.write_buffered()
        assert "alert store cannot be used" in store.write_error
        assert [row.message["sequence"] for row in store.waiting(10)] == [1, 2, 3, 4]
    store.write_buffered()

    assert store.write_error == ""
    assert store.count() == 4
    # A second look at the file, as after a crash.
    with closing(AlertStore(path, boot_id=BOOT_ID)) as again:
        assert [row.message["sequence"] for row in again.waiting(10)] == [1, 2, 3, 4]
    store.close()
    assert len(caplog.records) == 1


def test_buffered_messages_are_limited_and_drops_are_stored_afterwards(tmp_path):
    path = tmp_path / "alerts.sqlite"
    store = AlertStore(path, boot_id=BOOT_ID)
    with limited_file_size(0):
        put(store, "telemetry")
        for _ in range(MAX_BUFFERED + 2):
            put(store)
        assert store.count() == MAX_BUFFERED
        assert store.dropped() == {"alert": 2, "resolved": 0, "counts": 0, "telemetry": 1, "history": 0}
    put(store)
    store.close()

    again = AlertStore(path, boot_id=BOOT_ID)
    assert again.count() == MAX_BUFFERED + 1
    assert again.dropped() == {"alert": 2, "resolved": 0, "counts": 0, "telemetry": 1, "history": 0}
    again.close()


def test_a_disk_that_recovers_after_the_start_has_old_and_buffered_messages(tmp_path):
    path = tmp_path / "state" / "alerts.sqlite"
    before = AlertStore(path, boot_id=BOOT_ID)
    old = [put(before)["id"] for _ in range(3)]
    before.close()
    path.parent.rename(tmp_path / "away")
    path.parent.touch()

    store = AlertStore(path, boot_id=ANOTHER_BOOT)
    new = [put(store)["id"] for _ in range(2)]
    path.parent.unlink()
    (tmp_path / "away").rename(path.parent)
    store.write_buffered()

    assert [row.key for row in store.waiting(10)] == old + new
    assert store.count() == 5
    store.close()


def test_alerts_delivered_from_memory_do_not_clear_the_error_of_a_full_disk(store, caplog):
    put(store)
    with limited_file_size(0):
        for _ in range(5):
            store.remove(put(store)["id"])
        assert store.write_error
    assert store.count() == 1
    assert len(caplog.records) == 1


def test_messages_removed_while_the_disk_is_read_only_stay_pending_on_it(store):
    kept = put(store)
    with limited_file_size(0):
        held = put(store)
        with pytest.raises(UnavailableError):
            store.remove(kept["id"], held["id"])
        assert [row.key for row in store.waiting(10)] == [kept["id"]]
    store.remove(kept["id"])
    assert store.count() == 0


def test_a_purge_deletes_the_chosen_kinds_and_counts_no_drop(store):
    put(store)
    for _ in range(3):
        put(store, "telemetry")

    assert store.purge("telemetry", "resolved") == 3

    assert [row.kind for row in store.waiting(10)] == ["alert"]
    assert not any(store.dropped().values())


class StoreAgainstAModel(RuleBasedStateMachine):
    """A model of the store: a list of rows, counters, and the known state of the disk."""

    KEEP_ROWS = 6

    def __init__(self):
        super().__init__()
        self.path = Path(tempfile.mkdtemp()) / "alerts.sqlite"
        self.boot_id = BOOT_ID
        self.waiting: list[tuple[str, str]] = []
        self.sequences: Counter[tuple[str, str]] = Counter()
        self.dropped: Counter[str] = Counter()
        self.open()

    def open(self):
        self.store = AlertStore(self.path, boot_id=self.boot_id, max_messages=self.KEEP_ROWS)

    @rule(kind=st.sampled_from(KINDS), on_full_disk=st.booleans())
    def put(self, kind, on_full_disk):
        with limited_file_size(0) if on_full_disk else nullcontext():
            message = put(self.store, kind)
        self.sequences[self.boot_id, kind] += 1
        assert message["sequence"] == self.sequences[self.boot_id, kind]
        self.waiting.append((kind, message["id"]))
        # The disk has room again, and drops are for rows on the disk.
        self.store.write_buffered()
        assert self.store.write_error == ""
        while len(self.waiting) > self.KEEP_ROWS:
            victim = min(self.waiting, key=lambda row: (FIRST_TO_GO.index(row[0]), self.waiting.index(row)))
            self.waiting.remove(victim)
            self.dropped[victim[0]] += 1

    @rule(index=st.integers(0, KEEP_ROWS - 1), on_full_disk=st.booleans())
    def remove(self, index, on_full_disk):
        if index >= len(self.waiting):
            return
        key = self.store.waiting(self.KEEP_ROWS)[index].key
        if on_full_disk:
            with limited_file_size(0), pytest.raises(UnavailableError):
                self.store.remove(key)
        else:
            self.store.remove(key)
            self.waiting.pop(index)

    @rule(is_new_boot=st.booleans())
    def restart(self, is_new_boot):
        self.store.close()
        if is_new_boot:
            self.boot_id = str(uuid.uuid4())
        self.open()

    @rule()
    def lose_the_process(self):
        """The content of the file if its process ends without closing it."""
        lost = self.store
        copy = Path(tempfile.mkdtemp()) / self.path.name
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.path}{suffix}", f"{copy}{suffix}")
        lost.close()
        shutil.rmtree(self.path.parent)
        self.path = copy
        self.open()

    @rule(kinds=st.sets(st.sampled_from(KINDS)))
    def look_at_kinds(self, kinds):
        rows = self.store.waiting(100, kinds=kinds)
        assert [(row.kind, row.message["id"]) for row in rows] == [row for row in self.waiting if row[0] in kinds]

    @invariant()
    def it_is_as_the_model_says(self):
        assert [(row.kind, row.message["id"]) for row in self.store.waiting(100)] == self.waiting
        assert self.store.count() == len(self.waiting)
        assert self.store.size_bytes() == sum(len(json.dumps(row.message)) for row in self.store.waiting(100))
        assert self.store.dropped() == {kind: self.dropped[kind] for kind in (*KINDS, HISTORY)}
        assert self.store.damage == ""

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.path.parent)


TestStoreAgainstAModel = StoreAgainstAModel.TestCase
TestStoreAgainstAModel.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_the_store_waits_for_a_held_lock_once_and_loses_no_message(tmp_path):
    path = tmp_path / "alerts.sqlite"
    AlertStore(path, boot_id=BOOT_ID).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other_user:
        other_user.execute("BEGIN EXCLUSIVE")
        store = AlertStore(path, boot_id=BOOT_ID, lock_seconds=0.2)
        sent = [put(store) for _ in range(3)]
        began_at = time.monotonic()
        for _ in range(100):
            assert [row.message["id"] for row in store.waiting(5)] == [message["id"] for message in sent]
            store.write_buffered()
        # Once, and not two hundred times 0.2 s.
        assert time.monotonic() - began_at < 35.0
        assert "state_dir" in store.write_error
        assert "lock" in store.write_error
        other_user.execute("ROLLBACK")

    deadline = time.monotonic() + 60.0
    while store.write_error and time.monotonic() < deadline:
        store.write_buffered()
        time.sleep(0.05)
    assert store.write_error == ""
    store.close()
    with closing(AlertStore(path, boot_id=BOOT_ID)) as again:
        assert again.count("alert") == 3
