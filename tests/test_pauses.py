"""Pauses: survive a restart; a disk that cannot be written costs only that."""

import uuid
from datetime import datetime, timedelta, timezone

import pytest

from edge_agent.pauses import Pauses

# Noon of the device's own zone: hours away from midnight, whatever zone the tests run in.
NOON = datetime(2026, 3, 1, 12, 0).astimezone()


def started(tmp_path, *, boot_id=None, at=0.0, when=NOON, suspended=lambda: 0.0):
    """Those of an agent on a machine that was started again, unless it is given a boot id."""
    pauses = Pauses(boot_id=boot_id or str(uuid.uuid4()), suspended=suspended)
    pauses.keep_in(tmp_path / "state" / "pauses.json", at=at, when=when)
    return pauses


def test_nothing_is_paused_at_first(tmp_path):
    assert not started(tmp_path).is_paused("door", at=0.0)


def test_a_pause_lasts_for_the_requested_time(tmp_path):
    pauses = started(tmp_path)

    pauses.pause(["door"], seconds=60, at=10.0, when=NOON)

    assert pauses.is_paused("door", at=69.9)
    assert not pauses.is_paused("door", at=70.0)
    assert not pauses.is_paused("yard", at=20.0)


def test_a_pause_passes_while_the_machine_is_suspended(tmp_path):
    suspended = [1000.0]
    pauses = started(tmp_path, suspended=lambda: suspended[0])
    pauses.pause(["door"], seconds=600, at=0.0, when=NOON)
    assert pauses.is_paused("door", at=1.0)

    suspended[0] += 86_400.0

    assert not pauses.is_paused("door", at=1.0)


def test_a_pause_without_an_end_lasts_until_it_is_ended(tmp_path):
    pauses = started(tmp_path)
    pauses.pause(["door", "yard"], seconds=None, at=0.0, when=NOON)
    assert pauses.is_paused("door", at=1e9)

    pauses.resume(["door"], at=1.0, when=NOON)

    assert not pauses.is_paused("door", at=1.0)
    assert pauses.is_paused("yard", at=1.0)


def test_the_rest_of_a_pause_survives_a_restart(tmp_path):
    started(tmp_path).pause(["door"], seconds=600, at=50.0, when=NOON)

    again = started(tmp_path, at=7.0, when=NOON + timedelta(seconds=200))

    assert again.is_paused("door", at=7.0 + 399.0)
    assert not again.is_paused("door", at=7.0 + 400.0)


def test_a_clock_in_1970_does_not_extend_a_pause(tmp_path):
    started(tmp_path).pause(["door"], seconds=600, at=50.0, when=NOON)

    again = started(tmp_path, at=7.0, when=datetime(1970, 1, 1, tzinfo=timezone.utc))

    assert again.is_paused("door", at=7.0 + 599.0)
    assert not again.is_paused("door", at=7.0 + 600.0)


@pytest.mark.parametrize("step", [timedelta(days=20_000), timedelta(days=-1)])
def test_a_clock_set_before_a_reload_neither_ends_nor_extends_a_pause(tmp_path, step):
    started(tmp_path, boot_id="same").pause(["door"], seconds=600, at=50.0, when=NOON)

    again = started(tmp_path, boot_id="same", at=150.0, when=NOON + step)

    assert again.is_paused("door", at=50.0 + 599.0)
    assert not again.is_paused("door", at=50.0 + 600.0)


def test_a_pause_that_ended_while_the_agent_was_away_is_over(tmp_path):
    started(tmp_path).pause(["door"], seconds=600, at=50.0, when=NOON)

    assert not started(tmp_path, at=7.0, when=NOON + timedelta(hours=1)).is_paused("door", at=7.0)


def test_a_pause_without_an_end_outlives_a_restart(tmp_path):
    started(tmp_path).pause(["door"], seconds=None, at=0.0, when=NOON)

    assert started(tmp_path, when=NOON + timedelta(days=400)).is_paused("door", at=0.0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"paused": "many"}', b"\xff", b'{"paused": {"a": 1e99}}'])
def test_a_damaged_file_is_logged_and_no_camera_is_paused(tmp_path, caplog, content):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "pauses.json").write_bytes(content)

    pauses = started(tmp_path)

    assert not pauses.is_paused("a", at=0.0)
    assert caplog.text.count("no camera is paused") == 1


def test_a_time_without_a_zone_is_taken_for_utc(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "pauses.json").write_text('{"paused": {"door": {"until": "2026-03-01T12:10:00"}}}')

    noon = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)

    assert started(tmp_path, when=noon).is_paused("door", at=599.0)


def test_an_unwritable_disk_is_logged_once_and_the_pause_holds(tmp_path, caplog):
    (tmp_path / "state").write_text("a file in the place of the folder")
    pauses = started(tmp_path)

    pauses.pause(["door"], seconds=None, at=0.0, when=NOON)

    assert pauses.is_paused("door", at=1.0)
    assert caplog.text.count("pauses cannot be saved and end at the next restart") == 1


def test_pauses_move_to_another_file_and_hold(tmp_path):
    pauses = started(tmp_path)
    pauses.pause(["door"], seconds=600, at=50.0, when=NOON)
    started(tmp_path / "other").pause(["yard"], seconds=600, at=50.0, when=NOON)

    pauses.keep_in(tmp_path / "other" / "state" / "pauses.json", at=150.0, when=NOON + timedelta(seconds=100))

    assert pauses.is_paused("door", at=150.0)
    again = started(tmp_path / "other", when=NOON + timedelta(seconds=100))
    assert again.is_paused("door", at=499.0)
    assert not again.is_paused("door", at=500.0)
    assert not again.is_paused("yard", at=0.0)
