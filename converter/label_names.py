"""Label names: which of our labels does somebody else's name mean?

Data sets and exports name the same three things in many ways; what is not obvious is left to the person.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge_agent.domain import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.domain import Label

_SPELLINGS: dict[Label, tuple[str, ...]] = {
    "with_mask": ("withmask", "mask", "masked", "maskon", "wearingmask", "wearingamask", "facemask"),
    "without_mask": ("withoutmask", "nomask", "unmasked", "maskoff", "notwearingmask", "nofacemask", "notmask"),
    "mask_worn_incorrectly": (
        "maskwornincorrectly",
        "maskwearedincorrect",
        "incorrectmask",
        "incorrectlymasked",
        "maskincorrect",
        "wrongmask",
        "improper",
        "impropermask",
    ),
}
"""Lower case, letters only."""


def label_of(name: str) -> Label | None:
    """Our label for a folder `WithMask` or a line `0 mask`; None where it is not obvious."""
    letters = re.sub(r"[^a-z]", "", name.lower())
    return next((label for label in LABELS if letters in _SPELLINGS[label]), None)


def labels_of(names: Iterable[str]) -> tuple[Label, ...]:
    """Our labels for several names; empty where one is not obvious or two mean the same."""
    labels = [label_of(name) for name in names]
    known = tuple(label for label in labels if label is not None)
    return known if len(set(known)) == len(labels) else ()
