"""Pages: renders the HTML pages from templates."""

from __future__ import annotations

from typing import Annotated, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from edge_agent.console.responses import page
from edge_agent.messages.message import Uuid7  # noqa: TC001  (FastAPI reads it)
from fleet.web import queries
from fleet.web.context import COUNTED_DAYS, CountsQuery, Database, check_session, hours, or_404

LABELS = ("without_mask", "mask_worn_incorrectly")
REVIEW_WORDS = {
    "without_mask": "No mask",
    "mask_worn_incorrectly": "Worn incorrectly",
    "with_mask": "Mask",
    "no_face": "No face",
}

pages = APIRouter(include_in_schema=False, default_response_class=Response, dependencies=[Depends(check_session)])


@pages.get("/")
def devices(request: Request, connection: Database, query: Annotated[queries.DeviceFilter, Query()]) -> Response:
    """The devices that match a filter, with their state."""
    silent_seconds = request.app.state.silent_seconds
    found, is_more = queries.devices(connection, query, silent_seconds=silent_seconds)
    kept = {"site": query.site, "state": query.state}
    values = {
        "devices": found,
        "sites": queries.sites(connection),
        "query": query,
        "states": get_args(queries.DeviceState),
        "figures": queries.figures(connection, silent_seconds=silent_seconds),
        "silent_seconds": silent_seconds,
        "next": urlencode({**kept, "after": found[-1]["device"]}) if is_more else "",
        "first": urlencode(kept),
    }
    return page(request, "devices.html", values)


@pages.get("/devices/{name}")
def device(request: Request, connection: Database, name: str) -> Response:
    """One device with its history."""
    values = {
        "one": or_404(queries.device(connection, queries.clean(name))),
        "silent_seconds": request.app.state.silent_seconds,
        "days": queries.HISTORY_DAYS,
    }
    return page(request, "device.html", values)


@pages.get("/alerts")
def alerts(request: Request, connection: Database, query: Annotated[queries.AlertFilter, Query()]) -> Response:
    """The alerts that match a filter."""
    found, is_more = queries.alerts(connection, query)
    sites = queries.sites(connection)
    kept = {key: value for key, value in query.model_dump(mode="json").items() if value and key != "before"}
    values = {
        "alerts": found,
        "query": query,
        "sites": sites,
        "labels": LABELS,
        "reviews": REVIEW_WORDS,
        "next": urlencode({**kept, "before": found[-1]["id"]}) if is_more else "",
        "first": urlencode(kept),
        "is_filtered": bool(kept),
    }
    return page(request, "alerts.html", values)


@pages.get("/alerts/{alert_id}")
def alert(request: Request, connection: Database, alert_id: Uuid7) -> Response:
    """One alert, and its review."""
    found = or_404(queries.alert(connection, alert_id))
    return page(request, "alert.html", {"alert": found, "reviews": REVIEW_WORDS})


@pages.get("/counts")
def counts(request: Request, connection: Database, query: Annotated[CountsQuery, Query()]) -> Response:
    """People by site and hour."""
    wanted = hours(query)
    found, is_more = queries.counts(connection, **wanted)
    older = (
        {"site": query.site, "since": wanted["since"].isoformat(), "until": found[-1]["begins"].isoformat()}
        if is_more
        else {}
    )
    values = {
        "hours": found,
        "sites": queries.sites(connection),
        "site": query.site,
        "days": COUNTED_DAYS,
        "since": query.since,
        "until": query.until,
        "next": urlencode(older),
    }
    return page(request, "counts.html", values)
