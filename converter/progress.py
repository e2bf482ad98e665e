"""Progress: how far is a piece of work of more than two seconds?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable

Item = TypeVar("Item")

QUIET_SECONDS = 2.0


def with_progress(items: Iterable[Item], *, total: int, what: str) -> Iterable[Item]:
    """Go through items with a bar on stderr, where that is a terminal and the work is not done in a moment."""
    return tqdm(items, total=total, desc=what, leave=False, delay=QUIET_SECONDS, disable=None)


def say(text: str) -> None:
    """Tell on stderr what is being done; stdout belongs to results."""
    print(text, file=sys.stderr, flush=True)
