"""App: builds the console from the configuration, and serves it until stopped."""

from __future__ import annotations

from contextlib import ExitStack, closing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from edge_agent.alerts.history import AlertHistory
from edge_agent.bridge.client import AgentClient, UnansweredError
from edge_agent.bridge.protocol import SOCKET_NAME
from edge_agent.bridge.shared import Shared
from edge_agent.config.secrets import read_console_secrets
from edge_agent.console import api, monitoring, pages, server, sockets
from edge_agent.console.auth import Auth
from edge_agent.console.context import Context
from edge_agent.console.inference import Inference
from edge_agent.console.live import Live
from edge_agent.console.middleware import Middleware
from edge_agent.console.responses import error_response
from edge_agent.console.site import open_site
from edge_agent.console.uploads import Uploads
from edge_agent.console.worker import BusyError, Worker
from edge_agent.errors import CropError, ModelError, PictureError, UnavailableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from edge_agent.config.model import Config
    from edge_agent.console.inference import OpenModels

RETRY_SECONDS = "2"
MAX_WAITING = 64
"""Tasks of a few milliseconds each; all viewers of a camera share its encoded pictures."""
NEWEST_ALERTS = 12
"""Length of the strip on the live page."""
NEWEST_SECONDS = 1.0
"""How often open pages look for new alerts, all together."""


async def serve(config: Config, *, open_models: OpenModels, end: asyncio.Event, listening: Callable[[], None]) -> None:
    """Serve until `end` is set; `listening` is called once the port is open.

    Raises:
        ConfigError: the password, the token or the certificate is invalid.
        UnavailableError: the address is not available.
    """
    settings = config.console
    secrets = read_console_secrets(config)
    with ExitStack() as stack:
        worker = stack.enter_context(closing(Worker("worker", max_waiting=MAX_WAITING)))
        inference = stack.enter_context(closing(Inference(open_models, max_pixels=settings.largest_picture_pixels)))
        history = AlertHistory(config.store_file, only_reads=True)
        agent = AgentClient(config.state / SOCKET_NAME)
        context = Context(
            config=config,
            auth=Auth(settings, secrets, has_displays=config.display.enabled),
            agent=agent,
            history=history,
            worker=worker,
            inference=inference,
            live=Live(agent, worker),
            newest_alerts=Shared(lambda: worker.do(history.find, limit=NEWEST_ALERTS), seconds=NEWEST_SECONDS),
            uploads=Uploads(max_bytes=settings.largest_upload_bytes),
        )
        try:
            await server.serve(_build(context), settings, end=end, listening=listening)
        finally:
            await agent.close()


def _build(context: Context) -> ASGIApp:
    def values(_request: Request) -> dict[str, Any]:
        return {
            "device": context.config.device_title,
            "cameras": tuple(context.config.cameras),
            "takes_password": context.auth.takes_password,
        }

    app = open_site(
        "maskwatch",
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
