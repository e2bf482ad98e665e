"""Label names: which of our labels does somebody else's name mean?

Data sets and exports name the same three things in many ways; what is not obvious is left to the person.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge_agent.domain import LABELS

if TYPE_CHECKING:
    from edge_agent.domain import Label

_SPELLINGS: dict[Label, tuple[str, ...]] = {
    "with_mask": (
        "withmask",
        "withfacemask",
        "mask",
        "masked",
        "maskon",
        "hasmask",
        "yesmask",
        "wearingmask",
        "wearingamask",
        "facemask",
        "correctmask",
        "maskcorrect",
        "maskworncorrectly",
        "maskweared",
    ),
    "without_mask": (
        "withoutmask",
        "withoutfacemask",
        "nomask",
        "facenomask",
        "unmasked",
        "maskoff",
        "maskless",
        "barefaced",
        "notwearingmask",
        "notwearingamask",
        "nofacemask",
        "notmask",
        "notmasked",
    ),
    "mask_worn_incorrectly": (
        "maskwornincorrectly",
        "maskwornincorrect",
        "incorrect",
        "incorrectly",
        "incorrectmaskwearing",
        "incorrectlyworn",
        "maskwearedincorrect",
        "incorrectmask",
        "incorrectlymasked",
        "maskincorrect",
        "wrongmask",
        "maskwrong",
        "partialmask",
        "maskunderface",
        "chinmask",
        "improper",
        "impropermask",
    ),
}
"""Lower case, letters only."""

_NO_LABELS = (
    "background",
    "backgroundnoise",
    "ignore",
    "noface",
    "nobody",
    "noperson",
    "none",
    "nothing",
    "notsure",
    "other",
    "uncertain",
    "unclear",
    "unknown",
    "unsure",
)
"""Outputs that say nothing of a mask."""


def label_of(name: str) -> Label | None:
    """Our label for a folder `WithMask` or a line `0 mask`; None where it is not obvious."""
    letters = re.sub(r"[^a-z]", "", name.lower())
    return next((label for label in LABELS if letters in _SPELLINGS[label]), None)


def is_no_label(name: str) -> bool:
    """Whether a name is a usual one for what says nothing of a mask, as "background" or "uncertain"."""
    return re.sub(r"[^a-z]", "", name.lower()) in _NO_LABELS
