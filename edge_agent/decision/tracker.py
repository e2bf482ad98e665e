"""Tracker: matches the faces of a frame to the people seen before.

In: the faces of one frame. Out: a track for each. Pure: time comes in with the frame.

A Kalman filter predicts each person's position: the longer a person has been out of view, and the less is known of
their speed, the further away a face may be and still match. So the same parameters, in face widths and seconds, work at
1 and at 30 frames a second. They describe how people walk and were not tuned individually; this tracker, its matching
and its predecessor were compared in simulated walks, crossings, queues and crowds.
tests/decision/test_tracking_of_walkers.py limits the identity switches and lost tracks there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_agent.domain import Face, Track

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from edge_agent.config.model import TrackingConfig

POSITION_WIDTHS = 0.12
"""Standard deviation of a detector's box from the face."""
SPEED_WIDTHS_PER_SECOND = 2.5
"""Standard deviation of the speed of people seen only once: a walker passes at 1 to 6 widths a second."""
CHANGE_WIDTHS = 2.0
"""Standard deviation of the change of people's speed within a second."""
GUESS_SECONDS = 1.0
"""Longest extrapolation of a lost face's motion; people turn and stop."""
CUT_PX = 1.5
"""A box this close to the border is cut off by it."""
SIZE_RATIO = 2.0
"""A face does not double or halve its width between two frames, even at one frame a second."""
SIZE_SPREAD = 0.25
"""Standard deviation of the logarithm of the width between two frames."""
SIZE_SHARE = 0.6
"""Weight of the newest box in the smoothed width."""
GATE = 12.0
"""Gate: squared distance in standard deviations beyond which it is another person; rejects 1 in 400 true matches."""
NEWCOMERS = 2.8
"""Cost from which a face is a new person if the tracked one must have left: -2 log of 0.04 new people per square of a
face's width (times 2 pi): one in five seconds, at 2.5 widths a second, in a strip of two widths."""
FASTEST = 6.0
"""Widths a second: a face too far inside for this speed was hidden or not detected before."""
SIGHT_WIDTHS = 0.35
"""Standard deviation of where an entering face is first detected, around being half in view."""


@dataclass(frozen=True, slots=True)
class _Kalman:
    """Kalman state of a face: position and velocity in px, their variances and covariance in widths²."""

    x: float
    y: float
    width_px: float
    speed_x: float = 0.0
    speed_y: float = 0.0
    position_variance: float = POSITION_WIDTHS**2
    covariance: float = 0.0
    speed_variance: float = SPEED_WIDTHS_PER_SECOND**2

    def predicted(self, seconds: float) -> _Kalman:
        """Predict the state after this time without a detection."""
        moving = min(seconds, GUESS_SECONDS)
        drift = CHANGE_WIDTHS**2 * seconds
        return replace(
            self,
            x=self.x + self.speed_x * moving,
            y=self.y + self.speed_y * moving,
            position_variance=self.position_variance
            + 2 * seconds * self.covariance
            + seconds**2 * (self.speed_variance + drift / 3),
            covariance=self.covariance + seconds * (self.speed_variance + drift / 2),
            speed_variance=self.speed_variance + drift,
        )

    def corrected(self, face: Face, frame_size: tuple[int, int] | None) -> _Kalman:
        """Update a predicted state with a detection."""
        face = self._whole(face, frame_size)
        x, y = face.box.centre
        trust = 1 / (self.position_variance + POSITION_WIDTHS**2)
        position_gain, speed_gain = self.position_variance * trust, self.covariance * trust
        return _Kalman(
            self.x + position_gain * (x - self.x),
            self.y + position_gain * (y - self.y),
            self.width_px * (_width_px(face) / self.width_px) ** SIZE_SHARE,
            self.speed_x + speed_gain * (x - self.x),
            self.speed_y + speed_gain * (y - self.y),
            (1 - position_gain) * self.position_variance,
            (1 - position_gain) * self.covariance,
            self.speed_variance - speed_gain * self.covariance,
        )

    def scaled(self, ratio_x: float, ratio_y: float) -> _Kalman:
        """The same state in pixels of another frame size."""
        return replace(
            self,
            x=self.x * ratio_x,
            y=self.y * ratio_y,
            width_px=self.width_px * ratio_x,
            speed_x=self.speed_x * ratio_x,
            speed_y=self.speed_y * ratio_y,
        )

    def leaves(self, seconds: float, frame_size: tuple[int, int]) -> bool:
        """Whether the whole face is out of the picture by then; `frame_size` is width and height in pixels."""
        # The speed of a face seen only once is a guess.
        if self.speed_variance >= SPEED_WIDTHS_PER_SECOND**2:
            return False
        width_px, height_px = frame_size
        margin = self.width_px / 2
        x, y = self.x + self.speed_x * seconds, self.y + self.speed_y * seconds
        return not (-margin <= x <= width_px + margin and -margin <= y <= height_px + margin)

    def _whole(self, face: Face, frame_size: tuple[int, int] | None) -> Face:
        """The face with its former width if the border of the picture cuts it off."""
        box = face.box
        if not _is_cut_off(face, frame_size) or box.width_px >= self.width_px:
            return face
        if box.x1 <= CUT_PX:
            return replace(face, box=replace(box, x1=box.x2 - self.width_px))
        return replace(face, box=replace(box, x2=box.x1 + self.width_px))

    def cost(self, face: Face, frame_size: tuple[int, int] | None) -> float | None:
        """Cost of matching a face to this state (-2 log likelihood, lower is better); None if impossible."""
        face = self._whole(face, frame_size)
        growth = math.log(_width_px(face) / self.width_px)
        x, y = face.box.centre
        variance = self.position_variance + 2 * POSITION_WIDTHS**2
        distance_widths = math.hypot(x - self.x, y - self.y) * 2 / (_width_px(face) + self.width_px)
        if abs(growth) > math.log(SIZE_RATIO) or distance_widths**2 > GATE * variance:
            return None
        return distance_widths**2 / variance + 2 * math.log(variance) + (growth / SIZE_SPREAD) ** 2


@dataclass(frozen=True, slots=True)
class _Followed:
    track: Track
    seen_at: float
    state: _Kalman


class Tracker:
    """Follows the faces of one camera. Owned by one thread."""

    def __init__(self, config: TrackingConfig, *, camera: str) -> None:
        """Start without tracks."""
        self._config = config
        self._camera = camera
        self._followed: list[_Followed] = []
        self._last_id = 0
        self._detected_at = -math.inf
        self._frame_size: tuple[int, int] | None = None
        """That of the last detection, in whose pixels the states are."""

    @property
    def following(self) -> frozenset[int]:
        """The ids of all tracks seen within `lost_timeout_seconds` of the last update, also if out of view now."""
        return frozenset(followed.track.id for followed in self._followed)

    def reset(self) -> None:
        """Drop all tracks: the next faces start new ones."""
        self._followed = []

    def update(
        self, faces: Sequence[Face], *, at: float, when: datetime, frame_size: tuple[int, int] | None
    ) -> list[Track]:
        """Return an existing or new track for each face, in the order of `faces`.

        `frame_size` is width and height in pixels, or None if detection did not run. A person who is not detected and
        must have walked out of the picture has left: the next to come in is another person.
        """
        self._followed = [
            followed for followed in self._followed if at - followed.seen_at <= self._config.lost_timeout_seconds
        ]
        if frame_size is not None:
            self._rescale(frame_size)
        unseen_seconds = [max(at - followed.seen_at, 0.0) for followed in self._followed]
        expected = [
            followed.state.predicted(seconds) for followed, seconds in zip(self._followed, unseen_seconds, strict=True)
        ]
        exited = {
            number
            for number, followed in enumerate(self._followed)
            if frame_size is not None and followed.state.leaves(unseen_seconds[number], frame_size)
        }
        matches = _matched(faces, expected, exited, frame_size)
        seen = []
        for index, face in enumerate(faces):
            number = matches.get(index)
            if number is None:
                self._last_id += 1
                track = Track(self._last_id, self._camera, face, at, when)
                seen.append(_Followed(track, at, self._initial(face, at, frame_size)))
            else:
                track = replace(self._followed[number].track, face=face)
                seen.append(_Followed(track, at, expected[number].corrected(face, frame_size)))
        missed = set(range(len(expected))) - set(matches.values()) - exited
        self._followed = [self._followed[number] for number in sorted(missed)] + seen
        if frame_size is not None:
            self._detected_at = at
        return [followed.track for followed in seen]

    def _rescale(self, frame_size: tuple[int, int]) -> None:
        """Convert the states to pixels of this size, if the camera has changed its resolution."""
        before, self._frame_size = self._frame_size or frame_size, frame_size
        if before != frame_size:
            ratios = frame_size[0] / before[0], frame_size[1] / before[1]
            self._followed = [replace(one, state=one.state.scaled(*ratios)) for one in self._followed]

    def _initial(self, face: Face, at: float, frame_size: tuple[int, int] | None) -> _Kalman:
        """Initialise the state of a new face: a person not there a moment ago has entered from the nearer side.

        So they move inwards, at least fast enough to be this far inside: the initial speed is the mean of a normal
        distribution with a soft lower cut-off.
        """
        x, y = face.box.centre
        state = _Kalman(x, y, _width_px(face))
        seconds = at - self._detected_at
        if frame_size is None or not 0 < seconds <= GUESS_SECONDS:
            return state
        inside_widths = min(x, frame_size[0] - x) / state.width_px
        least = inside_widths / seconds
        if least > FASTEST:
            return state
        spread = math.hypot(SPEED_WIDTHS_PER_SECOND, SIGHT_WIDTHS / seconds)
        tail = math.erfc(least / spread / math.sqrt(2)) / 2
        density = math.exp(-((least / spread) ** 2) / 2) / math.sqrt(2 * math.pi)
        speed = SPEED_WIDTHS_PER_SECOND**2 / spread * density / tail * state.width_px
        return replace(state, speed_x=speed if x < frame_size[0] / 2 else -speed)


def _matched(
    faces: Sequence[Face], expected: Sequence[_Kalman], exited: AbstractSet[int], frame_size: tuple[int, int] | None
) -> dict[int, int]:
    """Match faces to predicted states greedily, in order of cost.

    An optimal assignment was no better in the simulated scenes: it sacrifices one match for another.
    """
    pairs = sorted(
        (cost, index, number)
        for index, face in enumerate(faces)
        for number, state in enumerate(expected)
        if (cost := state.cost(face, frame_size)) is not None
        and (number not in exited or cost < NEWCOMERS or _is_cut_off(face, frame_size))
    )
    matches: dict[int, int] = {}
    for _, index, number in pairs:
        if index not in matches and number not in matches.values():
            matches[index] = number
    return matches


def _is_cut_off(face: Face, frame_size: tuple[int, int] | None) -> bool:
    """Whether the left or right border of the picture cuts off a face."""
    return frame_size is not None and (face.box.x1 <= CUT_PX or face.box.x2 >= frame_size[0] - CUT_PX)


def _width_px(face: Face) -> float:
    return max(face.box.width_px, 1.0)
