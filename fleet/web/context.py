"""Context: dependencies and query parameters shared by pages and API."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003  (FastAPI reads it)
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal

import psycopg
from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from edge_agent.console.parameters import NOT_BEFORE_SINCE, Parameters
from fleet.web.queries import Name, UtcMoment  # noqa: TC001  (pydantic reads it)
from fleet.web.users import ROLES, Role, current_role, is_current

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from edge_agent.console.sessions import User

COUNTED_DAYS = 7
FIRST_MOMENT = datetime.min.replace(tzinfo=timezone.utc)


def _connection(request: Request) -> Iterator[psycopg.Connection]:
    with request.app.state.pool.connection() as connection:
        yield connection


Database = Annotated[psycopg.Connection, Depends(_connection)]


async def check_session(request: Request) -> None:
    """End the session of a user who has another password since, or is gone, and have them log in again.

    Raises:
        HTTPException: 303 or 401.
    """
    auth, client = request.app.state.auth, request.state.client
    if client.kind != "user":
        return
    if not await run_in_threadpool(_is_current, request.app.state.pool, client.user):
        auth.sessions.end(client.cookie)
        stranger = replace(client, kind="unauthenticated")
        auth.check_login(stranger, method=request.method, path=request.scope["path"], query=request.url.query)


def _is_current(pool: ConnectionPool, user: User) -> bool:
    with pool.connection() as connection:
        return is_current(connection, user)


class AtLeast:
    """Dependency that requires this role or a higher one; returns the user name."""

    def __init__(self, role: Role) -> None:
        """Set the lowest role allowed."""
        self._role = role

    def __call__(self, request: Request, connection: Database) -> str:
        """Check the role that the user has now, which may have changed during the session."""
        name = request.state.client.user.name
        role = current_role(connection, name)
        if ROLES.index(role) < ROLES.index(self._role):
            raise HTTPException(HTTPStatus.FORBIDDEN, f"this takes the role '{self._role}'; yours is '{role}'")
        return str(name)


Operator = Annotated[str, Depends(AtLeast("operator"))]
Admin = Annotated[str, Depends(AtLeast("admin"))]


class Review(BaseModel):
    """What an alert really shows; empty removes the review."""

    review: Literal["without_mask", "mask_worn_incorrectly", "with_mask", "no_face", ""]


class CountsQuery(Parameters):
    """Hours to show; by default the last seven days."""

    site: Name = ""
    since: UtcMoment = None
    until: Annotated[UtcMoment, NOT_BEFORE_SINCE] = None


def or_404(thing: Any) -> Any:
    """Return the thing, unless it is None.

    Raises:
        HTTPException: it is None.
    """
    if thing is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "not found; data older than database.retention_days is deleted")
    return thing


def hours(query: CountsQuery) -> dict[str, Any]:
    """Convert into parameters of the database."""
    until = query.until or datetime.now(timezone.utc)
    # At the beginning of the calendar there are no earlier days.
    since = query.since or until - min(timedelta(days=COUNTED_DAYS), until - FIRST_MOMENT)
    return {"site": query.site, "since": since, "until": until}
