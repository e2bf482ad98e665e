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
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import cv2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

PREFETCH_PER_WORKER = 3
"""Batches that each worker may be ahead, so that a slow worker does not delay the others."""

Batch_co = TypeVar("Batch_co", covariant=True)


class BatchSource(Protocol[Batch_co]):
    """Makes the batch of an epoch and a number, deterministically. Sent to other processes (pickle)."""

    def make(self, epoch: int, number: int) -> Batch_co:
        """Make one batch."""
        ...


class Workers(Generic[Batch_co]):
    """One process per core that makes batches of a source. Owned by one thread; closed by `with`."""

    def __init__(self, source: BatchSource[Batch_co], *, count: int | None = None) -> None:
        """Start the processes, which import and receive the source meanwhile. `count` None: one per core."""
        self._count = count or len(os.sched_getaffinity(0))
        # Not forked: threads of a process that has loaded a network would be missing in the copy.
        self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), _init_worker, (source,))

    def __enter__(self) -> Workers[Batch_co]:
        """Return self; the processes already run."""
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel pending batches and end the processes."""
        self._pool.shutdown(cancel_futures=True)

    def batches(self, *, epoch: int, count: int) -> Iterator[Batch_co]:
        """The batches of an epoch, in order."""
        pending: deque[Future[Batch_co]] = deque()
        for number in range(count):
            pending.append(self._pool.submit(_make, epoch, number))
            if len(pending) > PREFETCH_PER_WORKER * self._count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


_source: BatchSource[Any] | None = None
"""The batch source of this process; set once, in workers."""


def _init_worker(source: BatchSource[Any]) -> None:
    global _source  # noqa: PLW0603  (what a pool gives its processes has no other place)
    _source = source
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # There already is a process per core.
    cv2.setNumThreads(1)


def _exit_with_parent() -> None:
    """A killed training cannot end its workers, and each holds the other's queue open: they would wait forever."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _make(epoch: int, number: int) -> Any:
    if _source is None:
        raise AssertionError("a worker begins with its source")
    return _source.make(epoch, number)
