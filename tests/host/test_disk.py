"""Disk: threads that must not block use a disk that hangs."""

import threading
import time
from pathlib import Path

import pytest

from edge_agent.errors import UnavailableError
from edge_agent.host import disk
from edge_agent.host.disk import DiskThread, LastKnown, NewestWriter, reach

TIMEOUT_SECONDS = 60.0
QUICK_SECONDS = 3.0
"""Longest response time of a working disk, even on a busy machine."""


class Hanging:
    """Work that returns its number of calls; from the second call on it hangs until it is released."""

    def __init__(self):
        self.released, self.asked = threading.Event(), 0

    def __call__(self):
        self.asked += 1
        if self.asked > 1:
            assert self.released.wait(TIMEOUT_SECONDS)
        return self.asked


def eventually(ask):
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (answer := ask()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return answer


def test_late_work_runs_once_and_its_result_is_returned_later():
    late, work = threading.Event(), Hanging()
    disk: DiskThread[int] = DiskThread(timeout_seconds=QUICK_SECONDS, done_late=late.set)
    answers = [disk.ask(work) for _ in range(4)]
    assert answers == [1, None, None, None]
    assert work.asked == 2
    assert not late.is_set()

    work.released.set()
    assert late.wait(TIMEOUT_SECONDS)
    assert eventually(lambda: disk.ask(work)) == 2
    assert disk.ask(work) == 3


def test_work_on_a_hanging_disk_times_out_and_no_other_is_started():
    work = Hanging()
    disk: DiskThread[int] = DiskThread(timeout_seconds=QUICK_SECONDS)
    assert disk.do(work) == 1

    for _ in range(2):
        with pytest.raises(UnavailableError, match="not responding"):
            disk.do(work)
    assert work.asked == 2

    work.released.set()

    def done():
        try:
            return disk.do(work)
        except UnavailableError:
            return None

    # Not what came of the one that was given up.
    assert eventually(done) == 3


def test_errors_of_the_disk_are_raised_in_the_caller():
    def fail() -> str:
        raise OSError("full")

    disk: DiskThread[str] = DiskThread(timeout_seconds=TIMEOUT_SECONDS)
    with pytest.raises(OSError, match="full"):
        disk.ask(fail)
    with pytest.raises(OSError, match="full"):
        disk.do(fail)
    assert disk.do(lambda: "well again") == "well again"


def test_a_hanging_disk_blocks_no_thread_and_is_queried_once():
    answers, asked = threading.Event(), []

    def look() -> str:
        asked.append("")
        if len(asked) > 1:
            assert answers.wait(60.0)
        return f"look {len(asked)}"

    disk = LastKnown(look, before="nothing yet")
    assert eventually(lambda: disk.get() == "look 1" or None)

    # It would wait for a minute each time.
    began = time.monotonic()
    assert [disk.get() for _ in range(3)] == 3 * ["look 1"]
    assert time.monotonic() - began < 50.0
    assert len(asked) == 2

    answers.set()
    deadline = time.monotonic() + 60.0
    while disk.get() == "look 1":
        assert time.monotonic() < deadline


def test_a_disk_that_recovers_gets_the_newest_content_and_later_ones():
    released, written = threading.Event(), []

    def write(_file, content):
        assert released.wait(TIMEOUT_SECONDS)
        written.append(content)

    writer = NewestWriter(Path("file"), if_unwritable="", write=write)
    for content in (b"first", b"second", b"third"):
        writer.put(content)
    assert written == []

    released.set()
    eventually(lambda: written[1:] or None)
    assert written == [b"first", b"third"]
    writer.put(b"fourth")
    eventually(lambda: written[2:] or None)
    assert written[-1] == b"fourth"


def test_content_that_is_put_just_as_the_disk_finishes_is_not_lost(monkeypatch):
    monkeypatch.setattr(disk, "WRITE_SECONDS", 0.0)
    written: list[bytes] = []
    writer = NewestWriter(Path("file"), if_unwritable="", write=lambda _file, content: written.append(content))

    for number in range(100):
        for content in (b"first", b"second", b"%d" % number):
            writer.put(content)
        eventually(lambda last=b"%d" % number: written[-1:] == [last] or None)


def test_a_missing_or_inaccessible_folder_counts_as_reachable(tmp_path):
    assert reach(tmp_path / "a" / "b")
    assert reach(tmp_path / ("x" * 300))
