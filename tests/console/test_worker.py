"""Worker: a bounded queue that loses no result."""

import asyncio
import threading
import time

import pytest

from edge_agent.console.worker import BusyError, Worker


@pytest.fixture
def worker():
    made = Worker("test", max_waiting=3)
    yield made
    made.close()


def test_an_error_is_raised_in_the_caller(worker):
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(worker.do(fail))


def test_calls_beyond_the_queue_limit_are_rejected_until_others_are_done(worker):
    gate = threading.Event()

    async def calls():
        waiting = [asyncio.ensure_future(worker.do(gate.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await worker.do(gate.wait)
        gate.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        return await worker.do(gate.wait)

    assert asyncio.run(calls())


def test_a_cancelled_caller_counts_until_its_work_is_done(worker):
    gate = threading.Event()

    async def calls():
        for _ in range(3):
            waiting = asyncio.ensure_future(worker.do(gate.wait))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await worker.do(gate.wait)
        gate.set()

    asyncio.run(calls())


def test_a_request_that_would_wait_long_is_rejected_at_once(monkeypatch):
    monkeypatch.setattr("edge_agent.console.worker.MAX_WAIT_SECONDS", 0.05)
    worker = Worker("test", max_waiting=100)

    async def calls():
        await worker.do(time.sleep, 0.1)
        waits = asyncio.ensure_future(worker.do(time.sleep, 0.1))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await worker.do(time.sleep, 0.1)
        await waits

    asyncio.run(calls())
    worker.close()
