"""Shared result: one request for all who ask, and its errors for all of them."""

import asyncio
import gc

import pytest

from edge_agent.bridge.shared import Shared


class Source:
    """Counts how often it is asked; fails if it is away."""

    def __init__(self, *, is_away=False):
        self.asked = 0
        self.is_away = is_away

    async def fetch(self):
        self.asked += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise ConnectionError
        return self.asked


def test_all_who_ask_get_the_same_result_until_it_is_too_old():
    source = Source()

    async def scenario():
        kept, renewed = Shared(source.fetch, seconds=600.0), Shared(source.fetch, seconds=0.0)
        together = await asyncio.gather(*(kept.get() for _ in range(20)))
        return [*together, await kept.get()], [await renewed.get(), await renewed.get()]

    assert asyncio.run(scenario()) == ([1] * 21, [2, 3])


def test_an_error_is_raised_for_all_and_the_next_request_is_made_anew():
    source = Source(is_away=True)

    async def scenario():
        shared = Shared(source.fetch, seconds=0.0)
        for found in await asyncio.gather(*(shared.get() for _ in range(3)), return_exceptions=True):
            assert isinstance(found, ConnectionError)
        source.is_away = False
        return await shared.get()

    assert asyncio.run(scenario()) == 2


def test_a_caller_who_leaves_does_not_cancel_the_request_of_the_others():
    source = Source()

    async def scenario():
        shared = Shared(source.fetch, seconds=600.0)
        leaver, other = (asyncio.ensure_future(shared.get()) for _ in range(2))
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        return await other

    assert asyncio.run(scenario()) == 1


def test_an_error_after_all_callers_have_left_is_not_logged():
    source = Source(is_away=True)
    logged = []

    async def scenario():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: logged.append(context))
        leaver = asyncio.ensure_future(Shared(source.fetch, seconds=0.0).get())
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        del leaver
        await asyncio.sleep(0.01)
        gc.collect()

    asyncio.run(scenario())
    assert (source.asked, logged) == (1, [])
