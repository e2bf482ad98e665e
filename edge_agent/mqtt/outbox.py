"""Outbox: reads and removes the next messages without blocking the publisher on a disk that hangs."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.host.disk import DiskThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_agent.alerts.store import AlertStore, Row
    from edge_agent.messages.message import Kind

TELEMETRY_EXPIRY_SECONDS = 300
"""Telemetry this old is not worth the broker's memory; the next message is on its way."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Selection:
    """A query of the outbox: at most this many rows, without these keys, with or without crops.

    Each source is a position and the kinds wanted beyond it; sources are in order of priority.
    """

    limit: int
    sources: tuple[tuple[int, tuple[Kind, ...]], ...]
    passed_over: frozenset[str]
    with_crops: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """A message as stored, and the content of its crop file if that is to be sent."""

    row: Row
    crop: bytes | None


@dataclass(frozen=True, slots=True)
class Selected:
    """The next messages, and the keys of expired ones."""

    ready: tuple[Ready, ...] = ()
    expired: tuple[str, ...] = ()


class Outbox:
    """The pending messages of the alert store. Owned by the publisher's thread."""

    def __init__(self, store: AlertStore, *, wake: Callable[[], None]) -> None:
        """`wake` is called by another thread when a slow disk has responded."""
        self._store = store
        self._reading: DiskThread[Selected] = DiskThread(done_late=wake)
        self._removing: DiskThread[tuple[str, ...]] = DiskThread(done_late=wake)

    @property
    def is_busy(self) -> bool:
        """Whether a disk operation is pending."""
        return self._reading.is_busy or self._removing.is_busy

    def select(self, selection: Selection) -> Selected:
        """Return the next messages; nothing while the disk is busy.

        A late result belongs to an earlier selection: messages sent since then are removed from it.
        """
        return self._reading.ask(lambda: _select(self._store, selection)) or Selected()

    def remove(self, keys: set[str]) -> tuple[str, ...]:
        """Remove acknowledged messages and return the keys of those removed; none while the disk hangs.

        Raises:
            UnavailableError: the disk is full or read-only.
        """
        wanted = tuple(keys)
        return self._removing.ask(lambda: _removed(self._store, wanted)) or ()


def _removed(store: AlertStore, keys: tuple[str, ...]) -> tuple[str, ...]:
    store.remove(*keys)
    return keys


def _select(store: AlertStore, selection: Selection) -> Selected:
    ready: list[Ready] = []
    expired: list[str] = []
    for row in _rows(store, selection):
        if _has_expired(row):
            # Counts as delivered: no broker would forward it.
            expired.append(row.key)
            continue
        ready.append(_as_it_is_now(row, with_crop=selection.with_crops))
        if len(ready) >= selection.limit:
            break
    return Selected(tuple(ready), tuple(expired))


def _rows(store: AlertStore, selection: Selection) -> Iterator[Row]:
    passed_over = set(selection.passed_over)
    # Rows to skip are the oldest: enough must remain after them.
    enough = selection.limit + len(passed_over)
    for after, kinds in selection.sources:
        for row in store.waiting(enough, after=after, kinds=kinds):
            if row.key not in passed_over:
                passed_over.add(row.key)
                yield row


def _has_expired(row: Row) -> bool:
    """Whether telemetry is too old to send; `None`: from before the machine was started."""
    is_old = row.waited_seconds is None or row.waited_seconds > TELEMETRY_EXPIRY_SECONDS
    return row.kind == "telemetry" and is_old


def _as_it_is_now(row: Row, *, with_crop: bool) -> Ready:
    """Mark an alert whose crop is gone, so that subscribers do not look for a missing file."""
    crop = row.message.get("crop")
    if not crop:
        return Ready(row, None)
    file = Path(crop["file"])
    if not file.exists():
        if with_crop:
            log.warning("%s: alert published without its crop: the file is gone", file)
        crop_error = f"{file.name}: the picture is gone from the disk"
        return Ready(replace(row, message={**row.message, "crop": None, "crop_error": crop_error}), None)
    try:
        return Ready(row, file.read_bytes() if with_crop else None)
    except OSError as error:
        log.warning("%s: alert published without its crop: %s", file, error.strerror)
        return Ready(row, None)
