"""Alert history: reads every alert, survives replaced and damaged files, and does not block the agent."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.alerts.database import files_set_aside, history_entry, history_resolution, is_begun
from edge_agent.alerts.history import AlertHistory, DayCount
from edge_agent.alerts.store import HISTORY, MAX_BUFFERED, AlertStore
from edge_agent.alerts.timeline import Timeline, TimelinePoint
from edge_agent.errors import UnavailableError
from tests.mqtt.samples import BOOT_ID, a_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.messages.alert import AlertMessage

# A day of the device's own wall clock, whatever zone the tests run in.
NOON = datetime(2026, 3, 1, 12, 0).astimezone(timezone.utc)
TODAY = date(2026, 3, 1)
OTHER_USER, OTHER_GROUP = 65534, 65533
POINT = TimelinePoint(-0.5, 3.25, "without_mask", 0.9, 0.75)
TIMELINE = Timeline((POINT,), 6.8, -2.3, (4, 5, 44, 55))


def an_id(number: int) -> str:
    """An id; later ones are larger."""
    return f"01950000-0000-7000-8000-{number:012x}"


def an_alert_message(
    number: int = 1, *, camera: str = "door", label: str = "without_mask", when: datetime = NOON
) -> AlertMessage:
    """The message of an alert; later ones have later ids."""
    return a_message("alert", when, sequence=number, id=an_id(number), camera=camera, label=label)  # type: ignore[return-value]


def resolve(store: AlertStore, number: int, *later: TimelinePoint) -> dict[str, Any]:
    """Add the resolution of an alert."""
    message = a_message("resolved", NOON, sequence=store.next_sequence("resolved"), alert=an_id(number))
    store.put(message, history_resolution(message, later))  # type: ignore[arg-type]
    return message.as_json()


@contextmanager
def a_full_disk() -> Iterator[None]:
    """A full disk, as far as this process can tell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "alerts.sqlite"


@pytest.fixture
def store(file) -> Iterator[AlertStore]:
    with closing(AlertStore(file, boot_id=BOOT_ID)) as opened:
        yield opened


@pytest.fixture
def history(file) -> AlertHistory:
    return AlertHistory(file)


def put(store: AlertStore, *numbers: int, now: datetime = NOON, **more: Any) -> None:
    for number in numbers:
        message = an_alert_message(number, **more)
        store.put(message, history_entry(message, TIMELINE, now=now))


def numbers(history: AlertHistory, **filters: Any) -> list[int]:
    return [entry.message["sequence"] for entry in history.find(**filters)]


def test_an_entry_equals_the_stored_alert(store, history):
    put(store, 1)

    entry = history.entry(an_id(1))

    assert (entry.id, entry.camera, entry.label, entry.when) == (an_id(1), "door", "without_mask", NOON)
    assert entry.message == an_alert_message(1).as_json()
    assert entry.timeline() == TIMELINE
    assert (entry.resolved, entry.review, entry.is_false_alarm) == (None, "", False)
    assert history.entry("another") is None


def test_an_inaccessible_store_is_not_mistaken_for_an_empty_one(tmp_path):
    # The kernel rejects so long a name, even for root.
    history = AlertHistory(tmp_path / ("x" * 300) / "alerts.sqlite")

    with pytest.raises(UnavailableError, match="name too long"):
        history.find()


def test_without_a_store_there_are_no_alerts_and_none_is_created(file, history):
    assert (history.find(), history.count(), history.entry("x"), history.review("x", "no_face")) == ([], 0, None, False)
    assert not file.parent.exists()


def test_a_resolution_is_added_with_the_readings_since_the_alert(store, history):
    put(store, 1, 2)
    later = TimelinePoint(1.5, 7.0, "without_mask", 0.95, 0.8)

    message = resolve(store, 1, later)

    entry = history.entry(an_id(1))
    assert entry.resolved == message
    assert entry.timeline().points == (POINT, later)
    assert history.entry(an_id(2)).resolved is None


def test_the_resolution_of_a_removed_alert_changes_nothing(store, history):
    put(store, 1)
    history.remove(an_id(1))

    resolve(store, 1)

    assert history.count() == 0


def test_the_store_knows_whether_an_alert_was_delivered(store, history):
    put(store, 1)
    assert history.is_pending(an_id(1))

    store.remove(an_id(1))

    assert not history.is_pending(an_id(1))
    assert history.count() == 1


def test_alerts_are_found_newest_first_by_camera_label_day_and_review(store, history):
    put(store, 1)
    put(store, 2, camera="yard")
    put(store, 3, label="mask_worn_incorrectly")
    put(store, 4, when=NOON - timedelta(days=1))
    history.review(an_id(3), "with_mask")

    assert numbers(history) == [4, 3, 2, 1]
    assert numbers(history, camera="yard") == [2]
    assert numbers(history, label="mask_worn_incorrectly") == [3]
    assert numbers(history, day="2026-02-28") == [4]
    assert numbers(history, review="with_mask") == [3]
    assert numbers(history, review="") == [4, 2, 1]
    assert numbers(history, camera="door", label="without_mask", day="2026-03-01") == [1]


def test_alerts_are_found_by_time_with_an_exclusive_end(store, history):
    for number, hours in ((1, 0), (2, 1), (3, 2)):
        put(store, number, when=NOON + timedelta(hours=hours))
    one, two = NOON + timedelta(hours=1), NOON + timedelta(hours=2)

    assert numbers(history, since=one) == [3, 2]
    assert numbers(history, until=one) == [1]
    assert numbers(history, since=one.astimezone(timezone(timedelta(hours=9))), until=two) == [2]
    assert numbers(history, since=one, camera="yard") == []


@pytest.mark.parametrize("nasty", ["'; DROP TABLE alerts; --", "../../etc/passwd", "\0", "%", "ä" * 10_000])
def test_filters_are_values_and_never_sql(store, history, nasty):
    put(store, 1)

    assert [
        history.find(camera=nasty),
        history.find(label=nasty),
        history.find(day=nasty),
        history.find(before=nasty + "0"),
    ][:3] == [[], [], []]
    assert history.entry(nasty) is None
    assert history.review(nasty, "no_face") is False
    assert history.remove(nasty) is False
    assert history.count() == 1


def test_pagination_continues_after_the_last_entry_of_a_page_was_removed(store, history):
    put(store, *range(1, 8))

    first = history.find(limit=3)
    assert [entry.message["sequence"] for entry in first] == [7, 6, 5]
    assert numbers(history, before=first[-1].id, limit=3) == [4, 3, 2]

    history.remove(first[-1].id)
    assert numbers(history, before=first[-1].id, limit=3) == [4, 3, 2]
    assert numbers(history, before=an_id(1)) == []


def test_days_are_counted_in_local_time_up_to_today(store, history):
    put(store, 1, 2)
    put(store, 3, label="mask_worn_incorrectly")
    put(store, 4, camera="yard", when=NOON - timedelta(days=2))
    put(store, 5, when=NOON - timedelta(days=3))

    assert history.days(last=3, today=TODAY) == [
        DayCount("2026-02-27", "without_mask", 1),
        DayCount("2026-03-01", "mask_worn_incorrectly", 1),
        DayCount("2026-03-01", "without_mask", 2),
    ]
    assert history.days(camera="yard", label="without_mask", today=TODAY) == [DayCount("2026-02-27", "without_mask", 1)]
    assert history.days(last=1, today=TODAY + timedelta(days=1)) == []


@pytest.mark.parametrize(
    ("review", "is_false_alarm"),
    [("with_mask", True), ("mask_worn_incorrectly", False), ("no_face", True), ("without_mask", False), ("", False)],
)
def test_reviews_are_stored_and_mark_false_alarms(store, history, review, is_false_alarm):
    put(store, 1)

    assert history.review(an_id(1), review)

    entry = history.entry(an_id(1))
    assert (entry.review, entry.is_false_alarm) == (review, is_false_alarm)


def test_deleted_alerts_are_not_in_the_bytes_of_the_file(store, history, file):
    put(store, 1)
    put(store, 2, camera="telltale")

    # To be sent, it would still have to be kept.
    store.remove(an_id(2))

    history.remove(an_id(2))

    assert b"telltale" not in b"".join(one.read_bytes() for one in file.parent.iterdir())
    assert numbers(history) == [1]


@contextmanager
def a_process(program: str, file: Path) -> Iterator[Any]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", textwrap.dedent(program), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process


def test_alerts_are_reviewed_beside_a_running_agent(file, history):
    program = """
        import sys
        from pathlib import Path
        from edge_agent.alerts.store import AlertStore
        from tests.alerts.test_history import BOOT_ID, put
        store = AlertStore(Path(sys.argv[1]), boot_id=BOOT_ID)
        for number in range(1, 201):
            put(store, number)
            print(number, flush=True)
        store.close()
        """
    with a_process(program, file) as process:
        for line in process.stdout:
            assert history.review(an_id(int(line)), "no_face")

    assert process.returncode == 0
    assert numbers(history, review="no_face", limit=1000) == list(range(200, 0, -1))


def test_alerts_and_reviews_survive_a_killed_process(file, history):
    program = """
        import itertools, sys
        from pathlib import Path
        from edge_agent.alerts.history import AlertHistory
        from edge_agent.alerts.store import AlertStore
        from tests.alerts.test_history import BOOT_ID, an_id, put
        store = AlertStore(Path(sys.argv[1]), boot_id=BOOT_ID)
        history = AlertHistory(Path(sys.argv[1]))
        for number in itertools.count(1):
            put(store, number)
            history.review(an_id(number), "with_mask")
            print(number, flush=True)
        """
    with a_process(program, file) as process:
        kept = [int(process.stdout.readline()) for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        kept += [int(line) for line in process.stdout if line.endswith("\n")]

    found = numbers(history, review="with_mask", limit=100_000)[::-1]
    assert found[: len(kept)] == kept
    assert len(found) - len(kept) in {0, 1}


def test_the_history_on_both_sides_of_garbage_is_salvaged(file, store, history):
    put(store, *range(1, 301))
    store.remove(*[an_id(number) for number in range(1, 301)])
    store.close()
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(os.urandom(30_000))

    with closing(AlertStore(file, boot_id=BOOT_ID)) as again:
        again.sweep(at=0.0, now=NOON, keep_days=30.0)
        put(again, 301)

        assert "were salvaged" in again.damage
        saved = numbers(history, limit=1000)
        assert {1, 300, 301} <= set(saved)
        assert len(saved) > 150
    assert len(files_set_aside(file)) == 1


def test_an_alert_with_wrong_bytes_is_reported_until_the_agent_drops_it(file, store, history):
    put(store, 1, 2, 3)
    store.remove(*[an_id(number) for number in (1, 2, 3)])
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE alerts SET message = '{' WHERE id = ?", (an_id(2),))
        database.commit()

    with pytest.raises(UnavailableError, match="history of alerts cannot be used"):
        history.find()
    store.sweep(at=0.0, now=NOON, keep_days=30.0)

    assert numbers(history) == [3, 1]
    assert "2 alerts of the history were salvaged" in store.damage


def test_a_reader_switches_to_the_new_file_after_the_old_one_is_set_aside(file, store, history):
    put(store, *range(1, 300))
    assert history.count() == 299
    with closing(sqlite3.connect(file)) as database:
        database.execute("DROP TABLE alerts")

    put(store, 300)

    assert numbers(history) == [300]


def test_a_damaged_file_is_left_to_the_agent(file, history):
    file.parent.mkdir()
    file.write_bytes(b"this is no database " * 500)

    with pytest.raises(UnavailableError, match=r"history of alerts cannot be used: .*see state_dir"):
        history.find()

    assert files_set_aside(file) == []


def test_changes_are_buffered_while_the_disk_is_full_and_written_afterwards(store, history):
    put(store, 1)

    with a_full_disk():
        put(store, 2, 3)
        resolved = resolve(store, 2)
        with pytest.raises(UnavailableError):
            history.review(an_id(1), "no_face")
    assert numbers(history) == [1]

    store.write_buffered()

    assert numbers(history) == [3, 2, 1]
    assert history.entry(an_id(2)).resolved == resolved


def test_changes_dropped_for_lack_of_memory_are_counted(file, history):
    file.mkdir(parents=True)
    with closing(AlertStore(file, boot_id=BOOT_ID)) as store:
        put(store, *range(1, MAX_BUFFERED + 101))
        file.rmdir()
        store.write_buffered()

        assert history.count() == MAX_BUFFERED
        assert store.dropped() == {"alert": 100, "resolved": 0, "counts": 0, "telemetry": 0, HISTORY: 100}


def test_alerts_delivered_from_memory_are_in_the_history(store, history):
    with a_full_disk():
        put(store, 1)
        store.remove(an_id(1))
    store.write_buffered()

    assert (numbers(history), store.count()) == ([1], 0)


def test_a_file_that_is_being_created_is_empty_and_not_damaged(file, history):
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as beginning:
        beginning.execute("PRAGMA journal_mode = WAL")

        assert history.count() == 0


def test_a_read_only_history_changes_nothing(file, store):
    put(store, 1)
    reader = AlertHistory(file, only_reads=True)
    with pytest.raises(UnavailableError, match="readonly"):
        reader.remove(an_id(1))
    assert numbers(reader) == [1]


def test_alerts_of_a_day_are_counted_over_restarts_and_damage(file, store):
    put(store, 1, 2)
    put(store, 3, when=NOON - timedelta(days=1))
    put(store, 4, 5)
    # On a Raspberry Pi, which has no clock, they are days apart until NTP answers.
    assert store.alerts_today(when=NOON) == 4
    store.close()

    with closing(AlertStore(file, boot_id="another")) as again:
        again.follow_clock(now=NOON)
        assert again.alerts_today(when=NOON) == 4
        again.close()
        with closing(sqlite3.connect(file)) as database:
            database.execute("DROP TABLE outbox")
        with closing(AlertStore(file, boot_id="another")) as salvaged:
            salvaged.follow_clock(now=NOON)
            assert salvaged.alerts_today(when=NOON) == 4
            assert salvaged.alerts_today(when=NOON + timedelta(days=1)) == 0


def test_a_sweep_removes_old_entries(store, history):
    put(store, 1, now=NOON - timedelta(days=31))
    put(store, 2)

    assert store.sweep(at=0.0, now=NOON, keep_days=30.0) == 1

    assert numbers(history) == [2]


def test_the_oldest_of_too_many_entries_are_removed(store, history, monkeypatch):
    monkeypatch.setattr("edge_agent.alerts.store.MAX_ENTRIES", 3)
    put(store, *range(1, 6))

    assert store.sweep(at=0.0, now=NOON, keep_days=30.0) == 2

    assert numbers(history) == [5, 4, 3]


@pytest.mark.parametrize("years", [50, -50])
def test_a_clock_that_jumps_by_years_makes_no_entry_older_or_younger(store, years):
    put(store, 1)
    store.sweep(at=0.0, now=NOON, keep_days=30.0)
    jumped = NOON + timedelta(days=365 * years)

    assert store.sweep(at=600.0, now=jumped, keep_days=30.0) == 0
    assert store.sweep(at=600.0 + 29 * 86_400, now=jumped + timedelta(days=29), keep_days=30.0) == 0
    assert store.sweep(at=600.0 + 31 * 86_400, now=jumped + timedelta(days=31), keep_days=30.0) == 1


@pytest.mark.parametrize("years", [50, -50])
def test_a_clock_that_jumped_between_two_runs_makes_no_entry_older_or_younger(file, store, years):
    put(store, 1)
    store.sweep(at=0.0, now=NOON, keep_days=30.0)
    store.close()

    with closing(AlertStore(file, boot_id="another")) as later:
        assert later.sweep(at=0.0, now=NOON + timedelta(days=365 * years), keep_days=30.0) == 0


def read_as_another_user(file: Path) -> str:
    """Read the store as a user in the file's group without write permission, in a separate process."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setgid(OTHER_GROUP)
        os.setuid(OTHER_USER)
        try:
            text = str([entry.id for entry in AlertHistory(file, only_reads=True).find()])
        except Exception as error:  # noqa: BLE001  (the only way to say why)
            text = repr(error)
        os.write(writes, text.encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as output:
        text = output.read()
    os.waitpid(child, 0)
    return text


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that its group may read; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


def share(folder: Path) -> None:
    folder.chmod(0o750)
    os.chown(folder, 0, OTHER_GROUP)
    for file in folder.iterdir():
        os.chown(file, 0, OTHER_GROUP)
        file.chmod(0o640)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which root alone can")
def test_a_user_with_read_access_reads_during_and_after_the_agents_run(shared):
    file = shared / "alerts.sqlite"
    with closing(AlertStore(file, boot_id=BOOT_ID)) as store:
        put(store, 1)
        share(shared)
        assert read_as_another_user(file) == str([an_id(1)])

    assert read_as_another_user(file) == str([an_id(1)])


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which root alone can")
def test_a_user_with_read_access_reads_the_file_of_a_killed_agent(shared, tmp_path):
    with closing(AlertStore(tmp_path / "alerts.sqlite", boot_id=BOOT_ID)) as store:
        put(store, 1)
        for file in tmp_path.glob("alerts.sqlite*"):
            shutil.copy(file, shared)
    share(shared)

    assert read_as_another_user(shared / "alerts.sqlite") == str([an_id(1)])


@pytest.mark.parametrize("read", [lambda file: AlertHistory(file, only_reads=True).count(), is_begun])
def test_the_error_for_an_inaccessible_store_names_what_gives_access(tmp_path, read):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    with pytest.raises(UnavailableError, match="sudo") as raised:
        read(loop / "alerts.sqlite")

    assert "Errno" not in str(raised.value)


def test_the_neighbours_of_an_alert_and_the_unreviewed_count_are_known(store, history):
    for number in (1, 2, 3):
        put(store, number)

    assert history.neighbours(an_id(2)) == (an_id(3), an_id(1))
    assert history.neighbours(an_id(3)) == ("", an_id(2))
    assert history.neighbours(an_id(9)) == ("", "")
    assert history.unreviewed() == 3
    history.review(an_id(1), "no_face")
    assert history.unreviewed() == 2
