"""Context: dependencies and query parameters shared by pages and API."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003  (FastAPI reads it)
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from typing import Annotated, Any, Literal

import psycopg
from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from fleet.web.queries import Moment, clean
from fleet.web.users import ROLES, Role

COUNTED_DAYS = 7


def _connection(request: Request) -> Iterator[psycopg.Connection]:
    with request.app.state.pool.connection() as connection:
        yield connection


class AtLeast:
    """Dependency that requires this role or a higher one; returns the user name."""

    def __init__(self, role: Role) -> None:
        """Set the lowest role allowed."""
        self._role = role

    def __call__(self, request: Request) -> str:
        """Check the visitor's role."""
        name, found = request.app.state.auth.person(request.state.visitor)
        if ROLES.index(found) < ROLES.index(self._role):
            raise HTTPException(HTTPStatus.FORBIDDEN, f"this takes the role '{self._role}'; yours is '{found}'")
        return str(name)


Database = Annotated[psycopg.Connection, Depends(_connection)]
Operator = Annotated[str, Depends(AtLeast("operator"))]
Admin = Annotated[str, Depends(AtLeast("admin"))]


class Review(BaseModel):
    """What an alert really shows; empty removes the review."""

    review: Literal["without_mask", "mask_worn_incorrectly", "with_mask", "no_face", ""]


class CountsQuery(BaseModel):
    """Hours to show; by default the last seven days."""

    site: str = ""
    since: Moment = None
    until: Moment = None


def or_404(thing: Any) -> Any:
    """Return the thing, unless it is None.

    Raises:
        HTTPException: it is None.
    """
    if thing is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "not found; data older than database.retention_days is deleted")
    return thing


def hours(asked: CountsQuery) -> dict[str, Any]:
    """Convert into parameters of the database."""
    until = asked.until or datetime.now(timezone.utc)
    return {
        "site": clean(asked.site),
        "since": asked.since or until - timedelta(days=COUNTED_DAYS),
        "until": until,
    }
