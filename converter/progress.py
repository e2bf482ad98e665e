"""Progress: how far is a piece of work of more than two seconds?"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")

QUIET_SECONDS = 2.0


def with_progress(items: Iterable[Item], *, total: int, what: str) -> Iterable[Item]:
    """Go through items with a bar on stderr, where that is a terminal and the work is not done in a moment."""
    return tqdm(items, total=total, desc=what, leave=False, delay=QUIET_SECONDS, disable=None)


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show how long a step without parts of its own has taken, every two seconds, where stderr is a terminal."""
    done = threading.Event()
    stream = sys.stderr

    def show() -> None:
        began = time.monotonic()
        while not done.wait(QUIET_SECONDS):
            stream.write(f"\r{what} ... {time.monotonic() - began:.0f} s")
            stream.flush()
        if time.monotonic() - began > QUIET_SECONDS:
            stream.write("\r\033[K")

    thread = threading.Thread(target=show, name="progress", daemon=True)
    if stream.isatty():
        thread.start()
    try:
        yield
    finally:
        done.set()
        if thread.ident is not None:
            thread.join()


def say(text: str) -> None:
    """Tell on stderr what is being done; stdout belongs to results."""
    print(text, file=sys.stderr, flush=True)
