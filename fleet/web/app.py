"""App: builds the web application."""

from __future__ import annotations

from datetime import timezone
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from fastapi import FastAPI
from jinja2 import ChoiceLoader, Environment, FileSystemLoader
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from edge_agent.console import middleware
from edge_agent.console.base_path import BasePath
from edge_agent.console.problems import ERROR_HANDLERS, error_response
from fleet.web.api import api
from fleet.web.login import login
from fleet.web.pages import pages

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from fleet.config import FleetConfig
    from fleet.web.auth import FleetAuth

HERE = Path(__file__).parent
CONSOLE = Path(middleware.__file__).parent
RETRY_SECONDS = "5"


def build(config: FleetConfig, pool: ConnectionPool, auth: FleetAuth) -> ASGIApp:
    """Build the application, wrapped in the console's middleware."""
    app = FastAPI(
        title="maskwatch fleet",
        version=version("maskwatch"),
        description="Devices, alerts, counts and reviews of a fleet. Errors are JSON with one sentence in `detail`.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={**ERROR_HANDLERS, psycopg.OperationalError: _handle_unavailable},
    )
    app.state.pool, app.state.auth, app.state.templates = pool, auth, _templates(auth)
    app.state.silent_seconds = config.web.silent_seconds
    for router in (api, pages, login):
        app.include_router(router)
    app.router.routes.extend(
        [
            Mount("/static/fleet", StaticFiles(directory=HERE / "static")),
            Mount("/static", StaticFiles(directory=CONSOLE / "static")),
            Route("/favicon.ico", lambda _: RedirectResponse("/static/favicon.ico")),
        ]
    )
    return BasePath(middleware.Middleware(app, auth=auth), configured="")


async def _handle_unavailable(request: Request, _error: Exception) -> Response:
    text = "the database does not answer; try again"
    return error_response(request, text, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": RETRY_SECONDS})


def _templates(auth: FleetAuth) -> Jinja2Templates:
    def everywhere(request: Request) -> dict[str, Any]:
        client = request.state.client
        user = auth.sessions.user(client.cookie)
        return {
            "base": request.state.base_path,
            "is_logged_in": client.kind == "user",
            "csrf": client.csrf,
            "user": user,
            "version": version("maskwatch"),
        }

    folders = [FileSystemLoader(HERE / "templates"), FileSystemLoader(CONSOLE / "templates")]
    environment = Environment(loader=ChoiceLoader(folders), autoescape=True)
    environment.filters["words"] = lambda text: text.replace("_", " ")
    environment.filters["percent"] = lambda fraction: "-" if fraction is None else f"{fraction:.0%}"
    environment.filters["moment"] = lambda when: f"{when.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    environment.filters["ago"] = _ago
    return Jinja2Templates(env=environment, context_processors=[everywhere])


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
