"""The album knows each alert, whatever happens to its file, and never holds one up."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.errors import UnavailableError
from edge_agent.evidence.album import MOST_HELD, Album, DayCount
from edge_agent.evidence.course import Course, CoursePoint
from edge_agent.sqlite_file import files_set_aside

if TYPE_CHECKING:
    from collections.abc import Iterator

# A day of the device's own wall clock, whatever zone the tests run in.
NOON = datetime(2026, 3, 1, 12, 0).astimezone(timezone.utc)
TODAY = date(2026, 3, 1)
POINT = CoursePoint(-0.5, 3.25, "without_mask", 0.9, 0.75)
COURSE = Course((POINT,), 6.8, -2.3, (4, 5, 44, 55))


def a_message(number: int = 1, *, camera: str = "door", label: str = "without_mask", when: datetime = NOON) -> Any:
    """The message of an alert; later ones have later ids."""
    written = when.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    identity = f"01950000-0000-7000-8000-{number:012x}"
    return {"id": identity, "sequence": number, "camera": camera, "label": label, "when": written, "crop": None}


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
    return tmp_path / "state" / "album.sqlite"


@pytest.fixture
def album(file) -> Iterator[Album]:
    with closing(Album(file, keep_days=30.0)) as opened:
        yield opened


def put(album: Album, *numbers: int, **more: Any) -> None:
    for number in numbers:
        album.put(a_message(number, **more), COURSE, now=NOON)


def numbers(album: Album, **asked: Any) -> list[int]:
    return [entry.message["sequence"] for entry in album.find(**asked)]


def test_an_entry_is_what_was_put(album):
    message = a_message()
    album.put(message, COURSE, now=NOON)

    entry = album.entry(message["id"])

    assert (entry.id, entry.camera, entry.label, entry.when) == (message["id"], "door", "without_mask", NOON)
    assert entry.message == message
    assert entry.course == (POINT,)
    assert (entry.violation_nats, entry.compliant_nats, entry.face_in_crop) == (6.8, -2.3, (4, 5, 44, 55))
    assert (entry.ended, entry.truth, entry.is_false_alarm) == (None, "", False)
    assert album.entry("another") is None


def test_an_alert_that_is_put_twice_is_there_once(album):
    put(album, 1, 1)

    assert album.count() == 1


def test_how_an_alert_ended_is_added_with_what_was_read_since(album):
    put(album, 1, 2)
    later = CoursePoint(1.5, 7.0, "without_mask", 0.95, 0.8)

    album.end(a_message(1)["id"], {"reason": "left"}, [later])

    entry = album.entry(a_message(1)["id"])
    assert entry.ended == {"reason": "left"}
    assert entry.course == (POINT, later)
    assert album.entry(a_message(2)["id"]).ended is None


def test_the_end_of_an_alert_that_was_removed_changes_nothing(album):
    put(album, 1)
    album.remove(a_message(1)["id"])

    album.end(a_message(1)["id"], {"reason": "left"})

    assert album.count() == 0


def test_alerts_are_found_newest_first_by_camera_label_day_and_truth(album):
    put(album, 1)
    put(album, 2, camera="yard")
    put(album, 3, label="mask_worn_incorrectly")
    put(album, 4, when=NOON - timedelta(days=1))
    album.say_truth(a_message(3)["id"], "with_mask")

    assert numbers(album) == [4, 3, 2, 1]
    assert numbers(album, camera="yard") == [2]
    assert numbers(album, label="mask_worn_incorrectly") == [3]
    assert numbers(album, day="2026-02-28") == [4]
    assert numbers(album, truth="with_mask") == [3]
    assert numbers(album, truth="") == [4, 2, 1]
    assert numbers(album, camera="door", label="without_mask", day="2026-03-01") == [1]


@pytest.mark.parametrize("nasty", ["'; DROP TABLE alerts; --", "../../etc/passwd", "\0", "%", "ä" * 10_000])
def test_whatever_is_asked_for_is_only_looked_for(album, nasty):
    put(album, 1)

    assert [album.find(camera=nasty), album.find(label=nasty), album.find(day=nasty), album.find(before=nasty + "0")][
        :3
    ] == [[], [], []]
    assert album.entry(nasty) is None
    assert album.say_truth(nasty, "no_face") is False
    assert album.remove(nasty) is False
    assert album.count() == 1


def test_pages_follow_each_other_also_where_the_last_entry_of_one_was_removed(album):
    put(album, *range(1, 8))

    first = album.find(limit=3)
    assert [entry.message["sequence"] for entry in first] == [7, 6, 5]
    assert numbers(album, before=first[-1].id, limit=3) == [4, 3, 2]

    album.remove(first[-1].id)
    assert numbers(album, before=first[-1].id, limit=3) == [4, 3, 2]
    assert numbers(album, before=a_message(1)["id"]) == []


def test_days_are_counted_by_the_clock_on_the_wall_up_to_today(album):
    put(album, 1, 2)
    put(album, 3, label="mask_worn_incorrectly")
    put(album, 4, camera="yard", when=NOON - timedelta(days=2))
    put(album, 5, when=NOON - timedelta(days=3))

    assert album.days(last=3, today=TODAY) == [
        DayCount("2026-02-27", "without_mask", 1),
        DayCount("2026-03-01", "mask_worn_incorrectly", 1),
        DayCount("2026-03-01", "without_mask", 2),
    ]
    assert album.days(camera="yard", label="without_mask", today=TODAY) == [DayCount("2026-02-27", "without_mask", 1)]
    assert album.days(last=1, today=TODAY + timedelta(days=1)) == []


@pytest.mark.parametrize(
    ("truth", "is_false_alarm"),
    [("with_mask", True), ("mask_worn_incorrectly", True), ("no_face", True), ("without_mask", False), ("", False)],
)
def test_what_a_person_says_is_kept_and_tells_false_alarms(album, truth, is_false_alarm):
    put(album, 1)

    assert album.say_truth(a_message(1)["id"], truth)

    entry = album.entry(a_message(1)["id"])
    assert (entry.truth, entry.is_false_alarm) == (truth, is_false_alarm)


def test_what_was_deleted_is_not_in_the_bytes_of_the_file_either(album, file):
    put(album, 1)
    put(album, 2, camera="telltale")

    album.remove(a_message(2)["id"])

    assert b"telltale" not in b"".join(one.read_bytes() for one in file.parent.iterdir())
    assert numbers(album) == [1]


def test_two_processes_work_in_one_album(file, album):
    """One puts as the agent does, this one judges as the console does, each through its own connection."""
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from edge_agent.evidence.album import Album
        from tests.evidence.test_album import put
        album = Album(Path(sys.argv[1]), keep_days=30.0)
        for number in range(1, 201):
            put(album, number)
            print(number, flush=True)
        album.close()
        """
    )
    with a_process(program, file) as process:
        for line in process.stdout:
            assert album.say_truth(a_message(int(line))["id"], "no_face")

    assert process.returncode == 0
    assert numbers(album, truth="no_face", limit=1000) == list(range(200, 0, -1))


@contextmanager
def a_process(program: str, file: Path) -> Iterator[Any]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", program, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process


def test_what_was_put_and_said_survives_a_process_that_is_killed(file, album):
    program = textwrap.dedent(
        """
        import itertools, sys
        from pathlib import Path
        from edge_agent.evidence.album import Album
        from tests.evidence.test_album import a_message, put
        album = Album(Path(sys.argv[1]), keep_days=30.0)
        for number in itertools.count(1):
            put(album, number)
            album.say_truth(a_message(number)["id"], "with_mask")
            print(number, flush=True)
        """
    )
    with a_process(program, file) as process:
        kept = [int(process.stdout.readline()) for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        kept += [int(line) for line in process.stdout if line.endswith("\n")]

    found = numbers(album, truth="with_mask", limit=100_000)[::-1]
    assert found[: len(kept)] == kept
    assert len(found) - len(kept) in {0, 1}


def test_threads_put_and_look_at_once(album):
    def put_some(first: int) -> None:
        put(album, *range(first, first + 25))

    threads = [threading.Thread(target=put_some, args=(first,)) for first in (1, 101, 201, 301)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        album.find(limit=10)
    for thread in threads:
        thread.join()

    assert album.count() == 100


@pytest.mark.parametrize("content", [b"this is no database " * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(file, album, caplog, content):
    file.parent.mkdir()
    file.write_bytes(content)

    put(album, 1)

    assert numbers(album) == [1]
    (aside,) = files_set_aside(file)
    assert aside.read_bytes() == content
    assert [str(aside) in record.message for record in caplog.records] == [True]


def test_damage_that_shows_to_one_is_mended_for_the_other_too(file, album):
    put(album, *range(1, 300))
    with closing(Album(file, keep_days=30.0)) as beside:
        assert beside.count() == 299
        with closing(sqlite3.connect(file)) as database:
            database.execute("DROP TABLE alerts")

        put(beside, 300)
        put(album, 301)

        assert numbers(album) == numbers(beside) == [301, 300]
    assert len(files_set_aside(file)) == 1


def test_a_file_of_a_later_version_is_set_aside(file, album):
    put(album, 1)
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 99")
    album.close()

    put(album, 2)

    assert numbers(album) == [2]
    assert len(files_set_aside(file)) == 1


def test_a_file_that_somebody_removed_is_begun_anew(file, album):
    put(album, 1)
    for one in file.parent.iterdir():
        one.unlink()

    put(album, 2)

    assert numbers(album) == [2]


def test_what_a_full_disk_does_not_take_waits_in_memory_and_goes_there_once_there_is_room(album, caplog):
    put(album, 1)

    with a_full_disk():
        put(album, 2, 3)
        album.end(a_message(2)["id"], {"reason": "left"})
        with pytest.raises(UnavailableError, match=r"album of alerts cannot be used: .*see state_folder"):
            album.say_truth(a_message(1)["id"], "no_face")
    assert numbers(album) == [1]
    assert [record.levelname for record in caplog.records] == ["ERROR"]

    caplog.clear()
    with caplog.at_level("INFO"):
        album.keep_held()

    assert numbers(album) == [3, 2, 1]
    assert album.entry(a_message(2)["id"]).ended == {"reason": "left"}
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_memory_is_bounded_while_the_disk_takes_nothing(file, caplog):
    file.mkdir(parents=True)
    with closing(Album(file, keep_days=30.0)) as album:
        put(album, *range(MOST_HELD + 100))
        file.rmdir()
        album.keep_held()

        assert album.count() == MOST_HELD
    assert len(caplog.records) == 1


def test_a_folder_that_cannot_be_written_costs_only_what_is_known(file, caplog):
    file.parent.write_text("a file in the place of the folder")
    album = Album(file, keep_days=30.0)

    put(album, 1)
    album.sweep(at=0.0, now=NOON)
    album.close()

    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "alerts are sent all the same" in caplog.text
    assert "1 changes are lost" in caplog.text


def test_an_album_that_another_process_is_just_beginning_is_empty_and_not_damaged(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        closing(sqlite3.connect(file)) as beginning,
        closing(Album(file, keep_days=30.0, only_reads=True)) as reader,
    ):
        beginning.execute("PRAGMA journal_mode = WAL")

        assert reader.count() == 0


def test_who_only_reads_begins_changes_and_sets_aside_nothing(file, album):
    with closing(Album(file, keep_days=30.0, only_reads=True)) as reader:
        assert (reader.find(), reader.count(), reader.entry("x")) == ([], 0, None)
        assert not file.parent.exists()

        put(album, 1)
        assert numbers(reader) == [1]
        with pytest.raises(UnavailableError, match="readonly"):
            reader.remove(a_message(1)["id"])

        album.close()
        file.write_bytes(b"this is no database " * 500)
        with pytest.raises(UnavailableError, match="not a database"):
            reader.find()
    assert files_set_aside(file) == []


def test_what_is_too_old_goes_at_a_sweep(album):
    album.put(a_message(1), COURSE, now=NOON - timedelta(days=31))
    put(album, 2)

    assert album.sweep(at=0.0, now=NOON) == 1

    assert numbers(album) == [2]


def test_of_too_many_the_oldest_go(album, monkeypatch):
    monkeypatch.setattr("edge_agent.evidence.album.MOST_ENTRIES", 3)
    put(album, *range(1, 6))

    assert album.sweep(at=0.0, now=NOON) == 2

    assert numbers(album) == [5, 4, 3]


@pytest.mark.parametrize("years", [50, -50])
def test_a_clock_that_jumps_by_years_makes_no_entry_older_or_younger(album, years):
    put(album, 1)
    album.sweep(at=0.0, now=NOON)
    jumped = NOON + timedelta(days=365 * years)

    assert album.sweep(at=600.0, now=jumped) == 0
    assert album.sweep(at=600.0 + 29 * 86_400, now=jumped + timedelta(days=29)) == 0
    assert album.sweep(at=600.0 + 31 * 86_400, now=jumped + timedelta(days=31)) == 1


@pytest.mark.parametrize("years", [50, -50])
def test_a_clock_that_jumped_between_two_runs_makes_no_entry_older_or_younger(file, album, years):
    put(album, 1)
    album.sweep(at=0.0, now=NOON)
    album.close()

    with closing(Album(file, keep_days=30.0)) as later:
        assert later.sweep(at=0.0, now=NOON + timedelta(days=365 * years)) == 0
