"""Bands: groups faces by size, pose and other attributes for per-group metrics."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")

SIZE_LIMITS_PX = (16, 24, 32, 48, 100)
"""Shorter side, lower bounds: from the smallest face that a device may be set to classify, to a face at a door."""
SIZE_BANDS = tuple(
    f"{low}-{high}" if high else f"{low}+" for low, high in zip((0, *SIZE_LIMITS_PX), (*SIZE_LIMITS_PX, 0), strict=True)
)


def size_band(side_px: float) -> str:
    """The band of a face by its shorter side, as "16-24" or "100+"."""
    return SIZE_BANDS[bisect.bisect_right(SIZE_LIMITS_PX, side_px)]


def grouped(items: Iterable[T], name_of: Callable[[T], str | None], *, order: Sequence[str] = ()) -> dict[str, list[T]]:
    """Group items by name, in the given or alphabetical order; items without a name are omitted."""
    groups: dict[str, list[T]] = {}
    for item in items:
        name = name_of(item)
        if name is not None:
            groups.setdefault(name, []).append(item)
    return {name: groups[name] for name in (order or sorted(groups)) if name in groups}
