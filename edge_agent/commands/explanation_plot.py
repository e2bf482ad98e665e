"""Explanation plot: evidence over time, one panel per track.

Drawn with OpenCV, whose fonts need no files: at twice the size, then scaled down for smooth lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.console.charts import round_values
from edge_agent.vision.annotation import COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.domain import Decision, Image, Reading, Verdict

Colour = tuple[int, int, int]
Point = tuple[float, float]

# Pixels of the finished picture.
WIDTH_PX = 1280
HEAD_PX = 56
PANEL_PX = 196
FOOT_PX = 40
LEFT_PX, RIGHT_PX = 70, 150
TITLE_PX = 38
CURVE_PX = 110
STRIP_PX = 26
SHOWN_PX = 120
SCALE = 2
MAX_TICKS = 10
MAX_PANELS = 60
"""A taller picture would be useless; the JSON file has every track."""

INK: Colour = (40, 40, 40)
FAINT: Colour = (150, 150, 150)
GRID: Colour = (228, 228, 228)
PAPER: Colour = (255, 255, 255)
ALERT: Colour = (40, 30, 210)
# BGR colours of the curve, and of the background.
LINES: dict[Decision, Colour] = {"violation": (0, 90, 215), "compliant": (185, 120, 20), "undecided": (120, 120, 120)}
GROUNDS: dict[Decision, Colour] = {
    "violation": (214, 234, 255),
    "compliant": (253, 241, 222),
    "undecided": (247, 247, 247),
}
HEADROOM_LLR = 2.6
"""Margin of the vertical axis above the violation threshold; below the compliant threshold it is half as much."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event, at a time in seconds of the recording."""

    at: float
    text: str


@dataclass(slots=True)
class TrackHistory:
    """Readings and events of one track."""

    track: int
    first_seen_seconds: float
    last_seen_seconds: float
    seen: int = 0
    readings: list[tuple[Reading, Verdict, float]] = field(default_factory=list)
    """Each reading, the verdict after it, and the log-likelihood ratio of the reading alone."""
    events: list[Event] = field(default_factory=list)


def plot(histories: Sequence[TrackHistory], *, title: str, violation_llr: float, compliant_llr: float) -> Image:
    """Draw all panels above a common time axis; returns (height, 1280, 3), uint8, BGR."""
    drawn = list(histories[:MAX_PANELS])
    sheet = _Sheet(
        height_px=HEAD_PX + PANEL_PX * max(len(drawn), 1) + FOOT_PX,
        seconds=_span(drawn),
        llr=(compliant_llr - HEADROOM_LLR / 2, violation_llr + HEADROOM_LLR),
    )
    rest = f", the first {MAX_PANELS} of {len(histories)} tracks" if len(histories) > MAX_PANELS else ""
    sheet.write(f"{title}{rest}", (LEFT_PX, 22), size=0.6, colour=INK, weight=2)
    sheet.write(
        "log-likelihood ratio, up: no mask or worn incorrectly, down: mask; bars: readings, height: face quality",
        (LEFT_PX, 42),
        size=0.42,
        colour=FAINT,
    )
    if not drawn:
        sheet.write("no faces detected", (LEFT_PX, HEAD_PX + 40), size=0.5, colour=FAINT)
    for number, history in enumerate(drawn):
        _draw_panel(sheet, history, top=HEAD_PX + number * PANEL_PX, thresholds=(compliant_llr, violation_llr))
    _draw_times(sheet, HEAD_PX + PANEL_PX * max(len(drawn), 1))
    _draw_legend(sheet)
    return sheet.finished()


def _span(histories: Sequence[TrackHistory]) -> tuple[float, float]:
    """The first and last time to draw, at least a second apart."""
    times = [0.0, 1.0]
    for history in histories:
        times += [history.first_seen_seconds, history.last_seen_seconds, *(event.at for event in history.events)]
    return min(times), max(times)


def _draw_panel(sheet: _Sheet, history: TrackHistory, *, top: int, thresholds: tuple[float, float]) -> None:
    last = history.readings[-1][1] if history.readings else None
    said = f"{last.decision}, {last.label}" if last else "never classified"
    sheet.write(f"track {history.track}", (LEFT_PX, top + 16), size=0.5, colour=INK, weight=2)
    counted = f"{said}; detected in {history.seen} frames, classified in {len(history.readings)}"
    sheet.write(counted, (LEFT_PX + 90, top + 16), size=0.42, colour=FAINT)
    curve = top + TITLE_PX
    strip = curve + CURVE_PX + 6
    _draw_grounds(sheet, history, curve)
    for value, word in zip((thresholds[1], 0.0, thresholds[0]), ("violation", "", "compliant"), strict=True):
        y = sheet.y(value, curve)
        sheet.line((LEFT_PX, y), (WIDTH_PX - RIGHT_PX, y), colour=FAINT if word else GRID, dashed=bool(word))
        sheet.write(f"{value:+.1f}" if word else "0", (LEFT_PX - 6, y + 4), size=0.38, colour=INK, right=True)
        if word:
            # Outside the thresholds, where the curve is rarely.
            sheet.write(word, (LEFT_PX + 4, y - 4 if value > 0 else y + 11), size=0.34, colour=FAINT)
    _draw_curve(sheet, history, curve)
    for reading, _, _ in history.readings:
        x, height_px = sheet.x(reading.taken_at), max(2.0, reading.quality * STRIP_PX)
        sheet.box((x - 1, strip + STRIP_PX - height_px), (x + 1, strip + STRIP_PX), COLOURS[reading.label])
    sheet.line((LEFT_PX, strip + STRIP_PX), (WIDTH_PX - RIGHT_PX, strip + STRIP_PX), colour=GRID)
    for event in history.events:
        _draw_event(sheet, event, curve, strip + STRIP_PX)
    if last is not None:
        sheet.picture(last.best.cutout, (WIDTH_PX - RIGHT_PX + 16, curve), COLOURS[last.label])


def _draw_grounds(sheet: _Sheet, history: TrackHistory, curve: int) -> None:
    """Colour the background by the decision at each time."""
    ends = [reading.taken_at for reading, _, _ in history.readings[1:]] + [history.last_seen_seconds]
    for (reading, verdict, _), end in zip(history.readings, ends, strict=False):
        right = sheet.x(max(reading.taken_at, end)) + 1
        sheet.box((sheet.x(reading.taken_at), curve), (right, curve + CURVE_PX), GROUNDS[verdict.decision])


def _draw_curve(sheet: _Sheet, history: TrackHistory, curve: int) -> None:
    points = [(sheet.x(reading.taken_at), sheet.y(verdict.llr, curve)) for reading, verdict, _ in history.readings]
    for (start, end), (_, verdict, _) in zip(pairwise(points), history.readings[1:], strict=False):
        sheet.line(start, end, colour=LINES[verdict.decision], width=2)
    for point, (_, verdict, _) in zip(points, history.readings, strict=True):
        sheet.dot(point, LINES[verdict.decision])


def _draw_event(sheet: _Sheet, event: Event, top: int, bottom: int) -> None:
    is_alert = event.text.startswith("alert")
    colour = ALERT if is_alert else FAINT
    x = sheet.x(event.at)
    sheet.line((x, top - 12), (x, bottom), colour=colour, width=1.5)
    # Left of the line if there is no room on the right, and never in the row of an alert.
    y = top - 3 if is_alert else bottom - STRIP_PX - 10
    sheet.write(event.text, (x + 4, y), size=0.4, colour=colour, avoid_right=True)


def _draw_times(sheet: _Sheet, top: int) -> None:
    sheet.line((LEFT_PX, top), (WIDTH_PX - RIGHT_PX, top), colour=INK)
    for value in round_values(*sheet.seconds, count=MAX_TICKS):
        sheet.line((sheet.x(value), top), (sheet.x(value), top + 5), colour=INK)
        sheet.write(f"{value:g} s", (sheet.x(value) - 8, top + 20), size=0.4, colour=INK)


def _draw_legend(sheet: _Sheet) -> None:
    x = float(LEFT_PX + 640)
    for label, colour in COLOURS.items():
        sheet.box((x, 12), (x + 10, 22), colour)
        sheet.write(label, (x + 16, 22), size=0.42, colour=INK)
        x += 34 + 8 * len(label)


class _Sheet:
    """The canvas with the scales of time and evidence. Coordinates are in pixels of the finished picture."""

    def __init__(self, *, height_px: int, seconds: tuple[float, float], llr: tuple[float, float]) -> None:
        self._image = np.full((height_px * SCALE, WIDTH_PX * SCALE, 3), PAPER, np.uint8)
        self.seconds, self._llr = seconds, llr

    def x(self, at: float) -> float:
        begin, end = self.seconds
        return LEFT_PX + (at - begin) / (end - begin) * (WIDTH_PX - RIGHT_PX - LEFT_PX)

    def y(self, llr: float, top: int) -> float:
        low, high = self._llr
        return top + (high - min(max(llr, low), high)) / (high - low) * CURVE_PX

    def line(self, start: Point, end: Point, *, colour: Colour, width: float = 1.0, dashed: bool = False) -> None:
        if dashed:
            for x in np.arange(start[0], end[0], 8.0):
                self.line((float(x), start[1]), (min(float(x) + 4, end[0]), end[1]), colour=colour, width=width)
            return
        cv2.line(self._image, _scaled(start), _scaled(end), colour, max(1, round(width * SCALE)), cv2.LINE_AA)

    def box(self, corner: Point, opposite: Point, colour: Colour) -> None:
        cv2.rectangle(self._image, _scaled(corner), _scaled(opposite), colour, cv2.FILLED)

    def dot(self, centre: Point, colour: Colour) -> None:
        cv2.circle(self._image, _scaled(centre), 2 * SCALE, colour, cv2.FILLED, cv2.LINE_AA)

    def write(
        self,
        text: str,
        start: Point,
        *,
        size: float,
        colour: Colour,
        weight: int = 1,
        right: bool = False,
        avoid_right: bool = False,
    ) -> None:
        """Write text whose baseline starts at `start`, or ends there if `right`; OpenCV's fonts are ASCII only."""
        plain = text.encode("ascii", "replace").decode()
        (width, _), _ = cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, size * SCALE, weight * SCALE)
        x, y = start
        if right or (avoid_right and x + width / SCALE > WIDTH_PX - RIGHT_PX):
            x -= width / SCALE + (8 if avoid_right else 0)
        cv2.putText(
            self._image,
            plain,
            _scaled((x, y)),
            cv2.FONT_HERSHEY_SIMPLEX,
            size * SCALE,
            colour,
            max(1, round(weight * SCALE * 0.7)),
            cv2.LINE_AA,
        )

    def picture(self, image: Image, corner: Point, colour: Colour) -> None:
        """Draw a picture scaled to a square of SHOWN_PX, with a border of this colour."""
        height, width = image.shape[:2]
        factor = SHOWN_PX * SCALE / max(height, width)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        x, y = _scaled(corner)
        self._image[y : y + size[1], x : x + size[0]] = small
        cv2.rectangle(self._image, (x, y), (x + size[0], y + size[1]), colour, 2 * SCALE, cv2.LINE_AA)

    def finished(self) -> Image:
        height, width = self._image.shape[:2]
        return np.asarray(
            cv2.resize(self._image, (width // SCALE, height // SCALE), interpolation=cv2.INTER_AREA), np.uint8
        )


def _scaled(point: Point) -> tuple[int, int]:
    return round(point[0] * SCALE), round(point[1] * SCALE)
