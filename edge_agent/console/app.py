"""App: assembles the web application from its routers, error handlers and middleware."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from edge_agent.bridge.client import UnansweredError
from edge_agent.console import api, login, monitoring, pages, sockets
from edge_agent.console.base_path import BasePath
from edge_agent.console.middleware import Middleware
from edge_agent.console.problems import ERROR_HANDLERS, error_response
from edge_agent.console.worker import BusyError
from edge_agent.errors import ModelError, PictureError, UnavailableError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from edge_agent.console.context import Context

HERE = Path(__file__).parent
STATIC = HERE / "static"
RETRY_SECONDS = "2"


def build(context: Context) -> ASGIApp:
    """Build the ASGI application."""
    app = FastAPI(
        title="maskwatch",
        version=context.version,
        description="Live frames, alerts and commands of this device. Errors are JSON with one sentence in `detail`.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        # A redirect would lose the request body.
        redirect_slashes=False,
        exception_handlers={
            **ERROR_HANDLERS,
            PictureError: _handle_picture,
            **dict.fromkeys((BusyError, UnansweredError, UnavailableError, ModelError), _handle_unavailable),
        },
    )
    app.state.context, app.state.templates = context, _templates(context)
    routers = [api.router(context), monitoring.router(context), pages.router, login.router, sockets.router]
    if context.config.display.enabled:
        from edge_agent.console import display

        routers.append(display.router)
    for router in routers:
        app.include_router(router)
    # Browsers request /favicon.ico even if the page names another icon.
    icon = Route("/favicon.ico", lambda _request: FileResponse(STATIC / "favicon.ico"))
    app.router.routes.extend([Mount("/static", StaticFiles(directory=STATIC)), icon])
    return BasePath(Middleware(app, auth=context.auth), configured=context.config.console.base_path)


def _templates(context: Context) -> Jinja2Templates:
    def everywhere(request: Request) -> dict[str, Any]:
        client = request.state.client
        return {
            "base": request.state.base_path,
            "csrf": client.csrf,
            "device": context.config.device_title,
            "cameras": tuple(context.config.cameras),
            "version": context.version,
            "takes_password": context.auth.takes_password,
            "is_logged_in": client.kind == "user",
        }

    templates = Jinja2Templates(HERE / "templates", context_processors=[everywhere])
    templates.env.filters.update(pages.template_filters(context.config))
    return templates


async def _handle_unavailable(request: Request, error: Exception) -> Response:
    text = str(error) or "the device is too busy; try again"
    return error_response(request, text, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": RETRY_SECONDS})


async def _handle_picture(request: Request, error: PictureError) -> Response:
    return error_response(request, str(error), HTTPStatus.UNPROCESSABLE_ENTITY)
