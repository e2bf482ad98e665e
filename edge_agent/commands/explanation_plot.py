"""Explanation plot: evidence over time as SVG, one panel per track."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias
from xml.etree.ElementTree import Element, SubElement, tostring

import cv2

from edge_agent.console.charts import round_values
from edge_agent.foreign_text import safe
from edge_agent.vision.annotation import COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.domain import Image, Reading, Verdict

Point: TypeAlias = tuple[float, float]
Colour: TypeAlias = tuple[int, int, int]

WIDTH_PX, HEAD_PX, PANEL_PX, FOOT_PX = 1280, 56, 196, 40
LEFT_PX, RIGHT_PX = 70, 1130
"""Ends of the time axis."""
TITLE_PX, CURVE_PX, STRIP_PX, CUTOUT_PX, EVENT_PX = 38, 110, 26, 120, 140
MAX_TICKS = 10
MAX_PANELS = 60
"""A taller picture would be useless; the JSON file has every track."""
HEADROOM_LLR = 2.6
"""Margin of the vertical axis above the violation threshold; below the compliant threshold it is half as much."""
SUBTITLE = "log-likelihood ratio, up: no mask or worn incorrectly, down: mask; bars: readings, height: face quality"
STYLE = """
svg { background: #fff } text { font: 13px sans-serif; fill: #282828 } line { stroke: #e4e4e4 }
.title { font-size: 18px; font-weight: bold } .track { font-weight: bold } .faint { fill: #969696; stroke: none }
.end { text-anchor: end } .middle { text-anchor: middle } .axis { stroke: #282828 }
.threshold { stroke: #969696; stroke-dasharray: 4 } .event { stroke: #969696; stroke-width: 1.5 }
.alert { stroke: #d21e28; stroke-width: 1.5 } text.alert { fill: #d21e28; stroke: none }
rect.violation { fill: #ffead6 } rect.compliant { fill: #def1fd } rect.undecided { fill: #f7f7f7 }
line.violation, circle.violation { stroke: #d75a00; fill: #d75a00; stroke-width: 2 }
line.compliant, circle.compliant { stroke: #1478b9; fill: #1478b9; stroke-width: 2 }
line.undecided, circle.undecided { stroke: #787878; fill: #787878; stroke-width: 2 }
"""


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


@dataclass(frozen=True, slots=True)
class _Axes:
    begin: float
    end: float
    compliant_llr: float
    violation_llr: float

    def x(self, at: float) -> float:
        return LEFT_PX + (at - self.begin) / (self.end - self.begin) * (RIGHT_PX - LEFT_PX)

    def y(self, llr: float) -> float:
        low, high = self.compliant_llr - HEADROOM_LLR / 2, self.violation_llr + HEADROOM_LLR
        return (high - min(max(llr, low), high)) / (high - low) * CURVE_PX


def plot(histories: Sequence[TrackHistory], *, title: str, violation_llr: float, compliant_llr: float) -> bytes:
    """Draw all panels above a common time axis."""
    drawn = histories[:MAX_PANELS]
    axes = _Axes(*_span(drawn), compliant_llr=compliant_llr, violation_llr=violation_llr)
    bottom = HEAD_PX + PANEL_PX * max(len(drawn), 1)
    svg = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH_PX} {bottom + FOOT_PX}")
    SubElement(svg, "style").text = STYLE
    rest = f", the first {MAX_PANELS} of {len(histories)} tracks" if len(histories) > MAX_PANELS else ""
    _write(svg, f"{safe(title)}{rest}", LEFT_PX, 22, "title")
    _write(svg, SUBTITLE, LEFT_PX, 42, "faint")
    for number, (label, colour) in enumerate(COLOURS.items()):
        _bar(svg, (LEFT_PX + 600 + 170 * number, 12), (10, 10), colour)
        _write(svg, label, LEFT_PX + 616 + 170 * number, 22)
    if not drawn:
        _write(svg, "no faces detected", LEFT_PX, HEAD_PX + 40, "faint")
    for number, history in enumerate(drawn):
        _draw_panel(_group(svg, HEAD_PX + number * PANEL_PX), history, axes)
    _line(svg, (LEFT_PX, bottom), (RIGHT_PX, bottom), "axis")
    for value in round_values(axes.begin, axes.end, count=MAX_TICKS):
        _line(svg, (axes.x(value), bottom), (axes.x(value), bottom + 5), "axis")
        _write(svg, f"{value:g} s", axes.x(value), bottom + 20, "middle")
    return tostring(svg)


def _span(histories: Sequence[TrackHistory]) -> tuple[float, float]:
    """The first and last time to draw, at min_step a second apart."""
    times = [0.0, 1.0]
    for history in histories:
        times += [history.first_seen_seconds, history.last_seen_seconds, *(event.at for event in history.events)]
    return min(times), max(times)


def _draw_panel(panel: Element, history: TrackHistory, axes: _Axes) -> None:
    last = history.readings[-1][1] if history.readings else None
    verdict = f"{last.decision}, {last.label}" if last else "never classified"
    _write(panel, f"track {history.track}", LEFT_PX, 16, "track")
    counts = f"detected in {history.seen} frames, classified in {len(history.readings)}"
    _write(panel, f"{verdict}; {counts}", LEFT_PX + 90, 16, "faint")
    curve = _group(panel, TITLE_PX)
    _draw_curve(curve, history, axes)
    strip = CURVE_PX + 6 + STRIP_PX
    for reading, _, _ in history.readings:
        height = max(2.0, reading.quality * STRIP_PX)
        _bar(curve, (axes.x(reading.taken_at) - 1, strip - height), (2, height), COLOURS[reading.label])
    _line(curve, (LEFT_PX, strip), (RIGHT_PX, strip))
    for event in history.events:
        x, is_alert = axes.x(event.at), event.text.startswith("alert")
        _line(curve, (x, -12), (x, strip), "alert" if is_alert else "event")
        has_room = x < RIGHT_PX - EVENT_PX
        kind = f"{'alert' if is_alert else 'faint'} {'' if has_room else 'end'}"
        _write(curve, event.text, x + 4 if has_room else x - 4, -3 if is_alert else CURVE_PX - 4, kind)
    if last is not None:
        _picture(curve, last.best.cutout, RIGHT_PX + 16)


def _draw_curve(curve: Element, history: TrackHistory, axes: _Axes) -> None:
    """Draw the evidence on a background coloured by the decision at each time, and the thresholds."""
    points = [(axes.x(reading.taken_at), axes.y(verdict.llr)) for reading, verdict, _ in history.readings]
    decisions = [verdict.decision for _, verdict, _ in history.readings]
    ends = [x for x, _ in points[1:]] + [axes.x(history.last_seen_seconds)]
    for (x, _), end, decision in zip(points, ends, decisions, strict=False):
        _add(curve, "rect", decision, x=x, y=0, width=max(0.0, end - x) + 1, height=CURVE_PX)
    for llr, word, below in ((axes.violation_llr, "violation", -4), (axes.compliant_llr, "compliant", 12)):
        _line(curve, (LEFT_PX, axes.y(llr)), (RIGHT_PX, axes.y(llr)), "threshold")
        _write(curve, f"{llr:+.1f}", LEFT_PX - 6, axes.y(llr) + 4, "end")
        _write(curve, word, LEFT_PX + 4, axes.y(llr) + below, "faint")
    _line(curve, (LEFT_PX, axes.y(0.0)), (RIGHT_PX, axes.y(0.0)))
    for (start, stop), decision in zip(pairwise(points), decisions[1:], strict=False):
        _line(curve, start, stop, decision)
    for (x, y), decision in zip(points, decisions, strict=True):
        _add(curve, "circle", decision, cx=x, cy=y, r=2)


def _group(parent: Element, top: int) -> Element:
    return SubElement(parent, "g", transform=f"translate(0 {top})")


def _write(parent: Element, text: str, x: float, y: float, kind: str = "") -> None:
    _add(parent, "text", kind, x=x, y=y).text = text


def _line(parent: Element, start: Point, end: Point, kind: str = "") -> None:
    _add(parent, "line", kind, x1=start[0], y1=start[1], x2=end[0], y2=end[1])


def _bar(parent: Element, corner: Point, size: Point, bgr: Colour) -> None:
    bar = _add(parent, "rect", "", x=corner[0], y=corner[1], width=size[0], height=size[1])
    bar.set("fill", f"#{bgr[2]:02x}{bgr[1]:02x}{bgr[0]:02x}")


def _picture(parent: Element, image: Image, x: float) -> None:
    """Embed a picture, scaled to fit a square of CUTOUT_PX."""
    _, content = cv2.imencode(".jpg", image)
    data = base64.b64encode(content.tobytes()).decode()
    embedded = _add(parent, "image", "", x=x, y=0, width=CUTOUT_PX, height=CUTOUT_PX)
    embedded.set("href", f"data:image/jpeg;base64,{data}")


def _add(parent: Element, tag: str, kind: str, **places_px: float) -> Element:
    return SubElement(parent, tag, {"class": kind} | {name: f"{place:.1f}" for name, place in places_px.items()})
