"""Ledger: verifies that every acknowledged alert was stored exactly once, and that sequences have no gaps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import TextIO

    from psycopg import Connection

COMPARED_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Balance:
    """Acknowledged compared with stored; seconds are measured from the device's alert to the database row."""

    acknowledged: int
    missing: int
    twice: int
    gaps: int
    p50_seconds: float
    p99_seconds: float

    @property
    def is_even(self) -> bool:
        """Whether nothing is missing, duplicated or out of sequence."""
        return not (self.missing or self.twice or self.gaps)


@dataclass(slots=True)
class Ledger:
    """Acknowledged alerts, in memory and, as they arrive, in a file with one id per line. Owned by one thread."""

    file: Path | None = None
    ids: list[str] = field(default_factory=list)
    devices: set[str] = field(default_factory=set)
    _opened: TextIO | None = None

    def note(self, alert_id: str, device: str) -> None:
        """Record an acknowledged alert."""
        self.ids.append(alert_id)
        self.devices.add(device)
        if self.file is not None:
            if self._opened is None:
                self._opened = self.file.open("a", encoding="ascii")
            self._opened.write(f"{alert_id} {device}\n")

    def close(self) -> None:
        """Flush and close the file."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def balance(connection: Connection, ids: Sequence[str], devices: Iterable[str]) -> Balance:
    """Compare with the database.

    Raises:
        psycopg.Error: the database is unavailable.
    """
    distinct = sorted(set(ids))
    stored, rows = 0, 0
    waits: list[float] = []
    for begin in range(0, len(distinct), COMPARED_AT_ONCE):
        found = connection.execute(
            "select count(distinct id), count(*), array_agg(extract(epoch from received - happened)::float8) "
            "from alerts where id = any(%s::uuid[])",
            [distinct[begin : begin + COMPARED_AT_ONCE]],
        ).fetchone()
        if found is not None:
            stored, rows, waits = stored + found[0], rows + found[1], waits + (found[2] or [])
    gaps = connection.execute(
        "select coalesce(sum(missing), 0)::bigint from gaps where device = any(%s)", [sorted(devices)]
    ).fetchone()
    waits.sort()
    return Balance(
        acknowledged=len(distinct),
        missing=len(distinct) - stored,
        twice=rows - stored,
        gaps=int(gaps[0]) if gaps else 0,
        p50_seconds=_quantile(waits, 0.5),
        p99_seconds=_quantile(waits, 0.99),
    )


def _quantile(ordered: Sequence[float], fraction: float) -> float:
    return round(ordered[int(fraction * (len(ordered) - 1))], 4) if ordered else 0.0
