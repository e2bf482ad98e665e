"""Progress: reports the current step after two seconds without output."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

from edge_agent.foreign_text import safe, safe_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")

QUIET_SECONDS = 1.5
"""Two would be late on a busy machine."""


@dataclass(slots=True)
class _Step:
    """What is done, since when, and how much of how many; `has_bar`: a terminal shows a bar for it."""

    what: str
    total: int = 0
    done: int = 0
    has_bar: bool = False
    began: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        if self.total:
            return f"{safe(self.what)}: {self.done} of {self.total}"
        return f"{safe(self.what)} ... {time.monotonic() - self.began:.0f} s"


@dataclass(slots=True)
class _Stderr:
    """The steps of the command that runs, the innermost last, and when a line was last written.

    There is one, as there is one stderr. The command's thread enters and leaves steps and prints messages, the thread
    of `shown` reads them and prints steps; `lock` keeps what either prints together.
    """

    steps: list[_Step] = field(default_factory=list)
    written_at: float = 0.0
    has_rewritten_line: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def print(self, text: str) -> None:
        """A line of its own, in the place of one that is rewritten on a terminal."""
        with self.lock:
            self._write(f"{self._cleared()}{safe_lines(text)}\n")

    def show_step(self) -> None:
        """Print the innermost step; on a terminal, always in the same line."""
        step = self.steps[-1]
        with self.lock:
            if step.has_bar:
                self.written_at = time.monotonic()
            elif sys.stderr.isatty():
                self._write(f"{self._cleared()}{step}")
                self.has_rewritten_line = True
            else:
                self._write(f"{step}\n")

    def clear(self) -> None:
        """Take away the line that is rewritten."""
        with self.lock:
            self._write(self._cleared())

    def _cleared(self) -> str:
        before = "\r\033[K" if self.has_rewritten_line else ""
        self.has_rewritten_line = False
        return before

    def _write(self, text: str) -> None:
        # Looked up each time: `quiet_tensorflow` puts another stream there and closes it when it is done.
        with contextlib.suppress(ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
            self.written_at = time.monotonic()


_stderr = _Stderr()


@contextlib.contextmanager
def shown(command: str) -> Iterator[None]:
    """Print what is done whenever nothing has been printed for two seconds, for as long as a command runs."""
    over = threading.Event()
    _stderr.written_at = time.monotonic()

    def show() -> None:
        while not over.wait(max(0.0, _stderr.written_at + QUIET_SECONDS - time.monotonic())):
            if time.monotonic() - _stderr.written_at >= QUIET_SECONDS:
                _stderr.show_step()

    thread = threading.Thread(target=show, name="progress", daemon=True)
    with working(command):
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            _stderr.clear()


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Name a step without parts of its own; steps may lie in one another."""
    step = _Step(what)
    _stderr.steps.append(step)
    try:
        yield
    finally:
        _stderr.steps.remove(step)


def with_progress(items: Iterable[Item], *, total: int, what: str) -> Iterable[Item]:
    """Iterate as a step with parts: with a bar where stderr is a terminal, counted in lines where it is none."""
    on_terminal = sys.stderr.isatty()
    step = _Step(what, total, has_bar=on_terminal)
    _stderr.steps.append(step)
    try:
        for item in tqdm(
            items, total=total, desc=safe(what), leave=False, delay=QUIET_SECONDS, disable=not on_terminal
        ):
            yield item
            step.done += 1
    finally:
        _stderr.steps.remove(step)


def say(text: str) -> None:
    """Print a message on stderr; stdout is for results."""
    _stderr.print(text)
