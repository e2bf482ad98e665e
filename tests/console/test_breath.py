"""The breath: however much is asked, the event loop leaves the watching its turns."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.console.breath import LONGEST_REST_SECONDS, MOST_SHARE, TURN_SECONDS, breathe, rest_seconds, short_turns
from edge_agent.console.leisure import Leisure
from tests.console.served import somebody


def keep_busy(seconds):
    """Keep the interpreter for so long of this thread's own time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize(
    ("worked", "passed", "rest"), [(0.0, 0.05, 0.0), (0.02, 0.05, 0.0), (0.05, 0.05, 0.05), (0.04, 0.05, 0.03)]
)
def test_who_has_worked_more_than_half_of_the_time_rests(worked, passed, rest):
    assert rest_seconds(worked, passed_seconds=passed, leisure=Leisure(), at=0.0) == pytest.approx(rest)


def test_no_rest_is_so_long_that_it_looks_like_the_end():
    assert rest_seconds(30.0, passed_seconds=30.0, leisure=Leisure(), at=0.0) == LONGEST_REST_SECONDS


def test_where_the_watching_is_busy_the_loop_rests_longer():
    leisure = Leisure()
    frame = replace(somebody(), stage_seconds={"faces": 0.09})
    for number in range(20):
        leisure.saw(frame, at=number / 10)

    assert rest_seconds(0.01, passed_seconds=0.01, leisure=leisure, at=2.0) == pytest.approx(0.09)


def test_an_event_loop_that_is_kept_busy_rests_half_of_the_time():
    async def work():
        breath = asyncio.ensure_future(breathe(Leisure()))
        began, worked = time.monotonic(), time.thread_time()
        while time.thread_time() - worked < 0.5:
            keep_busy(0.002)
            await asyncio.sleep(0)
        passed = time.monotonic() - began
        breath.cancel()
        return passed

    # The last look may still be to come.
    assert asyncio.run(work()) > 0.8


def test_turns_are_short_while_it_is_open_and_as_before_afterwards():
    before = sys.getswitchinterval()
    with short_turns():
        assert sys.getswitchinterval() == pytest.approx(TURN_SECONDS)
    assert sys.getswitchinterval() == before


def test_a_flood_keeps_the_loop_busy_for_its_share_and_no_more(console, ask):
    assert ask.get("/health").status_code == 200
    stop = threading.Event()

    def flood():
        with console.client() as client:
            while not stop.is_set():
                client.get("/health")

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    (loop,) = [thread for thread in threading.enumerate() if thread.name == "console"]
    worked, began = seconds_of(loop), time.monotonic()
    stop.wait(2.0)
    share = (seconds_of(loop) - worked) / (time.monotonic() - began)
    stop.set()
    for thread in threads:
        thread.join()

    assert share < MOST_SHARE + 0.1
    assert sys.getswitchinterval() == pytest.approx(TURN_SECONDS)


def seconds_of(thread) -> float:
    """What a thread has used of the processor, by the kernel's account (proc(5))."""
    fields = Path(f"/proc/self/task/{thread.native_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
