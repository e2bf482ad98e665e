"""App: assembles the web application from its routers, error handlers and middleware."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse
from starlette.routing import Mount, Route, compile_path
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from edge_agent.bridge.client import UnansweredError
from edge_agent.console import api, login, monitoring, pages, sockets
from edge_agent.console.auth import PROGRAM_PATHS
from edge_agent.console.base_path import BasePath
from edge_agent.console.context import page
from edge_agent.console.middleware import Middleware
from edge_agent.console.worker import BusyError
from edge_agent.errors import ModelError, PictureError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

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
            HTTPException: _handle_http,
            RequestValidationError: _handle_invalid,
            PictureError: _handle_picture,
            **dict.fromkeys((BusyError, UnansweredError, UnavailableError, ModelError), _handle_unavailable),
            Exception: _handle_bug,
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


def _error_response(request: Request, text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An HTML page for browsers, JSON for programs and sockets."""
    is_page = request.scope.get("method") == "GET" and not request.url.path.startswith(PROGRAM_PATHS)
    if not is_page or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": text}, status, headers)
    values = {"title": HTTPStatus(status).phrase, "text": f"{text[:1].upper()}{text[1:]}."}
    response = page(request, "error.html", values, status)
    response.headers.update(headers or {})
    if retry_after := response.headers.get("Retry-After"):
        response.headers["Refresh"] = retry_after
    return response


async def _handle_http(request: Request, error: HTTPException) -> Response:
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        error.headers = {"Allow": _allowed(request.app, request.url.path) or (error.headers or {}).get("Allow", "")}
    return _error_response(request, str(error.detail), error.status_code, error.headers)


def _allowed(app: FastAPI, path: str) -> str:
    """All methods of an API path for the Allow header: the router reports only those of the first matching route."""
    for template, operations in app.openapi()["paths"].items():
        if compile_path(template)[0].fullmatch(path):
            return ", ".join(sorted(method.upper() for method in operations))
    return ""


async def _handle_unavailable(request: Request, error: Exception) -> Response:
    text = str(error) or "the device is too busy; try again"
    return _error_response(request, text, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": RETRY_SECONDS})


async def _handle_invalid(_request: Request, error: RequestValidationError) -> Response:
    """List all validation errors in one sentence, without the values that were sent."""
    mistakes = [f"{'.'.join(map(str, detail['loc'][1:])) or 'the body'}: {detail['msg']}" for detail in error.errors()]
    return JSONResponse({"detail": "; ".join(mistakes)}, 422)


async def _handle_picture(_request: Request, error: PictureError) -> Response:
    return JSONResponse({"detail": str(error)}, 422)


async def _handle_bug(_request: Request, _error: Exception) -> Response:
    # The middleware logs the exception.
    return JSONResponse({"detail": "the console failed; see its log"}, 500)
