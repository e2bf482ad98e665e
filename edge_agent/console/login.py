"""Login: starts and ends the session of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from edge_agent.console.auth import set_cookie
from edge_agent.console.sessions import is_same

if TYPE_CHECKING:
    from starlette.requests import Request

    from edge_agent.console.auth import Auth, Visitor

LARGEST_FORM_BYTES = 8192
MOST_FIELDS = 20
HOME = "/"


def routes(auth: Auth) -> list[Route]:
    """The routes that receive the login and logout forms."""

    async def log_in(request: Request) -> Response:
        form = await _form(request)
        visitor: Visitor = request.state.visitor
        wanted = own_page(form.get("next", ""))
        if wait_seconds := auth.wait_seconds(visitor):
            return _again(wanted, problem="wait", seconds=str(wait_seconds))
        if not is_same(form.get("csrf", ""), visitor.csrf):
            return _again(wanted, problem="expired")
        cookie = auth.log_in(visitor, form.get("password", ""))
        if not cookie:
            return _again(wanted, problem="wrong")
        scheme = request.scope["scheme"]
        name = auth.cookie_name(scheme, request.state.base_path)
        answer = RedirectResponse(wanted, status_code=303)
        answer.headers.append("Set-Cookie", set_cookie(name, cookie, scheme=scheme))
        return answer

    async def log_out(request: Request) -> Response:
        form = await _form(request)
        visitor: Visitor = request.state.visitor
        # A visitor who has already logged out, perhaps in another tab, is only redirected.
        if is_same(form.get("csrf", ""), visitor.csrf):
            auth.sessions.end(visitor.cookie)
        return RedirectResponse("/login", status_code=303)

    return [Route("/login", log_in, methods=["POST"]), Route("/logout", log_out, methods=["POST"])]


async def _form(request: Request) -> dict[str, str]:
    """Read a form; one that is too large or has too many fields counts as empty."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM_BYTES:
            return {}
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def own_page(path: str) -> str:
    """The target after login: a path of this site, to avoid an open redirect."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\", "/log"))
    return path if is_ours and path.isprintable() else HOME


def _again(wanted: str, **problem: str) -> Response:
    return RedirectResponse(f"/login?{urlencode({**problem, 'next': wanted})}", status_code=303)
