"""Responses: pages, the responses to requests that fail, and what an OpenAPI document says of them and of bytes."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path

from edge_agent.console.auth import PROGRAM_PATHS
from edge_agent.errors import mistake_of

if TYPE_CHECKING:
    from starlette.templating import Jinja2Templates

TITLES = {
    HTTPStatus.UNPROCESSABLE_ENTITY: "This address is not valid",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not available at the moment",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong",
}
"""Of error pages, where HTTP's own phrase tells a reader little."""


class Problem(BaseModel):
    """Why a request failed."""

    model_config = ConfigDict(extra="forbid")

    detail: str = Field(description="One sentence")


def problem(description: str) -> dict[str, Any]:
    """Describe an error response."""
    return {"model": Problem, "description": description}


def bytes_of(*kinds: str, description: str) -> dict[int | str, dict[str, Any]]:
    """Describe a response that is not JSON."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {200: {"content": content, "description": description}}


def page(request: Request, template: str, values: Mapping[str, Any] | None = None, status: int = 200) -> Response:
    """Render an HTML page."""
    templates: Jinja2Templates = request.app.state.templates
    return templates.TemplateResponse(request, template, dict(values or {}), status)


def error_response(request: Request, text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An HTML page for browsers, JSON for programs and sockets."""
    is_page = request.scope.get("method") == "GET" and not request.url.path.startswith(PROGRAM_PATHS)
    if not is_page or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": text}, status, headers)
    values = {
        "title": TITLES.get(HTTPStatus(status), HTTPStatus(status).phrase),
        "text": f"{text[:1].upper()}{text[1:]}.",
    }
    response = page(request, "error.html", values, status)
    response.headers.update(headers or {})
    if retry_after := response.headers.get("Retry-After"):
        response.headers["Refresh"] = retry_after
    return response


async def _handle_http(request: Request, error: HTTPException) -> Response:
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        error.headers = {"Allow": _allowed(request.app, request.url.path) or (error.headers or {}).get("Allow", "")}
    return error_response(request, str(error.detail), error.status_code, error.headers)


def _allowed(app: FastAPI, path: str) -> str:
    """All methods of an API path for the Allow header: the router reports only those of the first matching route."""
    for template, operations in app.openapi()["paths"].items():
        if compile_path(template)[0].fullmatch(path):
            return ", ".join(sorted(method.upper() for method in operations))
    return ""


async def _handle_invalid(request: Request, error: RequestValidationError) -> Response:
    """List all validation errors in one sentence, without the values that were sent."""
    # Without the position in a body that is no JSON.
    keys = (".".join(part for part in detail["loc"][1:] if isinstance(part, str)) for detail in error.errors())
    mistakes = [f"{key or 'the body'}: {mistake_of(detail)}" for key, detail in zip(keys, error.errors(), strict=True)]
    return error_response(request, "; ".join(mistakes), HTTPStatus.UNPROCESSABLE_ENTITY)


async def _handle_bug(request: Request, _error: Exception) -> Response:
    # The middleware logs the exception.
    return error_response(request, "the server failed; see its log", HTTPStatus.INTERNAL_SERVER_ERROR)


ERROR_HANDLERS: dict[Any, Any] = {
    HTTPException: _handle_http,
    RequestValidationError: _handle_invalid,
    Exception: _handle_bug,
}
"""Of the console and the fleet, which have the same pages and the same JSON."""
