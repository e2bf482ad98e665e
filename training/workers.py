"""Workers: prepares batches in parallel processes while the network trains.

Processes, one per core, because augmentation holds the GIL for a third of its time. Batches are returned in order, so
that a run gets the same ones for any number of workers.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import cv2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

PREFETCH_PER_WORKER = 3
"""Batches that each worker may be ahead, so that a slow worker does not delay the others."""

Batch = TypeVar("Batch")


class Workers(Generic[Batch]):
    """One process per core that makes batches. Owned by one thread; closed by `with`."""

    def __init__(self, make: Callable[[int, int], Batch], *, count: int | None = None) -> None:
        """Start the processes, which import and receive `make` meanwhile. `count` None: one per core.

        `make` gives the batch of an epoch and a number, always the same; it is sent to the processes (pickle).
        """
        self._count = count or len(os.sched_getaffinity(0))
        # Not forked: threads of a process that has loaded a network would be missing in the copy.
        self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), _init_worker, (make,))

    def __enter__(self) -> Workers[Batch]:
        """Return self; the processes already run."""
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel pending batches and end the processes."""
        self._pool.shutdown(cancel_futures=True)

    def batches(self, *, epoch: int, count: int) -> Iterator[Batch]:
        """The batches of an epoch, in order."""
        pending: deque[Future[Batch]] = deque()
        for number in range(count):
            pending.append(self._pool.submit(_make, epoch, number))
            if len(pending) > PREFETCH_PER_WORKER * self._count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


_make_batch: Callable[[int, int], Any] | None = None
"""What makes the batches of this process; set once, in workers."""


def _init_worker(make: Callable[[int, int], Any]) -> None:
    global _make_batch  # noqa: PLW0603  (what a pool gives its processes has no other place)
    _make_batch = make
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # There already is a process per core.
    cv2.setNumThreads(1)


def _exit_with_parent() -> None:
    """A killed training cannot end its workers, and each holds the other's queue open: they would wait forever."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _make(epoch: int, number: int) -> Any:
    if _make_batch is None:
        raise AssertionError("set when the process starts")
    return _make_batch(epoch, number)
