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
from edge_agent.console.middleware import Middleware
from edge_agent.console.worker import BusyError
from edge_agent.errors import ModelError, PictureError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    from edge_agent.console.context import Context

HERE = Path(__file__).parent
STATIC = HERE / "static"
AGAIN_SECONDS = "2"


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
    )
    app.state.context = context
    app.include_router(api.router(context))
    app.include_router(monitoring.router(context))
    templates = _templates(context)
    app.include_router(pages.router(context, templates))
    app.include_router(login.router)
    displays = _display_routes(context, templates)
    # Browsers request /favicon.ico even if the page names another icon.
    icon = Route("/favicon.ico", lambda _request: FileResponse(STATIC / "favicon.ico"))
    static = [Mount("/static", StaticFiles(directory=STATIC)), icon]
    app.router.routes.extend([*sockets.routes(context), *displays, *static])

    def answer(request: Request, text: str, status: int, headers: Mapping[str, str] | None) -> Response:
        """An HTML page for browsers, JSON for programs."""
        is_page = request.method == "GET" and not request.url.path.startswith(PROGRAM_PATHS)
        if is_page and "text/html" in request.headers.get("accept", ""):
            values = {"title": HTTPStatus(status).phrase, "text": f"{text[:1].upper()}{text[1:]}."}
            page = templates.TemplateResponse(request, "error.html", values, status, headers)
            if again := page.headers.get("Retry-After"):
                page.headers["Refresh"] = again
            return page
        return JSONResponse({"detail": text}, status, headers)

    async def answer_http(request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            error.headers = {"Allow": _allowed(app, request.url.path) or (error.headers or {}).get("Allow", "")}
        return answer(request, str(error.detail), error.status_code, error.headers)

    async def answer_later(request: Request, error: Exception) -> Response:
        text = str(error) or "the device is too busy; try again"
        return answer(request, text, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": AGAIN_SECONDS})

    app.exception_handler(HTTPException)(answer_http)
    app.exception_handler(RequestValidationError)(_answer_invalid)
    app.exception_handler(PictureError)(_answer_picture)
    app.exception_handler(Exception)(_answer_bug)
    for kind in (BusyError, UnansweredError, UnavailableError, ModelError):
        app.exception_handler(kind)(answer_later)
    return BasePath(Middleware(app, auth=context.auth), configured=context.config.console.base_path)


def _display_routes(context: Context, templates: Jinja2Templates) -> list[BaseRoute]:
    if not context.config.display.enabled:
        return []
    from edge_agent.console import display

    return display.routes(context, templates)


def _allowed(app: FastAPI, path: str) -> str:
    """All methods of an API path for the Allow header: the router reports only those of the first matching route."""
    for template, operations in app.openapi()["paths"].items():
        if compile_path(template)[0].fullmatch(path):
            return ", ".join(sorted(method.upper() for method in operations))
    return ""


def _templates(context: Context) -> Jinja2Templates:
    def everywhere(request: Request) -> dict[str, Any]:
        visitor = request.state.visitor
        return {
            "base": request.state.base_path,
            "csrf": visitor.csrf,
            "device": context.config.device_title,
            "cameras": tuple(context.config.cameras),
            "version": context.version,
            "needs_login": context.auth.needs_login,
            "takes_password": context.auth.takes_password,
            "is_logged_in": visitor.name == "person",
        }

    return Jinja2Templates(HERE / "templates", context_processors=[everywhere])


async def _answer_invalid(_request: Request, error: RequestValidationError) -> Response:
    """List all validation errors in one sentence, without the values that were sent."""
    mistakes = [f"{'.'.join(map(str, one['loc'][1:])) or 'the body'}: {one['msg']}" for one in error.errors()]
    return JSONResponse({"detail": "; ".join(mistakes)}, 422)


async def _answer_picture(_request: Request, error: PictureError) -> Response:
    return JSONResponse({"detail": str(error)}, 422)


async def _answer_bug(_request: Request, _error: Exception) -> Response:
    # The middleware logs the exception.
    return JSONResponse({"detail": "the console failed; see its log"}, 500)
