"""Outbox: reads and removes the next messages without blocking the publisher on a disk that hangs."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.host.disk import DiskThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_agent.alerts.store import AlertStore, Row
    from edge_agent.messages.message import Kind

TELEMETRY_EXPIRY_SECONDS = 300
"""A figure that is minutes old is not worth a broker's memory; the next one is on its way."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted of the outbox: so many rows, whose keys are none of these, with their crops or without.

    Each source is a position and the kinds that are wanted beyond it; the first source goes first.
    """

    limit: int
    sources: tuple[tuple[int, tuple[Kind, ...]], ...]
    passed_over: frozenset[str]
    with_crops: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """A message as it is on the disk now, and the content of its crop's file where that is to go with it."""

    row: Row
    crop: bytes | None


@dataclass(frozen=True, slots=True)
class Selected:
    """What goes next, and the keys of what is not worth sending any more."""

    ready: tuple[Ready, ...] = ()
    expired: tuple[str, ...] = ()


class Outbox:
    """The waiting messages of the alert store. Owned by the publisher's thread."""

    def __init__(self, store: AlertStore, *, wake: Callable[[], None]) -> None:
        """`wake` is called, by another thread, when a disk that was slow has answered."""
        self._store = store
        self._reading: DiskThread[Selected] = DiskThread(done_late=wake)
        self._removing: DiskThread[tuple[str, ...]] = DiskThread(done_late=wake)

    @property
    def is_busy(self) -> bool:
        """Whether the disk has not answered yet."""
        return self._reading.is_busy or self._removing.is_busy

    def select(self, selection: Selection) -> Selected:
        """Give what goes next; nothing while the disk has not answered.

        An answer that is late is to an earlier selection: what was not sent since is in it, and nothing else.
        """
        return self._reading.ask(lambda: _select(self._store, selection)) or Selected()

    def remove(self, keys: set[str]) -> tuple[str, ...]:
        """Remove acknowledged messages and give the keys of those that are gone; none while the disk hangs.

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
            # As good as delivered: no broker would hand it on.
            expired.append(row.key)
            continue
        ready.append(_as_it_is_now(row, with_crop=selection.with_crops))
        if len(ready) >= selection.limit:
            break
    return Selected(tuple(ready), tuple(expired))


def _rows(store: AlertStore, selection: Selection) -> Iterator[Row]:
    passed_over = set(selection.passed_over)
    # What is passed over is the oldest: looking past it must still show enough.
    enough = selection.limit + len(passed_over)
    for after, kinds in selection.sources:
        for row in store.waiting(enough, after=after, kinds=kinds):
            if row.key not in passed_over:
                passed_over.add(row.key)
                yield row


def _has_expired(row: Row) -> bool:
    """Whether a figure is so old that it is not worth sending; `None`: from before the machine was started."""
    is_old = row.waited_seconds is None or row.waited_seconds > TELEMETRY_EXPIRY_SECONDS
    return row.kind == "telemetry" and is_old


def _as_it_is_now(row: Row, *, with_crop: bool) -> Ready:
    """Mark an alert whose crop is gone, so that no subscriber looks for a file that is not there."""
    crop = row.message.get("crop")
    if not crop:
        return Ready(row, None)
    file = Path(crop["file"])
    if not file.exists():
        if with_crop:
            log.warning("%s: alert published without its crop: the file is gone", file)
        return Ready(replace(row, message=_without_crop(row.message, file)), None)
    return Ready(row, _content_of(file) if with_crop else None)


def _content_of(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError as error:
        log.warning("%s: alert published without its crop: %s", file, error.strerror)
        return None


def _without_crop(message: dict[str, Any], file: Path) -> dict[str, Any]:
    return {**message, "crop": None, "crop_error": f"{file.name}: the picture is gone from the disk"}
