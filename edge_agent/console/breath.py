"""The breath: does the event loop leave the interpreter to the watching, whatever comes in?

Python runs one thread at a time, and niceness does not decide which: in a flood of requests the loop has always
something to do, and every step of the watching would wait for its turn. So it rests after a while of work, as what is
done at the desk does (see `leisure`), and turns are short while the console is open.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.console.leisure import Leisure

MOST_SHARE = 0.5
"""Of the time, rests counted, that the loop works where the watching leaves more: nobody who behaves needs so much."""
LOOK_SECONDS = 0.05
LONGEST_REST_SECONDS = 0.25
"""A page moves on several times a second, also in a flood."""
TURN_SECONDS = 0.001
"""Python's own is 5 ms, which a frame, with its dozens of steps, could wait at each."""


async def breathe(leisure: Leisure) -> None:
    """Keep the event loop's thread to its share, until cancelled."""
    while True:
        worked, began = time.thread_time(), time.monotonic()
        await asyncio.sleep(LOOK_SECONDS)
        at = time.monotonic()
        rest = rest_seconds(time.thread_time() - worked, passed_seconds=at - began, leisure=leisure, at=at)
        # Not asyncio's: nothing of the loop is to run meanwhile.
        time.sleep(rest)


def rest_seconds(worked_seconds: float, *, passed_seconds: float, leisure: Leisure, at: float) -> float:
    """How long to rest after work that was a part of the time that passed."""
    idle_seconds = passed_seconds - worked_seconds
    wanted = max(leisure.rest_seconds(worked_seconds, at=at), worked_seconds * (1.0 - MOST_SHARE) / MOST_SHARE)
    return min(max(wanted - idle_seconds, 0.0), LONGEST_REST_SECONDS)


@contextmanager
def short_turns() -> Iterator[None]:
    """Have threads hand the interpreter over sooner."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, TURN_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
