"""The desk: bounded, behind the watching, and nothing that it did is lost on the way."""

import asyncio
import os
import threading
import time

import pytest

from edge_agent.console.desk import LONGEST_WAIT_SECONDS, NICENESS, BusyError, Desk
from edge_agent.console.leisure import Leisure


@pytest.fixture
def desk():
    made = Desk("test", most_waiting=3, leisure=Leisure())
    yield made
    made.close()


def test_work_is_done_in_a_thread_that_steps_back(desk):
    def niceness():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), threading.current_thread().name

    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    nice, name = asyncio.run(desk.do(niceness))

    assert nice == max(own, NICENESS)
    assert name.startswith("test")
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


def test_what_fails_fails_for_whoever_asked(desk):
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(desk.do(fail))


def test_more_than_may_wait_is_refused_and_room_is_made_when_work_is_done(desk):
    gate = threading.Event()

    async def ask():
        waiting = [asyncio.ensure_future(desk.do(gate.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await desk.do(gate.wait)
        gate.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        return await desk.do(gate.wait)

    assert asyncio.run(ask())


def test_one_who_leaves_still_counts_until_the_work_is_done(desk):
    gate = threading.Event()

    async def ask():
        for _ in range(3):
            waiting = asyncio.ensure_future(desk.do(gate.wait))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await desk.do(gate.wait)
        gate.set()

    asyncio.run(ask())


class NoLeisure(Leisure):
    """So busy a watching that a millisecond of work is followed by a long rest."""

    def rest_seconds(self, worked_seconds, *, at):
        return 0.2


def test_after_work_it_rests_as_the_watching_wants_and_whoever_asked_does_not_wait_for_that():
    desk = Desk("test", most_waiting=3, leisure=NoLeisure())

    async def ask():
        began = time.monotonic()
        await desk.do(threading.get_native_id)
        first = time.monotonic() - began
        await desk.do(threading.get_native_id)
        return first, time.monotonic() - began

    first, second = asyncio.run(ask())
    desk.close()

    assert first < second
    assert second >= 0.2


def test_who_would_have_to_wait_for_long_is_refused_at_once():
    class HardlyAny(Leisure):
        def rest_seconds(self, worked_seconds, *, at):
            return LONGEST_WAIT_SECONDS

    desk = Desk("test", most_waiting=100, leisure=HardlyAny())

    async def ask():
        await desk.do(threading.get_native_id)
        waits = [asyncio.ensure_future(desk.do(threading.get_native_id)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await desk.do(threading.get_native_id)
        for one in waits:
            one.cancel()

    asyncio.run(ask())
    desk.close()
