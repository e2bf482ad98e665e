"""Charts: positions of bars, dots and text."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from edge_agent.alerts.timeline import Timeline, TimelinePoint
from edge_agent.console.charts import DAYS_PX, TIMELINE_PX, bars_chart, days_of, timeline_chart

if TYPE_CHECKING:
    from edge_agent.domain import Label

LABELS: tuple[Label, ...] = ("without_mask", "mask_worn_incorrectly")
DAYS = [date(2026, 11, 25) - timedelta(days=back) for back in reversed(range(30))]


def days_chart(days, counts, *, labels):
    return bars_chart(days_of(days), counts, labels=labels, title="Alerts", noun=("alert", "alerts"))


def a_timeline(points, *, resolved=None):
    timeline = Timeline(tuple(points), violation_llr=5.3, compliant_llr=-3.9, face_in_crop=(0, 0, 1, 1))
    return timeline_chart(timeline, resolved=resolved)


def a_point(seconds, llr, **values):
    return TimelinePoint(
        **{"seconds": seconds, "llr": llr, "label": "without_mask", "score": 0.9, "quality": 0.5, **values}
    )


def test_bars_are_stacked_and_match_the_grid_lines():
    chart = days_chart(
        DAYS, {("2026-11-25", "without_mask"): 6, ("2026-11-25", "mask_worn_incorrectly"): 2}, labels=LABELS
    )

    without, wrongly = chart.columns[-1].bars
    assert without.y + without.height == DAYS_PX
    assert wrongly.y + wrongly.height == without.y
    assert wrongly.y == {line.text: line.at for line in chart.lines}["8"]


def test_days_without_an_alert_have_no_bar():
    chart = days_chart(DAYS, {("2026-11-20", "without_mask"): 1}, labels=LABELS)

    assert [day.key for day in chart.columns if day.bars] == ["2026-11-20"]


def test_a_column_has_a_summary_for_screen_readers():
    chart = days_chart(DAYS, {("2026-11-25", "without_mask"): 6, ("2026-11-24", "without_mask"): 1}, labels=LABELS)

    assert chart.columns[-1].summary == "25 Nov: 6 alerts (6 no mask)"
    assert chart.columns[-2].summary == "24 Nov: 1 alert (1 no mask)"
    assert chart.columns[-3].summary == "23 Nov: 0 alerts"


def test_a_chart_without_alerts_is_drawn_too():
    chart = days_chart(DAYS, {}, labels=LABELS)

    assert [line.text for line in chart.lines] == ["0", "1"]


@pytest.mark.parametrize(("highest", "step"), [(1, 1), (4, 1), (5, 2), (17, 5), (60, 20), (99_999, 50_000)])
def test_grid_lines_are_few_and_at_round_numbers(highest, step):
    chart = days_chart(DAYS, {("2026-11-25", "without_mask"): highest}, labels=LABELS)

    texts = [int(line.text) for line in chart.lines]
    assert texts[1] == step
    assert texts[-1] >= highest
    assert len(texts) <= 5


def test_the_newest_day_is_labelled():
    words = [day.text for day in days_chart(DAYS, {}, labels=LABELS).columns if day.text]

    assert words == ["28 Oct", "4 Nov", "11 Nov", "18 Nov", "25 Nov"]


def test_evidence_for_a_violation_is_drawn_upwards_across_its_threshold():
    chart = a_timeline([a_point(-1.0, 0.5), a_point(-0.5, 3.0), a_point(0.0, 5.4)])

    heights = [dot.y for dot in chart.dots]
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] < chart.violation_y < heights[-2] < chart.compliant_y < TIMELINE_PX


def test_the_alert_is_drawn_at_its_time():
    chart = a_timeline([a_point(-1.0, 0.5), a_point(3.0, 6.0)], resolved=(3.0, "left the picture"))

    alert, end = chart.moments
    assert (alert.at, alert.text) == (25.0, "alert")
    assert (end.at, end.text) == (100.0, "left the picture")


def test_timelines_with_one_reading_and_with_none_are_drawn():
    assert a_timeline([a_point(0.0, 5.4)]).dots[0].x == 0
    assert a_timeline([]).summary == "No reading was kept."


def test_a_clearer_face_has_a_larger_dot():
    blurred, clear = a_timeline([a_point(-1.0, 0.5, quality=0.1), a_point(0.0, 5.4, quality=0.9)]).dots

    assert clear.size_px > blurred.size_px


def test_extreme_evidence_is_drawn_inside_the_chart():
    chart = a_timeline([a_point(-200.0, -9.0), a_point(400.0, 22.0)], resolved=(401.5, "put the mask on"))

    assert all(0 <= dot.x <= 100 and 0 <= dot.y <= TIMELINE_PX for dot in chart.dots)
    assert all(0 <= tick.at <= 100.0 for tick in chart.ticks)
    assert len(chart.ticks) <= 9
    assert not any(line.text == "-0" for line in chart.lines)


def test_the_timeline_has_a_summary_for_screen_readers():
    chart = a_timeline([a_point(-1.0, 0.5), a_point(0.0, 5.4)], resolved=(2.25, "left the picture"))

    assert chart.summary == (
        "2 readings from -1.0 to +0.0 seconds around the alert. The evidence goes from +0.5 to +5.4; from +5.3 on it "
        "is a violation, from -3.9 down a worn mask. Left the picture 2.2 seconds after the alert."
    )
