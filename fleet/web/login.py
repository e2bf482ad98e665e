"""Login: starts and ends sessions of users."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from edge_agent.console.auth import safe_target, set_cookie
from edge_agent.console.sessions import is_same
from fleet.web.context import Database  # noqa: TC001  (FastAPI reads it)
from fleet.web.users import role_of

SEE_OTHER = 303
TROUBLE = {
    "wrong": "Wrong user name or password.",
    "expired": "This page has expired. Try again.",
    "wait": "Too many wrong passwords. Try again later.",
}

login = APIRouter(include_in_schema=False, default_response_class=Response)


@login.get("/login")
def page(request: Request) -> Any:
    """Show the login form."""
    if request.state.visitor.is_authenticated:
        return RedirectResponse("/", SEE_OTHER)
    asked = request.query_params
    values = {"next": asked.get("next", ""), "trouble": TROUBLE.get(asked.get("trouble", ""), "")}
    return request.app.state.templates.TemplateResponse(request, "login.html", values)


@login.post("/login")
def log_in(
    request: Request,
    connection: Database,
    *,
    person: Annotated[str, Form(alias="name")] = "",
    password: Annotated[str, Form()] = "",
    csrf: Annotated[str, Form()] = "",
    wanted: Annotated[str, Form(alias="next")] = "",
) -> Response:
    """Check the password; each wrong one delays the next attempt."""
    visitor, auth = request.state.visitor, request.app.state.auth
    wanted = safe_target(wanted)
    if auth.wait_seconds(visitor):
        return _redirect("wait", wanted)
    if not is_same(csrf, visitor.csrf):
        return _redirect("expired", wanted)
    role = role_of(connection, person, password)
    if role is None:
        auth.record_failure(visitor)
        return _redirect("wrong", wanted)
    scheme = request.scope["scheme"]
    answer = RedirectResponse(wanted, SEE_OTHER)
    cookie = auth.begin(visitor, person, role)
    name = auth.cookie_name(scheme, request.state.base_path)
    answer.headers.append("Set-Cookie", set_cookie(name, cookie, scheme=scheme))
    return answer


@login.post("/logout")
def log_out(request: Request, csrf: Annotated[str, Form()] = "") -> Response:
    """End the session."""
    visitor = request.state.visitor
    if is_same(csrf, visitor.csrf):
        request.app.state.auth.sessions.end(visitor.cookie)
    return RedirectResponse("/login", SEE_OTHER)


def _redirect(trouble: str, wanted: str) -> Response:
    return RedirectResponse(f"/login?{urlencode({'trouble': trouble, 'next': wanted})}", SEE_OTHER)
