"""Login: starts and ends the session of a user, of a console or of a fleet."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from edge_agent.console.auth import safe_target, set_cookie
from edge_agent.console.responses import page
from edge_agent.console.sessions import is_same

CsrfToken = Annotated[str, Form()]

router = APIRouter(include_in_schema=False, default_response_class=Response)


@router.get("/login")
async def form(
    request: Request, *, problem: str = "", seconds: str = "", target: Annotated[str, Query(alias="next")] = ""
) -> Response:
    """Show the login form, and why the last login failed."""
    if request.state.client.is_authenticated:
        return RedirectResponse("/", status_code=303)
    match problem:
        case "wrong":
            message = request.app.state.auth.wrong_login
        case "expired":
            message = "This page has expired. Try again."
        case "wait":
            when = f"in {seconds} s" if seconds.isascii() and seconds.isdecimal() else "later"
            message = f"Too many wrong passwords. Try again {when}."
        case _:
            message = ""
    return page(request, "login.html", {"problem": message, "next": target})


@router.post("/login")
async def log_in(
    request: Request,
    *,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    csrf: CsrfToken = "",
    target: Annotated[str, Form(alias="next")] = "",
) -> Response:
    """Check the password; each wrong one delays the next attempt. Only users of a fleet have names."""
    client, auth = request.state.client, request.app.state.auth
    target = safe_target(target)
    if not is_same(csrf, client.csrf):
        return _again(target, problem="expired")
    async with auth.login_lock:
        if wait_seconds := auth.wait_seconds(client):
            return _again(target, problem="wait", seconds=str(wait_seconds))
        cookie = await auth.log_in(client, name, password)
    if not cookie:
        return _again(target, problem="wrong")
    scheme = request.scope["scheme"]
    response = RedirectResponse(target, status_code=303)
    cookie_name = auth.cookie_name(scheme, request.state.base_path)
    response.headers.append("Set-Cookie", set_cookie(cookie_name, cookie, scheme=scheme))
    return response


@router.post("/logout")
async def log_out(request: Request, csrf: CsrfToken = "") -> Response:
    """End the session; a client who has already logged out, perhaps in another tab, is only redirected."""
    client = request.state.client
    if is_same(csrf, client.csrf):
        request.app.state.auth.sessions.end(client.cookie)
    return RedirectResponse("/login", status_code=303)


def _again(target: str, **problem: str) -> Response:
    return RedirectResponse(f"/login?{urlencode({**problem, 'next': target})}", status_code=303)
