"""Liveness filter: finds tracks that may be a picture or mannequin instead of a live person.

In: the readings of one frame. Out: the tracks that may be a picture. Pure: pixels come in with the readings.

A fixed camera sees the same pixels of a poster for as long as it hangs there, apart from noise, light and people
passing in front. A live head is never at rest: within a second it moves by some hundredths of its width. So each
reading is compared with one up to a second older: the shift between the two is fitted, with brightness, contrast and a
linear light gradient across the face as free parameters.

Only faces that were measured to be still are held back. If a hand, a mask being taken off or a low frame rate makes
every comparison a change that no shift explains, there is no sign of life, but no static picture either: a person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_agent.domain import Box

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from edge_agent.domain import Reading, Track

Grid: TypeAlias = NDArray[np.float64]
"""Brightness, 0..255, of the cells of a box, shape (CELLS, CELLS)."""

CELLS = 24
"""Cells along each side of a grid: coarse enough that pixel noise averages out in a cell."""
CELL_SAMPLES = 4
"""Large faces are subsampled to this many pixels along each side of a cell: saves 10 ms for a face of 300 px."""
COMPARED_SECONDS = 1.0
"""Longest interval over which readings are compared."""
MOVED_FRACTION = 0.006
"""Of the face's width. Over one second, 99 % of pairs of readings of the people in the three reference recordings were
further apart, at native size and at 30 px; of one of their frames repeated at 30 px with noise of 8 grey levels,
flicker of 15 % and JPEG at quality 60, 99 % were less than 0.0045 apart."""
SURE_ERRORS = 4.0
"""A shift counts from this multiple of its standard error; noise alone reaches it once in 10,000 readings."""
MIN_EXPLAINED = 0.8
"""Explained variance of a grid by the older one, shifted, if both show the same unobstructed face: at least 0.93 for
95 % of the pairs half a second apart, but 0.5 and less while a hand or a passer-by covers it."""
WALKED_FRACTION = 0.25
"""Of the face's width: detectors' boxes jitter by 0.02 to 0.05 on a static object."""
GROWN_RATIO = 1.2
"""Boxes of a static object do not grow or shrink by this ratio either."""
MOVES_OF_LIFE = 2
"""A knock against the camera, or a lamp that is switched on, is one move. A head keeps moving: the people in the
recordings took a median of 0.3 s for two moves at 10 frames a second (1.1 s for the one with a hand before her face),
and 1.0 s at 2, from any starting point in the recording, with YuNet's boxes."""
MOVES_SECONDS = 3.0
"""Moves further apart than this, with rest in between, are unrelated."""
RESTED_SECONDS = 0.3
"""A face clearly without a move for this long was still; people sometimes are from one frame to the next."""
CHANGED_LEVELS = 10.0
"""Grey levels (root mean square) that neither shift nor light explains: 20 to 43 in the recording with a hand before
the face, while noise of 12 levels leaves less than 3 at 58 px."""
RESTLESS_CHANGES = 3
"""A face that was never still and changed this often is not a picture, which would be visible between the people
passing in front. One change is a lamp or a passer-by, two are a person who comes and goes."""
RESTLESS_SECONDS = 1.5
"""Least time of these changes since the first sighting: a passer-by covers half of a picture for 0.5 s."""
PLACE_SECONDS = 5.0
"""A face still for this long is a static object. No person in the recordings was still for more than a second."""
PLACE_READINGS = 5
"""Least readings in that time: decided tracks are read only now and then."""
PLACE_OVERLAP = 0.5
"""A face with a smaller overlap (IoU) is at another place."""
REFRESH_SECONDS = 60.0
"""Interval at which the view of a place is refreshed, to follow daylight."""
MAX_PLACES = 64
"""Of 5 kB each; beyond that the least recently seen is dropped."""


@dataclass(frozen=True, slots=True)
class _View:
    """The content of a box."""

    at: float
    box: Box
    grid: Grid


@dataclass(frozen=True, slots=True)
class _Shift:
    """The fitted shift between two grids: fraction of the box's width, its standard error, and quality of the fit."""

    fraction: float
    error: float
    explained: float
    rest_levels: float

    @property
    def is_clear(self) -> bool:
        return self.explained >= MIN_EXPLAINED

    @property
    def is_move(self) -> bool:
        return self.is_clear and self.fraction > max(MOVED_FRACTION, SURE_ERRORS * self.error)

    @property
    def is_rest(self) -> bool:
        return self.is_clear and self.fraction + self.error <= MOVED_FRACTION

    @property
    def is_change(self) -> bool:
        """Neither a move nor rest, and not because of low contrast."""
        return not self.is_clear and self.rest_levels > CHANGED_LEVELS


@dataclass(slots=True)
class _TrackState:
    """State of a track."""

    view: _View
    still_since: float
    first_seen_at: float
    still_readings: int = 0
    moves: int = 0
    moved_at: float = 0.0
    changes: int = 0
    changed_at: float = 0.0
    has_rested: bool = False
    is_static: bool = False

    @property
    def is_live(self) -> bool:
        return self.moves >= MOVES_OF_LIFE or self._is_restless

    @property
    def _is_restless(self) -> bool:
        lasted_seconds = self.changed_at - self.first_seen_at
        return not self.has_rested and self.changes >= RESTLESS_CHANGES and lasted_seconds >= RESTLESS_SECONDS

    def note_move(self, at: float) -> None:
        # At one frame every few seconds, moves are far apart without any still reading in between.
        goes_on = at - self.moved_at <= MOVES_SECONDS or not self.still_readings
        self.moves = self.moves + 1 if goes_on else 1
        self.moved_at = self.still_since = at
        self.still_readings = 0


@dataclass(slots=True)
class _Place:
    """The place of a static object."""

    view: _View
    seen_at: float


class LivenessFilter:
    """Stores a view of each track, and the places of static objects. One per camera, owned by one thread."""

    def __init__(self) -> None:
        self._states: dict[int, _TrackState] = {}
        self._places: list[_Place] = []

    def is_unsure_of(self, track: Track) -> bool:
        """Whether it is still unknown if a track is live or a static object."""
        state = self._states.get(track.id)
        return state is None or not (state.is_live or state.is_static)

    @property
    def static(self) -> frozenset[int]:
        """The tracks at the place of a known static object: certainly pictures."""
        return frozenset(number for number, state in self._states.items() if state.is_static)

    def update(self, readings: Sequence[Reading], *, following: AbstractSet[int]) -> frozenset[int]:
        """Process the readings of a frame and return the tracks without a sign of life, or at the place of an object.

        `following` are the tracks not yet lost; all others are dropped, but the places of static objects are kept.
        """
        for gone in self._states.keys() - following:
            del self._states[gone]
        for reading in readings:
            self._observe(reading)
        return frozenset(number for number, state in self._states.items() if not state.is_live)

    def _observe(self, reading: Reading) -> None:
        number, at, box = reading.track.id, reading.taken_at, reading.track.face.box
        place = self._place_of(reading)
        state = self._states.get(number)
        if place is not None:
            place.seen_at = at
            self._states[number] = _TrackState(self._view(reading, box), at, at, has_rested=True, is_static=True)
        elif state is None:
            self._states[number] = _TrackState(self._view(reading, box), at, at)
        elif not state.is_live:
            state.is_static = False
            self._compare(state, reading)

    def _place_of(self, reading: Reading) -> _Place | None:
        """The static object that a reading shows, if any."""
        for place in self._places:
            if place.view.box.overlap(reading.track.face.box) < PLACE_OVERLAP:
                continue
            now = self._view(reading, place.view.box)
            shift = _shift(place.view.grid, now.grid)
            if shift.is_clear and not shift.is_move:
                if now.at - place.view.at >= REFRESH_SECONDS:
                    place.view = now
                return place
        return None

    def _compare(self, state: _TrackState, reading: Reading) -> None:
        """Compare a reading with an older one of the same track."""
        then, at, box = state.view, reading.taken_at, reading.track.face.box
        (x, y), (x_now, y_now) = then.box.centre, box.centre
        dx, dy, width_px = x_now - x, y_now - y, max(then.box.width_px, 1.0)
        shift = _shift(then.grid, self._view(reading, then.box).grid)
        if not shift.is_clear:
            # A move of more than a cell or two: start from the position of the detected box.
            followed = Box(then.box.x1 + dx, then.box.y1 + dy, then.box.x2 + dx, then.box.y2 + dy)
            shift = _shift(then.grid, self._view(reading, followed).grid, begin=(dx / width_px, dy / width_px))
        grown = max(box.width_px, 1.0) / width_px
        has_walked = math.hypot(dx, dy) > WALKED_FRACTION * width_px or not 1 / GROWN_RATIO < grown < GROWN_RATIO
        if has_walked or shift.is_move or shift.is_change:
            state.changes += 1
            state.changed_at = at
        if shift.is_rest and at - then.at >= RESTED_SECONDS:
            state.has_rested = True
        if has_walked or shift.is_move:
            state.note_move(at)
        elif shift.is_clear:
            state.still_readings += 1
            if at - state.still_since >= PLACE_SECONDS and state.still_readings >= PLACE_READINGS:
                self._add_place(self._view(reading, box))
        else:
            state.still_since, state.still_readings = at, 0
        if has_walked or shift.is_move or not shift.is_clear or at - then.at >= COMPARED_SECONDS:
            state.view = self._view(reading, box)

    def _add_place(self, view: _View) -> None:
        self._places.append(_Place(view, view.at))
        if len(self._places) > MAX_PLACES:
            self._places.remove(min(self._places, key=lambda place: place.seen_at))

    def _view(self, reading: Reading, box: Box) -> _View:
        """The content of a box, most of which must be inside the cutout of the reading."""
        left, top = reading.cutout_place
        # Sample the same pixels of the frame in every view: otherwise static objects would seem to move.
        step = max(1, int(box.shorter_side_px / CELLS / CELL_SAMPLES))
        first_row, first_column = -top % step, -left % step
        # Green carries most of the luminance, and selecting it costs nothing.
        green = reading.cutout[first_row::step, first_column::step, 1].astype(np.float64)
        top, left = top + first_row, left + first_column
        rows = _weights((box.y1 - top) / step, (box.y2 - top) / step, green.shape[0])
        columns = _weights((box.x1 - left) / step, (box.x2 - left) / step, green.shape[1])
        return _View(reading.taken_at, box, _smoothed(rows @ green @ columns.T))


def _weights(begin: float, end: float, pixels: int) -> Grid:
    """Weights of the pixels of a line in the mean of each cell from `begin` to `end`, shape (CELLS, pixels)."""
    edges = np.linspace(begin, end, CELLS + 1)[:, np.newaxis]
    # Cells outside the line use its last pixel.
    low = np.clip(edges[:-1], 0, pixels - 1)
    high = np.clip(edges[1:], low + 1e-3, pixels)
    pixel = np.arange(pixels)
    overlap = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return np.asarray(overlap / overlap.sum(axis=1, keepdims=True))


def _smoothed(grid: Grid) -> Grid:
    """Blur with a 1-2-1 kernel in both directions: gradients between cells are more accurate in a smooth image."""
    grid = np.pad(grid, 1, mode="edge")
    grid = (grid[:-2] + 2 * grid[1:-1] + grid[2:]) / 4
    return np.asarray((grid[:, :-2] + 2 * grid[:, 1:-1] + grid[:, 2:]) / 4)


BLURRED_CELLS = 4
"""Cells with shared noise after the blur: only a quarter of the cells counts as independent."""
DOWN, RIGHT = np.mgrid[-1 : 1 : CELLS * 1j, -1 : 1 : CELLS * 1j]
"""Linear light gradients across the face."""


def _shift(then: Grid, now: Grid, *, begin: tuple[float, float] = (0.0, 0.0)) -> _Shift:
    """Fit `now = gain * then + offset + slopes + shift * gradient` by least squares (Lucas and Kanade, 1981).

    `begin` is the offset of the grid `now` from `then`, right and down, in widths of the box.
    """
    mean = (then + now) / 2
    down, right = np.gradient(mean, axis=0), np.gradient(mean, axis=1)
    terms = np.stack(
        [part[1:-1, 1:-1].ravel() for part in (right, down, then, np.ones_like(then), RIGHT, DOWN)], axis=1
    )
    seen = now[1:-1, 1:-1].ravel()
    squares = terms.T @ terms
    # A face without contrast, such as a black cutout, has no gradients to fit.
    squares[np.diag_indices_from(squares)] += 1e-6 * np.trace(squares) + 1e-9
    inverse = np.linalg.inv(squares)
    answer = inverse @ terms.T @ seen
    rest = seen - terms @ answer
    variance = float(rest @ rest) / (seen.size / BLURRED_CELLS - len(answer))
    error_cells = math.sqrt(max(0.0, variance * float(inverse[0, 0] + inverse[1, 1])))
    spread = float(np.square(seen - seen.mean()).sum())
    return _Shift(
        math.hypot(begin[0] - answer[0] / CELLS, begin[1] - answer[1] / CELLS),
        error_cells / CELLS,
        1.0 - float(rest @ rest) / spread if spread > 0 else 0.0,
        math.sqrt(float(rest @ rest) / seen.size),
    )
