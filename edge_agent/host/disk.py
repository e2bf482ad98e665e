"""Disk: access to a disk that may hang, from threads that must not block."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from edge_agent.errors import UnavailableError
from edge_agent.host.atomic_files import is_there, make_folder, sync_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

TIMEOUT_SECONDS = 0.2
"""A healthy disk responds within milliseconds; a slower one hangs or is very busy."""
WRITE_SECONDS = 2.0
"""Time for a write, even to a slow card; each outage is waited for once."""

log = logging.getLogger(__name__)


def reach(folder: Path) -> bool:
    """Access the disk of a folder, which need not exist yet; returns True once the disk has responded at all."""
    with suppress(OSError):
        sync_folder(existing(folder))
    return True


def existing(folder: Path) -> Path:
    """The folder, or its nearest existing parent."""
    return next((path for path in (folder, *folder.parents) if is_there(path)), folder)


def in_disk_thread(work: Callable[[], T]) -> Future[T]:
    """Run `work` in a thread of its own."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        # Raised again by the future.
        except BaseException as error:  # noqa: BLE001
            future.set_exception(error)

    # A daemon: a hanging disk must not keep the process alive.
    threading.Thread(target=run, name="disk", daemon=True).start()
    return future


class DiskThread(Generic[T]):
    """Runs one function at a time in a thread of its own. Owned by one thread, which never waits for long."""

    def __init__(self, *, timeout_seconds: float | None = None, done_late: Callable[[], None] = lambda: None) -> None:
        """Wait at most `timeout_seconds`, or TIMEOUT_SECONDS.

        `done_late` is called in the disk's thread when slower work is done.
        """
        self._timeout_seconds = TIMEOUT_SECONDS if timeout_seconds is None else timeout_seconds
        self._done_late = done_late
        self._future: Future[T] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether work is running, or its result was not taken yet."""
        return self._future is not None

    def ask(self, work: Callable[[], T]) -> T | None:
        """Run `work` and return its result; None while it is not done, to be asked for again.

        While earlier work is running, or its result was not taken, this concerns the earlier work instead.

        Raises:
            Exception: what the work raised.
        """
        future = self._future or self._begin(work)
        if not future.done():
            return None
        self._future = None
        return future.result()

    def do(self, work: Callable[[], T]) -> T:
        """Run `work` and return its result.

        Raises:
            UnavailableError: the disk does not respond; work that was started is completed once it does.
            Exception: what the work raised.
        """
        if self._future is None or self._future.done():
            future = self._begin(work)
            if future.done():
                self._future = None
                return future.result()
        raise UnavailableError("the disk is not responding")

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        self._future = future = in_disk_thread(work)
        wait([future], self._timeout_seconds)
        if not future.done():
            future.add_done_callback(lambda _: self._done_late())
        return future


class NewestWriter:
    """Rewrites a small file, which only this user may read, at each change. Owned by one thread.

    While the disk hangs, the newest content waits. A file that cannot be written is logged once.
    """

    def __init__(self, file: Path, *, if_unwritable: str, write: Callable[[Path, bytes], None] | None = None) -> None:
        """`if_unwritable` is what follows then. `write` runs in another thread, one call at a time, and may hang."""
        self._file, self._if_unwritable, self._write = file, if_unwritable, write or _write
        self._newest, self._is_unwritable = b"", False
        self._lock = threading.Lock()
        self._is_writing = False
        """Changed under the lock together with `_newest`: the thread ends only if it has written the newest content."""

    def put(self, content: bytes) -> None:
        """Write this content; waits for at most WRITE_SECONDS, and not at all while an earlier write hangs."""
        with self._lock:
            self._newest, was_writing = content, self._is_writing
            self._is_writing = True
        if not was_writing:
            done = threading.Event()
            # A daemon: a hanging disk must not keep the process alive.
            threading.Thread(target=self._save, args=(done,), name="disk", daemon=True).start()
            done.wait(WRITE_SECONDS)

    def _save(self, done: threading.Event) -> None:
        while self._is_writing:
            content = self._newest
            try:
                self._write(self._file, content)
                self._is_unwritable = False
            except OSError as error:
                if not self._is_unwritable:
                    log.warning("%s: %s: %s", self._file, self._if_unwritable, error.strerror)
                self._is_unwritable = True
            with self._lock:
                self._is_writing = content is not self._newest
        done.set()


def _write(file: Path, content: bytes) -> None:
    make_folder(file.parent)
    write_whole(file, content, mode=0o600)


class LastKnown(Generic[T]):
    """The result of a disk query; while the disk hangs, the last known result. Owned by one thread."""

    def __init__(self, query: Callable[[], T], *, before: T) -> None:
        """`query` runs in another thread and may hang; the result is `before` until the first query has ended."""
        self._query, self._known = query, before
        self._disk: DiskThread[tuple[T]] = DiskThread()

    def get(self) -> T:
        """Query again; waits for at most TIMEOUT_SECONDS."""
        answer = self._disk.ask(lambda: (self._query(),))
        if answer is not None:
            (self._known,) = answer
        return self._known
