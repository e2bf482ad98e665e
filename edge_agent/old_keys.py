"""Old keys: which keys did older versions know, and what came in their place?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OldKey:
    """A key or section that is gone; `becomes` is the key that takes its value, where one means the same."""

    path: tuple[str, ...]
    instead: str
    becomes: tuple[str, ...] = ()


OLD_KEYS = (
    OldKey(
        ("voting",),
        "people are decided by evidence and no longer by votes; 'verdicts' says how sure that has to be, and its "
        "defaults suit (docs/deciding.md)",
    ),
    OldKey(("tracking", "overlap_fraction"), "the tracker measures by itself how people move and needs no number"),
    OldKey(("tracking", "reach_fraction"), "the tracker measures by itself how people move and needs no number"),
    OldKey(("mqtt", "ended"), "it is a rule: rules.tell_when_ended", becomes=("rules", "tell_when_ended")),
)


def old_key(path: tuple[str | int, ...]) -> OldKey | None:
    """The old key at a path of a configuration; None where no version knew one there."""
    return next((key for key in OLD_KEYS if key.path == path), None)
