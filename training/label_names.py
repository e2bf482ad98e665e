"""Label names: maps label names of data sets and exports to the project's labels.

Data sets and exports spell the same three labels in many ways; ambiguous names are left to the user.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge_agent.domain import LABELS, NO_FACE

if TYPE_CHECKING:
    from edge_agent.domain import Class, Label

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

_NEGATIONS = frozenset(
    {"no", "not", "non", "não", "nao", "sin", "sem", "sans", "senza", "ohne", "kein", "keine", "zonder", "geen"}
    | {"utan", "uden", "uten", "ilman", "bez", "без", "нет", "tanpa", "fără", "fara", "yok", "không", "بدون"}
)
_NEGATIONS_INSIDE = ("未", "没", "沒", "無", "无", "不", "なし", "미착용", "ไม่")
"""In scripts without spaces between words."""

_NO_FACES = ("background", "backgroundnoise", "noface", "nobody", "noperson", "nothing")
"""Names of outputs that mean no face."""

_NO_LABELS = (
    "ignore",
    "notsure",
    "uncertain",
    "unclear",
    "unknown",
    "unsure",
)
"""Names of outputs without a reading."""


def label_of(name: str) -> Label | None:
    """The project's label for a folder `WithMask` or a line `0 mask`; None if unknown."""
    letters = _letters(name)
    return next((label for label in LABELS if letters in _SPELLINGS[label]), None)


def is_negated(name: str) -> bool:
    """Whether a name seems to mean "without" in one of the more common languages: enough to suggest a label."""
    words = re.findall(r"[^\W\d_]+", name.casefold())
    return any(word in _NEGATIONS for word in words) or any(part in name for part in _NEGATIONS_INSIDE)


def is_no_label(name: str) -> bool:
    """Whether a name commonly means no reading, such as "uncertain"."""
    return _letters(name) in _NO_LABELS


def class_of(name: str) -> Class | None:
    """The project's label, or `no_face` for a name that commonly means pictures without one, such as "background"."""
    return NO_FACE if _letters(name) in _NO_FACES else label_of(name)


def _letters(name: str) -> str:
    """The letters of any alphabet, so that a name with unknown letters is not mistaken for another."""
    return re.sub(r"[\W\d_]", "", name.casefold())
