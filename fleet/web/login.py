"""Login: starts and ends sessions of users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from edge_agent.console.auth import safe_target, set_cookie
from edge_agent.console.sessions import is_same
from fleet.web.users import user_of

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from edge_agent.console.sessions import User

SEE_OTHER = 303
PROBLEMS = {
    "wrong": "Wrong user name or password.",
    "expired": "This page has expired. Try again.",
    "wait": "Too many wrong passwords. Try again later.",
}

login = APIRouter(include_in_schema=False, default_response_class=Response)


@login.get("/login")
def page(request: Request) -> Any:
    """Show the login form."""
    if request.state.client.is_authenticated:
        return RedirectResponse("/", SEE_OTHER)
    query = request.query_params
    values = {"next": query.get("next", ""), "problem": PROBLEMS.get(query.get("problem", ""), "")}
    return request.app.state.templates.TemplateResponse(request, "login.html", values)


@login.post("/login")
async def log_in(
    request: Request,
    *,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    csrf: Annotated[str, Form()] = "",
    target: Annotated[str, Form(alias="next")] = "",
) -> Response:
    """Check the password; each wrong one delays the next attempt."""
    client, auth = request.state.client, request.app.state.auth
    target = safe_target(target)
    if not is_same(csrf, client.csrf):
        return _redirect("expired", target)
    async with auth.login_lock:
        if auth.wait_seconds(client):
            return _redirect("wait", target)
        user = await run_in_threadpool(_user_of, request.app.state.pool, name, password)
        if user is None:
            auth.record_failure(client)
            return _redirect("wrong", target)
        cookie = auth.begin(client, user)
    scheme = request.scope["scheme"]
    response = RedirectResponse(target, SEE_OTHER)
    cookie_name = auth.cookie_name(scheme, request.state.base_path)
    response.headers.append("Set-Cookie", set_cookie(cookie_name, cookie, scheme=scheme))
    return response


@login.post("/logout")
async def log_out(request: Request, csrf: Annotated[str, Form()] = "") -> Response:
    """End the session."""
    client = request.state.client
    if is_same(csrf, client.csrf):
        request.app.state.auth.sessions.end(client.cookie)
    return RedirectResponse("/login", SEE_OTHER)


def _user_of(pool: ConnectionPool, name: str, password: str) -> User | None:
    with pool.connection() as connection:
        return user_of(connection, name, password)


def _redirect(problem: str, target: str) -> Response:
    return RedirectResponse(f"/login?{urlencode({'problem': problem, 'next': target})}", SEE_OTHER)
