"""Nearest: selects the person closest to the camera and the sign to show them.

In: the tracks and verdicts of one frame. Out: the nearest person, for a screen or a lamp at the door. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.decision.rules import is_watched
from edge_agent.domain import Nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from edge_agent.config.model import RulesConfig
    from edge_agent.domain import Sign, Track, TrackedFrame, Verdict

CLOSER_RATIO = 1.3
"""Ratio of face areas from which another person counts as nearer: boxes of two people side by side vary by some per
cent from frame to frame, and a sign that jumps between them helps neither."""

SHOWN_LLR = 3.0
"""A violation is shown from this evidence (odds of 20 to 1) on, before it is decided: a sign that is briefly wrong
costs less than a false alert, and the person in front of it is waiting."""


class NearestPerson:
    """Tracks the nearest person of one camera. Owned by one thread.

    As in the rules of the camera, faces that are too small, in an exclusion zone, or static do not count.
    """

    def __init__(self, config: RulesConfig) -> None:
        """Start without people in view."""
        self._config = config
        self._signs: dict[int, tuple[Sign, bool]] = {}
        """The sign of each track, and whether it is decided."""
        self._nearest: Track | None = None

    def update(self, frame: TrackedFrame) -> Nearest | None:
        """Return the nearest person in view, or None."""
        self._signs = {number: sign for number, sign in self._signs.items() if number in frame.following}
        for verdict in frame.verdicts:
            # An undecided verdict does not replace a sign, which would flicker otherwise.
            if (sign := _sign_of(verdict)) != "undecided":
                self._signs[verdict.track.id] = sign, verdict.decision != "undecided"
        ignored = frame.static if self._config.ignore_static_faces else frozenset()
        people = [
            track
            for track in frame.tracks
            if track.id not in ignored and is_watched(track.face.box, frame.size, self._config)
        ]
        self._nearest = self._choose(people, frame.following - ignored, seen={track.id for track in frame.tracks})
        if self._nearest is None:
            return None
        number = self._nearest.id
        sign, is_decided = self._signs.get(number, ("undecided", False))
        return Nearest(number, sign, is_sure=is_decided and number not in frame.still)

    def _choose(self, people: Sequence[Track], there: AbstractSet[int], *, seen: AbstractSet[int]) -> Track | None:
        nearest = max(people, key=_area, default=None)
        before = self._nearest
        if before is None or before.id not in there:
            return nearest
        now = next((track for track in people if track.id == before.id), None)
        if now is None:
            # Hidden for a moment, unless detected where they do not count, or another person is in front.
            return before if nearest is None and before.id not in seen else nearest
        return nearest if nearest is not None and _area(nearest) > CLOSER_RATIO * _area(now) else now


def _sign_of(verdict: Verdict) -> Sign:
    """The sign for a verdict; the label if it is a violation."""
    match verdict.decision:
        case "violation":
            return verdict.label
        case "compliant":
            return "compliant"
        case "undecided":
            return verdict.label if verdict.llr >= SHOWN_LLR else "undecided"


def _area(track: Track) -> float:
    return track.face.box.area_px
