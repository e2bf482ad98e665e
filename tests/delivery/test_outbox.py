import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import uuid
from collections import Counter
from contextlib import closing, contextmanager, nullcontext
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_agent.delivery.outbox import FIRST_TO_GO, KINDS, MOST_HELD, Outbox
from edge_agent.domain import Crop
from edge_agent.errors import UnavailableError
from edge_agent.sqlite_file import files_set_aside
from tests.delivery.samples import BOOT_ID, a_message

ANOTHER_BOOT = "6c1e2a34-0000-4000-8000-000000000002"


@contextmanager
def files_no_larger_than(size_bytes):
    """A full disk, as far as this process can tell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_messages_wait_oldest_first_until_they_are_removed(outbox):
    first, second, third = (outbox.put(a_message()) for _ in range(3))

    outbox.remove(second["id"])

    assert [row.key for row in outbox.waiting(10)] == [first["id"], third["id"]]
    assert [row.message for row in outbox.waiting(1)] == [first]
    assert outbox.count() == 2


def test_messages_are_numbered_from_one(outbox):
    assert [outbox.put(a_message())["sequence"] for _ in range(3)] == [1, 2, 3]


def test_numbers_go_on_after_a_restart_although_nothing_waits(tmp_path):
    before = Outbox(tmp_path / "outbox.sqlite", boot_id=BOOT_ID)
    before.remove(before.put(a_message())["id"])
    before.close()

    after = Outbox(tmp_path / "outbox.sqlite", boot_id=BOOT_ID)

    assert after.count() == 0
    assert after.put(a_message())["sequence"] == 2
    after.close()


def test_numbers_begin_again_after_a_boot(tmp_path):
    before = Outbox(tmp_path / "outbox.sqlite", boot_id=BOOT_ID)
    before.put(a_message())
    before.close()

    after = Outbox(tmp_path / "outbox.sqlite", boot_id=ANOTHER_BOOT)

    assert after.put(a_message())["sequence"] == 1
    assert after.count() == 2
    after.close()


def test_a_message_that_is_put_twice_waits_once(outbox):
    message = a_message()
    kept = outbox.put(message)

    assert outbox.put(message) == kept

    assert outbox.count() == 1
    assert outbox.put(a_message())["sequence"] == 2


def test_a_message_that_cannot_be_written_leaves_no_gap_in_the_numbers(outbox):
    outbox.put(a_message())

    with pytest.raises(TypeError):
        outbox.put({**a_message(), "score": object()})

    assert outbox.put(a_message())["sequence"] == 2
    assert outbox.count() == 2


def test_threads_put_at_once_and_no_number_is_given_twice(outbox):
    def put_some():
        for _ in range(25):
            outbox.put(a_message())

    threads = [threading.Thread(target=put_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [row.message["sequence"] for row in outbox.waiting(1000)] == list(range(1, 101))


def test_crops_of_waiting_messages_are_owed(outbox):
    crop = Crop(file="/somewhere/crops/0190.jpg", sha256="a" * 64, size_bytes=3)
    kept = outbox.put(a_message(crop=crop))
    outbox.put(a_message())

    assert outbox.owed_crops() == {"0190.jpg"}

    outbox.remove(kept["id"])
    assert outbox.owed_crops() == set()


def test_whether_an_alert_still_waits_can_be_asked(outbox):
    kept = outbox.put(a_message())
    assert outbox.is_waiting(kept["id"])

    with files_no_larger_than(0):
        held = outbox.put(a_message())
        assert outbox.is_waiting(held["id"])

    outbox.remove(kept["id"])
    assert not outbox.is_waiting(kept["id"])


def test_nobody_knows_what_waits_where_the_disk_cannot_be_read(tmp_path):
    (tmp_path / "outbox.sqlite").mkdir()
    with closing(Outbox(tmp_path / "outbox.sqlite", boot_id=BOOT_ID)) as outbox, pytest.raises(UnavailableError):
        outbox.is_waiting("1")


def test_what_was_put_survives_a_process_that_is_killed(tmp_path):
    program = textwrap.dedent(
        """
        import itertools, sys
        from pathlib import Path
        from edge_agent.delivery.outbox import Outbox
        from tests.delivery.samples import a_message
        outbox = Outbox(Path(sys.argv[1]), boot_id=sys.argv[2])
        for _ in itertools.count():
            print(outbox.put(a_message())["id"], flush=True)
        """
    )
    path = tmp_path / "outbox.sqlite"
    command = [sys.executable, "-c", program, str(path), BOOT_ID]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        acknowledged = [process.stdout.readline().strip() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]

    outbox = Outbox(path, boot_id=BOOT_ID)
    rows = outbox.waiting(100_000)
    outbox.close()
    assert [row.key for row in rows][: len(acknowledged)] == acknowledged
    assert len(rows) - len(acknowledged) in {0, 1}
    assert [row.message["sequence"] for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("content", [b"this is no database " * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path, caplog, content):
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(content)

    outbox = Outbox(path, boot_id=BOOT_ID)

    assert outbox.put(a_message())["sequence"] == 1
    outbox.close()
    (aside,) = tmp_path.glob("outbox.sqlite.damaged-*")
    assert aside.read_bytes() == content
    (record,) = caplog.records
    assert str(path) in record.message
    assert str(aside) in record.message


@pytest.fixture
def damaged(tmp_path):
    """An outbox of 200 alerts over many pages; give what is left of the file after some harm."""

    def harm(what):
        path = tmp_path / "outbox.sqlite"
        outbox = Outbox(path, boot_id=BOOT_ID)
        for _ in range(200):
            outbox.put({**a_message(), "crop_error": "x" * 3000})
        outbox.close()
        what(path)
        return path

    return harm


def test_what_can_still_be_read_of_a_truncated_file_is_saved_over(damaged, caplog):
    path = damaged(lambda path: os.truncate(path, path.stat().st_size // 2))

    outbox = Outbox(path, boot_id=BOOT_ID)

    saved = [row.message["sequence"] for row in outbox.waiting(1000)]
    assert 50 < len(saved) < 200
    assert saved == sorted(saved)
    assert f"{len(saved)} waiting messages were saved over" in outbox.damage
    assert outbox.damage in caplog.text
    assert outbox.put(a_message())["sequence"] > max(saved)
    outbox.close()
    assert len(files_set_aside(path)) == 1


def test_rows_on_both_sides_of_garbage_are_saved_over(damaged):
    def write_garbage(path):
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            file.write(os.urandom(40_000))

    outbox = Outbox(damaged(write_garbage), boot_id=BOOT_ID)

    saved = [row.message["sequence"] for row in outbox.waiting(1000)]
    assert len(saved) > 150
    assert {1, 200} <= set(saved)
    assert outbox.count() == len(saved)
    outbox.close()


@pytest.mark.parametrize("table", ["waiting", "last_sequence", "dropped"])
def test_a_file_that_lacks_a_table_is_set_aside(damaged, table):
    def drop(path):
        with closing(sqlite3.connect(path)) as database:
            database.execute(f"DROP TABLE {table}")

    path = damaged(drop)
    outbox = Outbox(path, boot_id=BOOT_ID)

    assert outbox.count() == (0 if table == "waiting" else 200)
    assert outbox.put(a_message())["sequence"] == 201
    outbox.close()
    assert len(files_set_aside(path)) == 1


def test_a_table_that_goes_while_the_agent_runs_stops_nothing(damaged):
    outbox = Outbox(damaged(lambda _path: None), boot_id=BOOT_ID)
    with closing(sqlite3.connect(outbox.path)) as database:
        database.execute("DROP TABLE waiting")

    assert outbox.put(a_message())["sequence"] == 201
    assert outbox.count() == 1
    outbox.close()


def test_only_the_last_few_damaged_files_are_kept(tmp_path):
    path = tmp_path / "outbox.sqlite"
    for _ in range(8):
        path.write_bytes(b"this is no database " * 500)
        Outbox(path, boot_id=BOOT_ID).close()

    assert len(files_set_aside(path)) == 5


def test_a_file_of_another_layout_is_set_aside(tmp_path):
    path = tmp_path / "outbox.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.execute("CREATE TABLE something (else_ TEXT)")
    database.close()

    outbox = Outbox(path, boot_id=BOOT_ID)

    assert outbox.put(a_message())["sequence"] == 1
    outbox.close()
    assert len(list(tmp_path.glob("outbox.sqlite.damaged-*"))) == 1


def test_damage_that_shows_later_stops_nothing_and_repeats_no_number(tmp_path, caplog):
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path, boot_id=BOOT_ID)
    # More than SQLite keeps in memory.
    for _ in range(100):
        outbox.put({**a_message(), "crop_error": "x" * 50_000})
    for file in (path, path.with_name(path.name + "-wal")):
        file.write_bytes(os.urandom(file.stat().st_size))

    assert outbox.waiting(1000) == []
    assert outbox.put(a_message())["sequence"] == 101
    assert outbox.count() == 1
    outbox.close()
    assert len(caplog.records) == 1
    assert list(tmp_path.glob("outbox.sqlite.damaged-*"))


def test_each_kind_is_numbered_by_itself(outbox):
    alert = outbox.put(a_message())
    ended = outbox.put({"id": alert["id"], "schema": "e"}, kind="ended")
    figures = [outbox.put({"schema": "t"}, kind="telemetry") for _ in range(2)]

    assert [message["sequence"] for message in (alert, ended, *figures)] == [1, 1, 1, 2]
    assert [row.kind for row in outbox.waiting(10)] == ["alert", "ended", "telemetry", "telemetry"]
    assert [row.kind for row in outbox.waiting(10, kinds=["ended"])] == ["ended"]
    assert outbox.count("telemetry") == 2


def test_what_was_put_since_a_moment_can_be_told_from_what_waited_before(outbox):
    outbox.put(a_message())
    moment = outbox.last_position()
    young = outbox.put(a_message())

    assert [row.key for row in outbox.waiting(10, after=moment)] == [young["id"]]


def test_how_long_a_message_waited_is_known_within_a_boot_and_also_after_a_restart(tmp_path):
    path = tmp_path / "outbox.sqlite"
    for boot_id, is_known in ((BOOT_ID, True), (BOOT_ID, True), (ANOTHER_BOOT, False)):
        with closing(Outbox(path, boot_id=boot_id)) as outbox:
            if not outbox.count():
                outbox.put(a_message(datetime(1970, 1, 1, tzinfo=timezone.utc)))
            (row,) = outbox.waiting(10)
            assert (row.waited_seconds is not None and 0 <= row.waited_seconds < 60) == is_known


def test_a_full_outbox_drops_telemetry_first_then_ended_and_then_the_oldest_alert_and_counts(tmp_path, caplog):
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path, boot_id=BOOT_ID, keep_rows=4)
    first = outbox.put(a_message())
    outbox.put({"id": first["id"]}, kind="ended")
    for _ in range(2):
        outbox.put({}, kind="telemetry")

    kinds = []
    for _ in range(5):
        outbox.put(a_message())
        kinds.append([row.kind for row in outbox.waiting(10)])

    assert kinds == [
        ["alert", "ended", "telemetry", "alert"],
        ["alert", "ended", "alert", "alert"],
        *[["alert"] * 4] * 3,
    ]
    assert [row.message["sequence"] for row in outbox.waiting(10)] == [3, 4, 5, 6]
    outbox.put({}, kind="telemetry")
    assert outbox.dropped() == {"alert": 2, "ended": 1, "telemetry": 3}
    assert len(caplog.records) == 1
    outbox.remove(*[row.key for row in outbox.waiting(2)])
    assert caplog.messages[-1].endswith("has room again; 6 messages were dropped")
    outbox.close()

    again = Outbox(path, boot_id=ANOTHER_BOOT, keep_rows=4)
    assert again.dropped() == {"alert": 2, "ended": 1, "telemetry": 3}
    again.close()


def test_the_bound_in_bytes_holds(tmp_path):
    outbox = Outbox(tmp_path / "outbox.sqlite", boot_id=BOOT_ID, keep_bytes=20_000)

    for _ in range(50):
        outbox.put(a_message())
        assert outbox.size_bytes() <= 20_000

    waiting = outbox.waiting(100)
    assert outbox.size_bytes() == sum(len(json.dumps(row.message)) for row in waiting)
    assert outbox.dropped()["alert"] == 50 - len(waiting)
    outbox.close()


@pytest.mark.parametrize("folder", ["taken", "/proc/maskwatch"])
def test_where_nothing_can_be_kept_on_disk_messages_wait_in_memory_and_the_reason_is_said(tmp_path, caplog, folder):
    (tmp_path / "taken").write_text("a file in the place of the folder")

    outbox = Outbox(tmp_path / folder / "outbox.sqlite", boot_id=BOOT_ID)

    assert re.search(r"outbox.sqlite: the outbox cannot be used: .*state_folder", outbox.trouble)
    put = [outbox.put(a_message()) for _ in range(3)]
    assert [row.message for row in outbox.waiting(10)] == put
    assert outbox.count() == 3
    with pytest.raises(UnavailableError, match="state_folder"):
        outbox.owed_crops()
    assert len(caplog.records) == 1
    outbox.close()
    assert "3 messages that were held in memory are lost" in caplog.text


def test_what_was_put_on_a_full_disk_waits_in_memory_and_goes_to_disk_once_there_is_room(tmp_path, caplog):
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path, boot_id=BOOT_ID)
    outbox.put(a_message())

    with files_no_larger_than(1000):
        for _ in range(3):
            outbox.put(a_message())
        outbox.keep_held()
        assert "outbox cannot be used" in outbox.trouble
        assert [row.message["sequence"] for row in outbox.waiting(10)] == [1, 2, 3, 4]
    outbox.keep_held()

    assert outbox.trouble == ""
    assert outbox.count() == 4
    # A second look at the file, as after a crash.
    with closing(Outbox(path, boot_id=BOOT_ID)) as again:
        assert [row.message["sequence"] for row in again.waiting(10)] == [1, 2, 3, 4]
    outbox.close()
    assert len(caplog.records) == 1


def test_memory_is_bounded_while_the_disk_takes_nothing_and_drops_are_on_disk_afterwards(tmp_path):
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path, boot_id=BOOT_ID)
    with files_no_larger_than(0):
        outbox.put({}, kind="telemetry")
        for _ in range(MOST_HELD + 2):
            outbox.put(a_message())
        assert outbox.count() == MOST_HELD
        assert outbox.dropped() == {"alert": 2, "ended": 0, "telemetry": 1}
    outbox.put(a_message())
    outbox.close()

    again = Outbox(path, boot_id=BOOT_ID)
    assert again.count() == MOST_HELD + 1
    assert again.dropped() == {"alert": 2, "ended": 0, "telemetry": 1}
    again.close()


def test_a_disk_that_comes_back_after_a_start_without_it_holds_what_waited_on_it_and_in_memory(tmp_path):
    path = tmp_path / "state" / "outbox.sqlite"
    before = Outbox(path, boot_id=BOOT_ID)
    old = [before.put(a_message())["id"] for _ in range(3)]
    before.close()
    path.parent.rename(tmp_path / "away")
    path.parent.touch()

    outbox = Outbox(path, boot_id=ANOTHER_BOOT)
    new = [outbox.put(a_message())["id"] for _ in range(2)]
    path.parent.unlink()
    (tmp_path / "away").rename(path.parent)
    outbox.keep_held()

    assert [row.key for row in outbox.waiting(10)] == old + new
    assert outbox.count() == 5
    outbox.close()


def test_alerts_that_come_and_go_in_memory_do_not_end_the_trouble_of_a_full_disk(outbox, caplog):
    outbox.put(a_message())
    with files_no_larger_than(0):
        for _ in range(5):
            outbox.remove(outbox.put(a_message())["id"])
        assert outbox.trouble
    assert outbox.count() == 1
    assert len(caplog.records) == 1


def test_what_is_removed_while_the_disk_takes_nothing_still_waits_there_and_is_gone_from_memory(outbox):
    kept = outbox.put(a_message())
    with files_no_larger_than(0):
        held = outbox.put(a_message())
        with pytest.raises(UnavailableError):
            outbox.remove(kept["id"], held["id"])
        assert [row.key for row in outbox.waiting(10)] == [kept["id"]]
    outbox.remove(kept["id"])
    assert outbox.count() == 0


def test_a_purge_throws_away_the_chosen_kinds_and_is_no_drop(outbox):
    outbox.put(a_message())
    for _ in range(3):
        outbox.put({}, kind="telemetry")

    assert outbox.purge("telemetry", "ended") == 3

    assert [row.kind for row in outbox.waiting(10)] == ["alert"]
    assert not any(outbox.dropped().values())


class OutboxAgainstAModel(RuleBasedStateMachine):
    """Beside the outbox a list of rows, counters, and what is known of the disk."""

    KEEP_ROWS = 6

    def __init__(self):
        super().__init__()
        self.path = Path(tempfile.mkdtemp()) / "outbox.sqlite"
        self.boot_id = BOOT_ID
        self.waiting: list[tuple[str, str]] = []
        self.sequences: Counter[tuple[str, str]] = Counter()
        self.dropped: Counter[str] = Counter()
        self.open()

    def open(self):
        self.outbox = Outbox(self.path, boot_id=self.boot_id, keep_rows=self.KEEP_ROWS)

    @rule(kind=st.sampled_from(KINDS), on_full_disk=st.booleans())
    def put(self, kind, on_full_disk):
        with files_no_larger_than(0) if on_full_disk else nullcontext():
            message = self.outbox.put(a_message(), kind=kind)
        self.sequences[self.boot_id, kind] += 1
        assert message["sequence"] == self.sequences[self.boot_id, kind]
        self.waiting.append((kind, message["id"]))
        # The disk has room again, and drops are for rows on the disk.
        self.outbox.keep_held()
        assert self.outbox.trouble == ""
        while len(self.waiting) > self.KEEP_ROWS:
            victim = min(self.waiting, key=lambda row: (FIRST_TO_GO.index(row[0]), self.waiting.index(row)))
            self.waiting.remove(victim)
            self.dropped[victim[0]] += 1

    @rule(index=st.integers(0, KEEP_ROWS - 1), on_full_disk=st.booleans())
    def remove(self, index, on_full_disk):
        if index >= len(self.waiting):
            return
        key = self.outbox.waiting(self.KEEP_ROWS)[index].key
        if on_full_disk:
            with files_no_larger_than(0), pytest.raises(UnavailableError):
                self.outbox.remove(key)
        else:
            self.outbox.remove(key)
            self.waiting.pop(index)

    @rule(is_new_boot=st.booleans())
    def restart(self, is_new_boot):
        self.outbox.close()
        if is_new_boot:
            self.boot_id = str(uuid.uuid4())
        self.open()

    @rule()
    def lose_the_process(self):
        """What the file holds without a last word of the one who had it open."""
        lost = self.outbox
        copy = Path(tempfile.mkdtemp()) / self.path.name
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.path}{suffix}", f"{copy}{suffix}")
        lost.close()
        shutil.rmtree(self.path.parent)
        self.path = copy
        self.open()

    @rule(kinds=st.sets(st.sampled_from(KINDS)))
    def look_at_kinds(self, kinds):
        rows = self.outbox.waiting(100, kinds=kinds)
        assert [(row.kind, row.message["id"]) for row in rows] == [row for row in self.waiting if row[0] in kinds]

    @invariant()
    def it_is_as_the_model_says(self):
        assert [(row.kind, row.message["id"]) for row in self.outbox.waiting(100)] == self.waiting
        assert self.outbox.count() == len(self.waiting)
        assert self.outbox.size_bytes() == sum(len(json.dumps(row.message)) for row in self.outbox.waiting(100))
        assert self.outbox.dropped() == {kind: self.dropped[kind] for kind in KINDS}
        assert self.outbox.damage == ""

    def teardown(self):
        self.outbox.close()
        shutil.rmtree(self.path.parent)


TestOutboxAgainstAModel = OutboxAgainstAModel.TestCase
TestOutboxAgainstAModel.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
