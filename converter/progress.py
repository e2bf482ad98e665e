"""Progress: prints the current step after two seconds without output."""

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
"""Less than two, to allow for a busy machine."""


@dataclass(slots=True)
class _Step:
    """Description, progress and start of a step; `has_bar`: shown as a bar on a terminal."""

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
    """The steps of the running command, innermost last, and when a line was last written.

    A singleton, as there is one stderr. The command's thread enters and leaves steps and prints messages; the thread of
    `show_progress` reads and prints steps. `lock` serialises the output of both.
    """

    steps: list[_Step] = field(default_factory=list)
    written_at: float = 0.0
    has_rewritten_line: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def print(self, text: str) -> None:
        """Print a line, replacing the current step on a terminal."""
        with self.lock:
            self._write(f"{self._cleared()}{safe_lines(text)}\n")

    def show_step(self) -> None:
        """Print the innermost step; on a terminal, always on the same line."""
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
        """Remove the line of the current step."""
        with self.lock:
            self._write(self._cleared())

    def _cleared(self) -> str:
        before = "\r\033[K" if self.has_rewritten_line else ""
        self.has_rewritten_line = False
        return before

    def _write(self, text: str) -> None:
        # Looked up each time, as `quiet_tensorflow` replaces the stream and closes its replacement.
        with contextlib.suppress(ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
            self.written_at = time.monotonic()


_stderr = _Stderr()


@contextlib.contextmanager
def show_progress(command: str) -> Iterator[None]:
    """Print the current step whenever nothing was printed for two seconds, while a command runs."""
    over = threading.Event()
    _stderr.written_at = time.monotonic()

    def show() -> None:
        while not over.wait(max(0.0, _stderr.written_at + QUIET_SECONDS - time.monotonic())):
            if time.monotonic() - _stderr.written_at >= QUIET_SECONDS:
                _stderr.show_step()

    thread = threading.Thread(target=show, name="progress", daemon=True)
    with progress_step(command):
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            _stderr.clear()


@contextlib.contextmanager
def progress_step(what: str) -> Iterator[None]:
    """Run a step without countable parts; steps may be nested."""
    step = _Step(what)
    _stderr.steps.append(step)
    try:
        yield
    finally:
        _stderr.steps.remove(step)


def with_progress(items: Iterable[Item], *, total: int, what: str) -> Iterable[Item]:
    """Iterate as a step with parts: shown as a bar on a terminal, otherwise as lines with the count."""
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


def print_message(text: str) -> None:
    """Print a message on stderr; stdout is for results."""
    _stderr.print(text)
