"""Outbox: reads and removes the next messages without blocking the publisher on a disk that hangs."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.host.atomic_files import is_there
from edge_agent.host.disk import DiskThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from edge_agent.alerts.store import AlertStore, Row
    from edge_agent.messages.message import Kind

TELEMETRY_EXPIRY_SECONDS = 300
"""Telemetry this old is not worth the broker's memory; the next message is on its way."""

ALERTS_AND_RESOLVED: tuple[Kind, ...] = ("alert", "resolved")

log = logging.getLogger(__name__)


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

    def select(
        self, limit: int, *, after: int, kinds: Sequence[Kind], passed_over: Set[str], with_crops: bool
    ) -> Selected:
        """Return at most `limit` messages of these kinds, without the keys `passed_over`; none while the disk is busy.

        First those beyond the position `after`, then alerts and resolutions, then the rest. A late result is that of an
        earlier call.
        """
        select = partial(_select, self._store, limit, after, kinds, set(passed_over), with_crops=with_crops)
        return self._reading.ask(select) or Selected()

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


def _select(
    store: AlertStore, limit: int, after: int, kinds: Sequence[Kind], passed_over: set[str], *, with_crops: bool
) -> Selected:
    ready: list[Ready] = []
    expired: list[str] = []
    urgent = [kind for kind in ALERTS_AND_RESOLVED if kind in kinds]
    # Rows to skip are the oldest: enough must remain after them.
    enough = limit + len(passed_over)
    sources = ((after, kinds), (0, urgent), (0, kinds))
    for row in chain.from_iterable(store.waiting(enough, after=place, kinds=wanted) for place, wanted in sources):
        if row.key in passed_over:
            continue
        passed_over.add(row.key)
        if _has_expired(row):
            # Counts as delivered: no broker would forward it.
            expired.append(row.key)
        else:
            ready.append(_as_it_is_now(row, with_crop=with_crops))
        if len(ready) >= limit:
            break
    return Selected(tuple(ready), tuple(expired))


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
    try:
        if is_there(file):
            return Ready(row, file.read_bytes() if with_crop else None)
    except OSError as error:
        # It may be there, and readable later.
        if with_crop:
            log.warning("%s: alert published without its crop: %s", file, error.strerror)
        return Ready(row, None)
    if with_crop:
        log.warning("%s: alert published without its crop: the file is gone", file)
    crop_error = f"{file.name}: the picture is gone from the disk"
    return Ready(replace(row, message={**row.message, "crop": None, "crop_error": crop_error}), None)
