"""App: builds the web application."""

from __future__ import annotations

from datetime import timezone
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from edge_agent.console.middleware import Middleware
from edge_agent.console.responses import error_response
from edge_agent.console.site import open_site
from fleet.web.api import api
from fleet.web.pages import pages

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from fleet.config import FleetConfig
    from fleet.web.auth import FleetAuth

HERE = Path(__file__).parent
RETRY_SECONDS = "5"


def build(config: FleetConfig, pool: ConnectionPool, auth: FleetAuth) -> ASGIApp:
    """Build the application, in the design of the console."""

    def values(request: Request) -> dict[str, Any]:
        return {"user": request.state.client.user}

    app = open_site(
        "maskwatch fleet",
        description="Devices, alerts, counts and reviews of a fleet.",
        auth=auth,
        values=values,
        filters={
            "words": lambda text: text.replace("_", " "),
            "percent": lambda fraction: "-" if fraction is None else f"{fraction:.0%}",
            "moment": lambda when: f"{when.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC",
            "ago": _ago,
        },
        # After a failover, connections may be to a server that is a standby now.
        handlers=dict.fromkeys((psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction), _handle_unavailable),
        folder=HERE,
    )
    app.state.pool, app.state.silent_seconds = pool, config.web.silent_seconds
    # Before the console's, whose folder contains this one.
    app.router.routes.insert(0, Mount("/static/fleet", StaticFiles(directory=HERE / "static")))
    for router in (api, pages):
        app.include_router(router)
    return Middleware(app, auth=auth)


async def _handle_unavailable(request: Request, _error: Exception) -> Response:
    text = "the database does not answer; try again"
    return error_response(request, text, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": RETRY_SECONDS})


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
