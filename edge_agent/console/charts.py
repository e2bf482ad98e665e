"""Charts: computes positions of bars, dots and text of charts.

Horizontally in percent of the width, vertically in pixels, so that text keeps its size on a phone. Drawn by
`templates/charts.html`. Pure: no clock, no I/O.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.vision.annotation import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from edge_agent.alerts.timeline import Timeline
    from edge_agent.domain import CountedAs, Label

DAYS_PX = 120
TIMELINE_PX = 220
MAX_GRID_LINES = 4
"""Horizontal grid lines of a chart."""
WORD_EVERY_DAYS = 7
HEADROOM_LLR = 1.0
"""Margin of the vertical axis beyond the evidence and both thresholds."""
DOT_PX, DOT_GROWTH_PX = 4.0, 5.0
"""Size of the dot at quality 0, and its growth up to quality 1."""
MIN_SPAN_SECONDS = 1.0
MIN_STEP = 1e-3
MAX_TICKS = 8
DIGITS = 2

COUNTED_WORDS: Mapping[str, str] = {"undecided": "undecided"} | {str(label): words for label, words in WORDS.items()}


@dataclass(frozen=True, slots=True)
class Mark:
    """A grid line, a label of an axis or an event: its place along that axis, and its text."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """The part of a column for one label."""

    label: CountedAs
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """One day or hour: stacked bars, a summary for screen readers, and the axis label `text`, empty: none."""

    key: str
    counts: Mapping[CountedAs, int]
    total: int
    summary: str
    text: str
    bars: tuple[Bar, ...]
    share_y: float | None
    """Of the line across the columns; None: no point."""


@dataclass(frozen=True, slots=True)
class BarsChart:
    """Counts of days or hours in columns of equal width, stacked by label."""

    title: str
    height_px: int
    lines: tuple[Mark, ...]
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Period:
    """A day or an hour: its key, its name in summaries, and its axis label, empty: none."""

    key: str
    name: str
    text: str


def days_of(days: Sequence[date]) -> list[Period]:
    """Periods of these days; every seventh has an axis label, counted from the newest."""
    last = len(days) - 1
    return [
        Period(day.isoformat(), short_day(day), short_day(day) if (last - number) % WORD_EVERY_DAYS == 0 else "")
        for number, day in enumerate(days)
    ]


def bars_chart(
    periods: Sequence[Period],
    counts: Mapping[tuple[str, str], int],
    *,
    labels: Sequence[CountedAs],
    title: str,
    noun: tuple[str, str],
    shares: Mapping[str, float] | None = None,
) -> BarsChart:
    """Lay out one column per period. `counts` maps (key, label) to a count; missing ones are 0.

    `noun` is the singular and plural of what is counted; `shares` (0..1 by key) are drawn as a line.
    """
    rows = [{label: counts.get((period.key, label), 0) for label in labels} for period in periods]
    highest_count = max((sum(row.values()) for row in rows), default=0)
    step = max(1, round(_round_step(highest_count / MAX_GRID_LINES)))
    highest = step * max(1, math.ceil(highest_count / step))
    return BarsChart(
        title=title,
        height_px=DAYS_PX,
        lines=tuple(
            Mark(_px(DAYS_PX - value * DAYS_PX / highest), str(value)) for value in range(0, highest + 1, step)
        ),
        columns=tuple(
            _column(period, row, unit_px=DAYS_PX / highest, noun=noun, share=(shares or {}).get(period.key))
            for period, row in zip(periods, rows, strict=True)
        ),
    )


def _column(
    period: Period,
    counts: Mapping[CountedAs, int],
    *,
    unit_px: float,
    noun: tuple[str, str],
    share: float | None,
) -> Column:
    bars, y = [], float(DAYS_PX)
    for label, count in counts.items():
        if count:
            y -= count * unit_px
            bars.append(Bar(label, _px(y), _px(count * unit_px)))
    total = sum(counts.values())
    parts = ", ".join(f"{count} {COUNTED_WORDS[label]}" for label, count in counts.items() if count)
    with_share = "" if share is None else f", compliance {share:.0%}"
    return Column(
        key=period.key,
        counts=counts,
        total=total,
        summary=f"{period.name}: {total} {noun[total != 1]}{f' ({parts})' if parts else ''}{with_share}",
        text=period.text,
        bars=tuple(bars),
        share_y=None if share is None else _px(DAYS_PX * (1 - share)),
    )


def short_day(day: date) -> str:
    """A day without its year: 25 Nov."""
    return f"{day.day} {day:%b}"


@dataclass(frozen=True, slots=True)
class Dot:
    """One reading; its size grows with the quality of the face."""

    x: float
    y: float
    size_px: float
    label: Label
    summary: str


@dataclass(frozen=True, slots=True)
class TimelineChart:
    """Evidence over time with both thresholds; `summary` describes it for screen readers."""

    summary: str
    height_px: int
    violation_y: float
    compliant_y: float
    violation_text: str
    compliant_text: str
    lines: tuple[Mark, ...]
    dots: tuple[Dot, ...]
    moments: tuple[Mark, ...]
    ticks: tuple[Mark, ...]


def timeline_chart(timeline: Timeline, *, resolved: tuple[float, str] | None) -> TimelineChart:
    """Lay out the evidence of an alert; `resolved` is the time (seconds after the alert) and text of its resolution."""
    points, violation_llr, compliant_llr = timeline.points, timeline.violation_llr, timeline.compliant_llr
    happened = [(0.0, "alert"), *([resolved] if resolved else [])]
    times = [point.seconds for point in points] + [seconds for seconds, _ in happened]
    first, last = min(times), max(times)
    span = max(last - first, MIN_SPAN_SECONDS)
    llrs = [point.llr for point in points]
    low = min([compliant_llr, *llrs]) - HEADROOM_LLR
    high = max([violation_llr, *llrs]) + HEADROOM_LLR

    def across(seconds: float) -> float:
        return _px((seconds - first) / span * 100)

    def down(value: float) -> float:
        return _px((high - value) / (high - low) * TIMELINE_PX)

    return TimelineChart(
        summary=_summary(timeline, resolved),
        height_px=TIMELINE_PX,
        violation_y=down(violation_llr),
        compliant_y=down(compliant_llr),
        violation_text=f"violation {violation_llr:+.1f}",
        compliant_text=f"mask {compliant_llr:+.1f}",
        lines=tuple(Mark(down(value), f"{value:g}") for value in round_values(low, high, count=MAX_GRID_LINES + 1)),
        dots=tuple(
            Dot(
                across(point.seconds),
                down(point.llr),
                _px(DOT_PX + DOT_GROWTH_PX * point.quality),
                point.label,
                f"{point.seconds:+.2f} s: {WORDS[point.label]}, evidence {point.llr:+.2f}",
            )
            for point in points
        ),
        moments=tuple(Mark(across(seconds), text) for seconds, text in happened),
        ticks=tuple(
            Mark(across(value), f"{value:g} s") for value in round_values(first, first + span, count=MAX_TICKS)
        ),
    )


def _summary(timeline: Timeline, resolved: tuple[float, str] | None) -> str:
    if not timeline.points:
        return "No reading was kept."
    first, last = timeline.points[0], timeline.points[-1]
    end = f" {resolved[1].capitalize()} {resolved[0]:.1f} seconds after the alert." if resolved else ""
    return (
        f"{len(timeline.points)} readings from {first.seconds:+.1f} to {last.seconds:+.1f} seconds around the alert. "
        f"The evidence goes from {first.llr:+.1f} to {last.llr:+.1f}; from {timeline.violation_llr:+.1f} on it is a "
        f"violation, from {timeline.compliant_llr:+.1f} down a worn mask.{end}"
    )


def round_values(low: float, high: float, *, count: int) -> Iterable[float]:
    """Multiples of a round step between two values, about `count` of them."""
    step = _round_step((high - low) / count)
    count = math.floor(high / step + 1e-9) - math.ceil(low / step - 1e-9)
    # Adding 0.0 turns -0.0 into 0.0.
    return [round((math.ceil(low / step - 1e-9) + number) * step, 6) + 0.0 for number in range(count + 1)]


def _round_step(min_step: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is no less than about `min_step`."""
    power = 10.0 ** math.floor(math.log10(max(min_step, MIN_STEP)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= min_step * 0.999)


def _px(value: float) -> float:
    return round(value, DIGITS)
