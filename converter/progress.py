"""Progress: how far is a step that takes more than two seconds?"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

from edge_agent.foreign_text import safe, safe_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")

QUIET_SECONDS = 2.0


def with_progress(items: Iterable[Item], *, total: int, what: str) -> Iterable[Item]:
    """Iterate with a bar on stderr, or with a line every two seconds where stderr is not a terminal."""
    if sys.stderr.isatty():
        return tqdm(items, total=total, desc=safe(what), leave=False, delay=QUIET_SECONDS)
    return _in_lines(items, total=total, what=what)


def _in_lines(items: Iterable[Item], *, total: int, what: str) -> Iterator[Item]:
    printed_at = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - printed_at >= QUIET_SECONDS:
            say(f"{what}: {done} of {total}")
            printed_at = time.monotonic()
        yield item


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show on stderr every two seconds how long a step without parts of its own has taken."""
    done = threading.Event()
    on_terminal = sys.stderr.isatty()
    before, after = ("\r", "") if on_terminal else ("", "\n")

    def show() -> None:
        began = time.monotonic()
        while not done.wait(QUIET_SECONDS):
            _write(f"{before}{safe(what)} ... {time.monotonic() - began:.0f} s{after}")
        if on_terminal and time.monotonic() - began > QUIET_SECONDS:
            _write("\r\033[K")

    thread = threading.Thread(target=show, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _write(text: str) -> None:
    # Looked up each time: `quiet_tensorflow` puts another stream there and closes it when it is done.
    with contextlib.suppress(ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def say(text: str) -> None:
    """Print a message on stderr; stdout is for results."""
    print(safe_lines(text), file=sys.stderr, flush=True)
