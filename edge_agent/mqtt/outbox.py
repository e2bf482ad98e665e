"""Outbox: reads and removes the next messages without blocking the publisher on a disk that hangs."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import UnavailableError
from edge_agent.host.atomic_files import is_there
from edge_agent.host.disk import DiskThread
from edge_agent.messages.message import ALERTS_AND_RESOLVED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from edge_agent.alerts.store import AlertStore, Row
    from edge_agent.messages.message import Kind

TELEMETRY_EXPIRY_SECONDS = 300
"""Telemetry this old is not worth the broker's memory; the next message is on its way."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """A message as stored, and the content of its crop file if that is to be sent."""

    row: Row
    crop: bytes | None


class Outbox:
    """The pending messages of the alert store. Owned by the publisher's thread."""

    def __init__(self, store: AlertStore, *, wake: Callable[[], None]) -> None:
        """`wake` is called by another thread when a slow disk has responded."""
        self._store = store
        self._reading: DiskThread[tuple[list[Ready], list[str]]] = DiskThread(done_late=wake)
        self._removing: DiskThread[tuple[str, ...]] = DiskThread(done_late=wake)
        self._acknowledged: set[str] = set()
        """Keys of messages that are not removed yet."""

    @property
    def is_busy(self) -> bool:
        """Whether a disk operation is pending."""
        return self._reading.is_busy or self._removing.is_busy

    def select(
        self, limit: int, *, after: int, kinds: Sequence[Kind], passed_over: Set[str], with_crops: bool
    ) -> list[Ready]:
        """Return at most `limit` messages of these kinds, without the keys `passed_over`; none while the disk is busy.

        First those beyond the position `after`, then alerts and resolutions, then the rest. A late result is that of an
        earlier call.
        """
        passed_over = {*passed_over, *self._acknowledged}
        select = partial(_select, self._store, limit, after, kinds, passed_over, with_crops=with_crops)
        ready, expired = self._reading.ask(select) or ([], [])
        # Counts as delivered: no broker would forward it.
        self._acknowledged.update(expired)
        return ready

    def remove(self, *keys: str) -> None:
        """Remove acknowledged messages, and those for which the disk was full, read-only or busy before.

        Until then they are just not returned again; the store reports its disk itself.
        """
        self._acknowledged.update(keys)
        if self._acknowledged:
            wanted = tuple(self._acknowledged)
            with suppress(UnavailableError):
                self._acknowledged.difference_update(self._removing.ask(lambda: _removed(self._store, wanted)) or ())


def _removed(store: AlertStore, keys: tuple[str, ...]) -> tuple[str, ...]:
    store.remove(*keys)
    return keys


def _select(
    store: AlertStore, limit: int, after: int, kinds: Sequence[Kind], passed_over: set[str], *, with_crops: bool
) -> tuple[list[Ready], list[str]]:
    """The messages, and the keys of expired ones before them."""
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
            expired.append(row.key)
        else:
            ready.append(_as_it_is_now(row, with_crop=with_crops))
        if len(ready) >= limit:
            break
    return ready, expired


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
