"""Site: what the web applications of a device and of a fleet have in common: errors, login, templates, static files."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from edge_agent.console import login
from edge_agent.console.responses import ERROR_HANDLERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from edge_agent.console.auth import Auth

HERE = Path(__file__).parent
STATIC = HERE / "static"


def open_site(
    title: str,
    *,
    description: str,
    auth: Auth,
    values: Callable[[Request], Mapping[str, Any]],
    filters: Mapping[str, Callable[..., str]],
    handlers: Mapping[Any, Any],
    folder: Path | None = None,
) -> FastAPI:
    """An application with login and static files, for the routers of its pages and API.

    Templates get `values`, and are looked for in `folder/templates` first; `handlers` respond to exceptions.
    """
    installed = version("maskwatch")

    def everywhere(request: Request) -> dict[str, Any]:
        client = request.state.client
        return {
            "base": request.state.base_path,
            "csrf": client.csrf,
            "is_logged_in": client.kind == "user",
            "version": installed,
            **values(request),
        }

    folders = [found / "templates" for found in (folder, HERE) if found]
    templates = Jinja2Templates(folders, context_processors=[everywhere])
    templates.env.filters.update(filters)
    app = FastAPI(
        title=title,
        version=installed,
        description=f"{description} Errors are JSON with one sentence in `detail`.",
        docs_url=None,
        redoc_url=None,
        # A redirect would lose the request body.
        redirect_slashes=False,
        exception_handlers={**ERROR_HANDLERS, **handlers},
    )
    app.state.auth, app.state.templates = auth, templates
    app.include_router(login.router)
    app.mount("/static", StaticFiles(directory=STATIC))
    # Browsers request /favicon.ico even if the page names another icon.
    app.router.routes.append(Route("/favicon.ico", lambda _request: FileResponse(STATIC / "favicon.ico")))
    return app
