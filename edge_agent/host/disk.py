"""Disk: access to a disk that may hang, from threads that must not block."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from edge_agent.errors import UnavailableError
from edge_agent.host.atomic_files import is_there, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

PATIENCE_SECONDS = 0.2
"""A disk that is well answers within milliseconds; one that does not hangs, or is very busy."""
WRITE_SECONDS = 2.0
"""And a slow card takes what is written within so long; each outage is waited for once."""


def reach(folder: Path) -> bool:
    """Have the disk that a folder is on, or will be on, say anything; True once it has."""
    with suppress(OSError):
        sync_folder(existing(folder))
    return True


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next((one for one in (folder, *folder.parents) if is_there(one)), folder)


class DiskThread(Generic[T]):
    """Has one thing after the other done on a thread of its own. Owned by one thread, which never waits for long."""

    def __init__(
        self, *, patience_seconds: float = PATIENCE_SECONDS, done_late: Callable[[], None] = lambda: None
    ) -> None:
        """Wait so long for something; `done_late` is called, by its thread, once what took longer is done."""
        self._patience_seconds, self._done_late = patience_seconds, done_late
        self._future: Future[T] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something was begun whose result was not taken yet."""
        return self._future is not None

    def ask(self, work: Callable[[], T]) -> T | None:
        """Do `work` and give its result; None while it is not done: ask again.

        While earlier work is not done, or its result not taken, that is what the answer is about.

        Raises:
            Exception: what the work has raised.
        """
        future = self._future or self._begin(work)
        if not future.done():
            return None
        self._future = None
        return future.result()

    def do(self, work: Callable[[], T]) -> T:
        """Do `work` and give its result.

        Raises:
            UnavailableError: the disk does not respond; what was begun is done all the same once it does.
            Exception: what the work has raised.
        """
        if self._future is None or self._future.done():
            future = self._begin(work)
            if future.done():
                self._future = None
                return future.result()
        raise UnavailableError("the disk is not responding")

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        self._future = future = Future[T]()
        # A daemon: one that hangs must not keep the process alive.
        threading.Thread(target=_do, args=(work, future), name="disk", daemon=True).start()
        wait([future], self._patience_seconds)
        if not future.done():
            future.add_done_callback(lambda _: self._done_late())
        return future


def _do(work: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(work())
    # For the owner to raise.
    except BaseException as error:  # noqa: BLE001
        future.set_exception(error)


class NewestWriter:
    """Writes a small file anew with each change; while its disk hangs, the newest waits. Owned by one thread."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """`write` runs on a thread of its own, one at a time, and may hang."""
        self._write, self._newest = write, b""
        self._disk: DiskThread[None] = DiskThread(patience_seconds=WRITE_SECONDS)

    def put(self, content: bytes) -> None:
        """Write this, and wait for that no longer than a disk needs that is well."""
        self._newest = content
        # Where it waits, the thread that hangs finds it.
        with suppress(UnavailableError):
            self._disk.do(self._save)

    def _save(self) -> None:
        written = None
        while written is not self._newest:
            written = self._newest
            self._write(written)


class LastKnown(Generic[T]):
    """What a look at a disk gives; while that hangs, what the last one gave. Owned by one thread."""

    def __init__(self, look: Callable[[], T], *, before: T) -> None:
        """`look` runs on a thread of its own and may hang; the answer is `before` until the first look has ended."""
        self._look, self._known = look, before
        self._disk: DiskThread[tuple[T]] = DiskThread()

    def get(self) -> T:
        """Look again, and wait for that no longer than a disk needs that is well."""
        answer = self._disk.ask(lambda: (self._look(),))
        if answer is not None:
            (self._known,) = answer
        return self._known
