"""App: assembles the web application from its routers, error handlers and middleware."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from edge_agent.bridge.client import UnansweredError
from edge_agent.console import api, monitoring, pages, sockets
from edge_agent.console.middleware import Middleware
from edge_agent.console.responses import error_response
from edge_agent.console.site import open_site
from edge_agent.console.worker import BusyError
from edge_agent.errors import CropError, ModelError, PictureError, UnavailableError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from edge_agent.console.context import Context

RETRY_SECONDS = "2"


def build(context: Context) -> ASGIApp:
    """Build the ASGI application."""

    def values(_request: Request) -> dict[str, Any]:
        return {
            "device": context.config.device_title,
            "cameras": tuple(context.config.cameras),
            "takes_password": context.auth.takes_password,
        }

    app = open_site(
        "maskwatch",
        version=context.version,
        description="Live frames, alerts and commands of this device.",
        auth=context.auth,
        values=values,
        filters=pages.template_filters(context.config),
        handlers={
            PictureError: _handle_picture,
            **dict.fromkeys((BusyError, UnansweredError, UnavailableError, CropError, ModelError), _handle_unavailable),
        },
    )
    app.state.context = context
    include_api(app, context)
    for router in (pages.router, sockets.router):
        app.include_router(router)
    if context.config.display.enabled:
        from edge_agent.console import display

        app.include_router(display.router)
    return Middleware(app, auth=context.auth, base_path=context.config.console.base_path)


def include_api(app: FastAPI, context: Context) -> None:
    """Add all endpoints for programs."""
    access = api.security(context)
    for router in (api.pictures, api.device, api.history, monitoring.figures):
        app.include_router(router, dependencies=access, responses=api.PROBLEMS)
    app.include_router(monitoring.probes, responses=api.PROBLEMS)


async def _handle_unavailable(request: Request, error: Exception) -> Response:
    text = str(error) or "the device is too busy; try again"
    return error_response(request, text, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": RETRY_SECONDS})


async def _handle_picture(request: Request, error: PictureError) -> Response:
    return error_response(request, str(error), HTTPStatus.UNPROCESSABLE_ENTITY)
