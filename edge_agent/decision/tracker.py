"""The tracker: is this the person of the frame before?

In: the faces of one frame. Out: a track for each. Pure: time comes in with the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_agent.domain import Box, Face, Track

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from edge_agent.config import TrackingConfig

SIZE_RATIO = 2.0
"""A face does not double or halve its width between two frames, even at one frame a second."""
SPEED_SHARE = 0.5
"""Share of the newest step in the learnt speed; the rest is what was known before."""
GUESS_SECONDS = 1.0
"""For so long a lost face is expected to go on as it went; people turn and stop."""


@dataclass(frozen=True, slots=True)
class _Followed:
    track: Track
    seen_at: float
    speed_x: float = 0.0  # px per second
    speed_y: float = 0.0

    def expected(self, at: float) -> Box:
        """Where the face should be by now, had it gone on as it went."""
        seconds = min(at - self.seen_at, GUESS_SECONDS)
        dx, dy = self.speed_x * seconds, self.speed_y * seconds
        box = self.track.face.box
        return Box(box.x1 + dx, box.y1 + dy, box.x2 + dx, box.y2 + dy)


class Tracker:
    """Follows the faces of one camera. Owned by one thread."""

    def __init__(self, config: TrackingConfig, *, camera: str) -> None:
        """Start with nobody in sight."""
        self._config = config
        self._camera = camera
        self._followed: list[_Followed] = []
        self._last_id = 0

    @property
    def is_following(self) -> bool:
        """Whether anybody has been seen within `forget_seconds` of the last update."""
        return bool(self._followed)

    @property
    def following(self) -> frozenset[int]:
        """The ids of all who are followed, also of those out of sight for a moment."""
        return frozenset(followed.track.id for followed in self._followed)

    def update(self, faces: Sequence[Face], *, at: float, when: datetime) -> list[Track]:
        """Give each face its track, the old one or a new one, in the order of `faces`."""
        self._followed = [one for one in self._followed if at - one.seen_at <= self._config.forget_seconds]
        partners = self._partners(faces, at)
        tracks = []
        for index, face in enumerate(faces):
            before = partners.get(index)
            if before is None:
                self._last_id += 1
                after = _Followed(Track(self._last_id, self._camera, face, at, when), at)
            else:
                after = _moved(before, face, at)
                self._followed.remove(before)
            self._followed.append(after)
            tracks.append(after.track)
        return tracks

    def _partners(self, faces: Sequence[Face], at: float) -> dict[int, _Followed]:
        """Pair faces with followed people, the closest pair first, each once."""
        pairs = sorted(
            (
                (closeness, index, number)
                for index, face in enumerate(faces)
                for number, followed in enumerate(self._followed)
                if (closeness := self._closeness(followed, face.box, at)) is not None
            ),
            reverse=True,
        )
        partners: dict[int, _Followed] = {}
        taken: set[int] = set()
        for _, index, number in pairs:
            if index not in partners and number not in taken:
                partners[index] = self._followed[number]
                taken.add(number)
        return partners

    def _closeness(self, followed: _Followed, box: Box, at: float) -> float | None:
        """How well a face continues a track, higher is better; None where it cannot be the same person."""
        expected = followed.expected(at)
        width, other = max(expected.width_px, 1.0), max(box.width_px, 1.0)
        if not 1 / SIZE_RATIO <= width / other <= SIZE_RATIO:
            return None
        overlap = expected.overlap(box)
        (x, y), (x_now, y_now) = expected.centre, box.centre
        distance_widths = math.hypot(x - x_now, y - y_now) / ((width + other) / 2)
        if overlap < self._config.overlap_fraction and distance_widths > self._config.reach_fraction:
            return None
        return overlap - distance_widths


def _moved(before: _Followed, face: Face, at: float) -> _Followed:
    """The same person, seen again."""
    seconds = at - before.seen_at
    if seconds <= 0:
        return replace(before, track=replace(before.track, face=face))
    (x, y), (x_now, y_now) = before.track.face.box.centre, face.box.centre
    return _Followed(
        replace(before.track, face=face),
        at,
        before.speed_x + SPEED_SHARE * ((x_now - x) / seconds - before.speed_x),
        before.speed_y + SPEED_SHARE * ((y_now - y) / seconds - before.speed_y),
    )
