"""Pages: renders the HTML pages of the device from templates."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from starlette.responses import Response

from edge_agent.alerts.people import as_csv, beginning_of, following, grouped, midnight_of
from edge_agent.console import charts
from edge_agent.console.alert_view import crop_state, scene_state
from edge_agent.console.api import AlertQuery
from edge_agent.console.context import Current, check_camera
from edge_agent.console.parameters import Day
from edge_agent.console.responses import page
from edge_agent.domain import COUNTED_AS, LABELS, timestamp
from edge_agent.errors import AgentError
from edge_agent.messages.counts import PeopleCounts
from edge_agent.vision.annotation import WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edge_agent.alerts.history import AlertHistory, HistoryEntry, Review
    from edge_agent.config.model import Config
    from edge_agent.console.context import Context
    from edge_agent.domain import Label

PAGE_SIZE = 24
"""Fills rows of 2, 3, 4, 6 and 8; few enough pictures for console.max_requests_per_second."""
CHART_DAYS = 30
EXPORTED_DAYS = 400
VIOLATIONS: tuple[Label, ...] = ("without_mask", "mask_worn_incorrectly")
RESOLUTIONS = {"left": "left the picture", "compliant": "put the mask on"}
REVIEWS: tuple[tuple[Review, str, str], ...] = (
    ("without_mask", "No mask", "nose and lips bare"),
    ("mask_worn_incorrectly", "Worn incorrectly", "nose or lips bare"),
    ("with_mask", "Mask", "worn properly"),
    ("no_face", "No face", "false detection"),
)
REVIEW_FILTERS = (
    ("", "all"),
    ("unreviewed", "not reviewed"),
    *((value, text.lower()) for value, text, _ in REVIEWS),
)
NOT_CHOSEN = ("before", "limit")
"""The fields of an alert filter that people do not choose."""
ENCRYPTED = "encrypted"
GONE = "deleted by age or size (crops.keep_days, keep_bytes)"

router = APIRouter(include_in_schema=False, default_response_class=Response)
"""The routes of the pages. The worker reads the history, and renders alerts: templates look for their pictures."""


class _Lenient(BaseModel):
    """The parameters of a page. Unknown and invalid ones are ignored, because people edit URLs."""

    model_config = ConfigDict(extra="ignore")

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_if_invalid(cls, value: Any, validate: Callable[[Any], Any], field: ValidationInfo) -> Any:
        try:
            return validate(value)
        except ValueError:
            return cls.model_fields[str(field.field_name)].default


class AlertFilter(AlertQuery, _Lenient):
    """Filter of the alerts page; empty fields match all. `before` is the last id of the previous page."""

    @property
    def is_set(self) -> bool:
        """Whether any filter is set."""
        return any(value for name, value in self if name not in NOT_CHOSEN)

    def url(self, **changes: str) -> str:
        """The URL of the page with this filter and these changes."""
        fields = {name: value for name, value in self if name not in NOT_CHOSEN}
        fields |= {"since": local_time(self.since), "until": local_time(self.until), **changes}
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"/alerts?{query}" if query else "/alerts"


class CountsFilter(_Lenient):
    """What the counts page shows; by default all cameras, and today."""

    camera: str = ""
    day: Day = ""


def local_time(when: datetime | None) -> str:
    """A time as <input type="datetime-local"> reads and sends it: in the device's time zone, to the minute."""
    return f"{when.astimezone():%Y-%m-%dT%H:%M}" if when else ""


@router.get("/")
async def live(context: Current, request: Request) -> Response:
    """The current pictures, and the newest alerts."""
    return await context.worker.do(page, request, "live.html", {"newest": await _newest(context)})


@router.get("/newest")
async def newest(context: Current, request: Request) -> Response:
    """The newest alerts, as part of the live page."""
    return await context.worker.do(page, request, "newest.html", {"newest": await _newest(context)})


@router.get("/webcam")
async def webcam(request: Request) -> Response:
    """Analyse the user's own camera or pictures."""
    return page(request, "webcam.html")


@router.get("/counts")
async def counts(context: Current, request: Request, filters: Annotated[CountsFilter, Query()]) -> Response:
    """The number of people by day and hour."""
    cameras = tuple(context.config.cameras)
    return await context.worker.do(
        lambda: page(request, "counts.html", _counts(context.history, cameras, **dict(filters)))
    )


@router.get("/counts.csv")
async def counts_as_csv(context: Current, camera: str = "") -> Response:
    """The number of people by hour, for spreadsheets."""
    today = datetime.now().astimezone().date()
    first = today - timedelta(days=EXPORTED_DAYS)

    def export() -> str:
        rows = context.history.people(camera=camera, first=first, last=today)
        return as_csv(grouped(rows, "hour"), "hour")

    headers = {"Content-Disposition": "attachment; filename=counts.csv"}
    return Response(await context.worker.do(export), media_type="text/csv", headers=headers)


@router.get("/zones/{camera}")
async def zones(context: Current, request: Request, camera: str) -> Response:
    """Draw the exclusion zones of a camera."""
    check_camera(context, camera)
    return page(request, "zones.html", {"camera": camera, "zones": context.config.rules_of(camera).exclusion_zones})


@router.get("/alerts")
async def alerts(context: Current, request: Request, filters: Annotated[AlertFilter, Query()]) -> Response:
    """The alerts that match a filter."""
    cameras = tuple(context.config.cameras)
    return await context.worker.do(lambda: page(request, "alerts.html", _alerts(context.history, cameras, filters)))


@router.get("/alerts/{alert_id}")
async def alert(context: Current, request: Request, alert_id: str) -> Response:
    """One alert with its evidence."""

    def show() -> Response:
        entry = context.history.entry(alert_id)
        if entry is None:
            values = {"title": "No such alert", "text": "It has expired, was deleted, or never existed."}
            return page(request, "error.html", values, 404)
        around = _neighbours(context.history, entry)
        return page(request, "alert.html", _alert(entry, context.config.crops_folder) | around)

    return await context.worker.do(show)


async def _newest(context: Context) -> list[HistoryEntry]:
    """The newest alerts; none while the history cannot be read."""
    try:
        return await context.newest_alerts.get()
    except AgentError:
        return []


def _alerts(history: AlertHistory, cameras: tuple[str, ...], filters: AlertFilter) -> dict[str, Any]:
    """Values of the alerts page."""
    entries, older = filters.find(history, limit=PAGE_SIZE)
    days = _last_days()
    counted = history.days(camera=filters.camera, label=filters.label, last=CHART_DAYS, today=days[-1])
    return {
        "filters": filters,
        "entries": entries,
        "how_many": _how_many(len(entries), is_more=bool(older)),
        "chart": charts.bars_chart(
            charts.days_of(days),
            {(each.day, each.label): each.count for each in counted},
            labels=VIOLATIONS,
            title=f"Alerts of the last {CHART_DAYS} days: {sum(each.count for each in counted)}",
            noun=("alert", "alerts"),
        ),
        "day_url": lambda day: filters.url(day=day, since="", until=""),
        "older_url": filters.url(before=older) if older else "",
        # A camera that was renamed keeps its alerts: a filter by its old name stays selected.
        "filter_cameras": _with_chosen(cameras, filters.camera),
        "violations": VIOLATIONS,
        "reviews": REVIEW_FILTERS,
        "reviews_to_give": REVIEWS,
        "unreviewed": history.unreviewed(),
    }


def _last_days() -> list[date]:
    """The days of the charts, today last."""
    today = datetime.now().astimezone().date()
    return [today - timedelta(days=back) for back in reversed(range(CHART_DAYS))]


def _with_chosen(cameras: tuple[str, ...], chosen: str) -> list[str]:
    """The cameras of a filter, with the chosen one even if it is no longer configured."""
    return list(dict.fromkeys([*cameras, *([chosen] if chosen else [])]))


def _counts(history: AlertHistory, cameras: tuple[str, ...], *, camera: str, day: str) -> dict[str, Any]:
    """Values of the counts page: people of the last days, and of the hours of the day shown."""
    days = _last_days()
    shown = date.fromisoformat(day) if day else days[-1]
    by_day = grouped(history.people(camera=camera, first=days[0], last=days[-1]), "day")
    by_hour = grouped(history.people(camera=camera, first=shown, last=shown), "hour")
    midnight = midnight_of(shown)
    # People are counted by hours of UTC, which begin at half past in India.
    starts = [beginning_of("hour", midnight + timedelta(hours=1, seconds=-1))]
    while (start := starts[-1] + timedelta(hours=1)) < following("day", midnight):
        starts.append(start)
    hours = [
        charts.Period(timestamp(start), f"{start.astimezone():%H:%M}", f"{start.astimezone():%H}" if n % 3 == 0 else "")
        for n, start in enumerate(starts)
    ]
    people = sum(by_day.values(), PeopleCounts())
    return {
        "camera": camera,
        "cameras": _with_chosen(cameras, camera),
        "labels": COUNTED_AS,
        "shown": shown.isoformat(),
        "people": people,
        "by_day": by_day,
        "days": _people_chart(charts.days_of(days), by_day, title=f"People of the last {CHART_DAYS} days"),
        "hours": _people_chart(hours, by_hour, title=f"People of {charts.short_day(shown)} by hour"),
        # There is no page of a single hour.
        "hour_url": lambda _key: "#hours-head",
        "day_url": lambda key: "/counts?" + urlencode({"day": key} | ({"camera": camera} if camera else {})),
    }


def _people_chart(periods: list[charts.Period], counts: Mapping[str, PeopleCounts], *, title: str) -> charts.BarsChart:
    return charts.bars_chart(
        periods,
        {(key, label): getattr(people, label) for key, people in counts.items() for label in COUNTED_AS},
        labels=COUNTED_AS,
        title=title,
        noun=("person", "people"),
        shares={key: people.compliance for key, people in counts.items() if people.compliance is not None},
    )


def _how_many(count: int, *, is_more: bool) -> str:
    if is_more:
        return f"the newest {count} shown"
    return f"{count} {'alert' if count == 1 else 'alerts'}"


def _neighbours(history: AlertHistory, entry: HistoryEntry) -> dict[str, Any]:
    """Links of a page of one alert: to its neighbours, and to the next unreviewed alert."""
    newer, older = history.neighbours(entry.id)
    # The next older one, or the newest if there is none.
    unreviewed = [*history.find(review="", before=entry.id, limit=1), *history.find(review="", limit=2)]
    others = [other.id for other in unreviewed if other.id != entry.id]
    return {
        "newer": newer,
        "older": older,
        "next_unreviewed": others[0] if others else "",
        "unreviewed": history.unreviewed(),
    }


def _alert(entry: HistoryEntry, crops_folder: Path) -> dict[str, Any]:
    """Values of a page of one alert."""
    message = entry.message
    box_width, box_height = message["box"][2] - message["box"][0], message["box"][3] - message["box"][1]
    frame_width, frame_height = message["frame_size"]
    seen_seconds = (entry.when - datetime.fromisoformat(message["first_seen"].replace("Z", "+00:00"))).total_seconds()
    suffix = ".jpg.age" if why_no_picture(entry, crops_folder) == ENCRYPTED else ".jpg"
    timeline = entry.timeline()
    return {
        "entry": entry,
        "timeline": timeline,
        "resolved": _resolution_in_words(entry),
        "seen_before": f"{max(seen_seconds, 0):.1f} s",
        "face_size": f"{box_width} x {box_height} px of {frame_width} x {frame_height}",
        "scene": scene_state(entry, crops_folder),
        # File names that sort by camera and time.
        "crop_name": f"{entry.camera}_{entry.when.astimezone():%Y-%m-%d_%H-%M-%S}_{entry.label}{suffix}",
        "chart": charts.timeline_chart(timeline, resolved=_resolution(entry)),
        "labels": LABELS,
        "reviews": REVIEWS,
    }


def _resolution(entry: HistoryEntry) -> tuple[float, str] | None:
    if entry.resolved is None:
        return None
    reason = entry.resolved["reason"]
    return float(entry.resolved["duration_seconds"]), RESOLUTIONS.get(reason, reason)


def _resolution_in_words(entry: HistoryEntry) -> str:
    resolution = _resolution(entry)
    return f"{resolution[1]} after {_duration(resolution[0])}" if resolution else ""


def _duration(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004  (a minute)
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def why_no_picture(entry: HistoryEntry, crops_folder: Path) -> str:
    """Why the picture of an alert cannot be shown; empty if it can."""
    match crop_state(entry, crops_folder):
        case "there":
            return ""
        case "encrypted":
            return ENCRYPTED
        case "gone":
            return GONE
        case "none":
            return str(entry.message.get("crop_error") or "no picture was kept")


def template_filters(config: Config) -> dict[str, Callable[..., str]]:
    """The filters of the templates. Times are local to the device."""
    return {
        "words": lambda label: WORDS.get(label, label.replace("_", " ")),
        "local_time": local_time,
        "percent": lambda fraction: f"{fraction:.0%}",
        "iso": lambda when: when.isoformat(timespec="milliseconds"),
        "moment": _moment,
        "full_moment": lambda when: f"{charts.short_day(when.astimezone())} {when.astimezone():%Y, %H:%M:%S %Z}",
        "long_day": lambda day: f"{date.fromisoformat(day):%a} {charts.short_day(date.fromisoformat(day))}",
        "why_no_picture": lambda entry: why_no_picture(entry, config.crops_folder),
        # Alerts of a camera that was removed or renamed have no title.
        "title_of": lambda camera: config.camera_titles.get(camera) or camera,
    }


def _moment(when: datetime) -> str:
    """The time of day; with the date unless it is today."""
    here = when.astimezone()
    is_today = here.date() == datetime.now().astimezone().date()
    return f"{here:%H:%M:%S}" if is_today else f"{charts.short_day(here)}, {here:%H:%M}"
