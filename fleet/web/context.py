"""The context: what do pages and API take from the app, and how do they read what was asked?"""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003  (FastAPI reads it)
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from typing import Annotated, Any, Literal

import psycopg
from fastapi import Depends, Request
from pydantic import BaseModel, BeforeValidator, Field
from starlette.exceptions import HTTPException

from edge_agent.messages.message import Uuid7
from fleet.web import queries
from fleet.web.users import ROLES, Role

COUNTED_DAYS = 7


def _connection(request: Request) -> Iterator[psycopg.Connection]:
    with request.app.state.pool.connection() as connection:
        yield connection


class AtLeast:
    """Lets only those in who have this role or a higher one; gives the name."""

    def __init__(self, role: Role) -> None:
        """The lowest one."""
        self._role = role

    def __call__(self, request: Request) -> str:
        """Look at who is asking."""
        name, found = request.app.state.auth.person(request.state.visitor)
        if ROLES.index(found) < ROLES.index(self._role):
            raise HTTPException(HTTPStatus.FORBIDDEN, f"this takes the role '{self._role}'; yours is '{found}'")
        return str(name)


Database = Annotated[psycopg.Connection, Depends(_connection)]
Operator = Annotated[str, Depends(AtLeast("operator"))]
Admin = Annotated[str, Depends(AtLeast("admin"))]


Moment = Annotated[datetime | None, BeforeValidator(lambda text: text or None)]
"""A field of a form that is left empty is none."""


class Review(BaseModel):
    """What an alert really shows; empty takes it back."""

    review: Literal["without_mask", "mask_worn_incorrectly", "with_mask", "no_face", ""]


class AlertQuery(BaseModel):
    """Which alerts; empty: all."""

    site: str = ""
    device: str = ""
    label: Literal["without_mask", "mask_worn_incorrectly", ""] = ""
    review: Literal["without_mask", "mask_worn_incorrectly", "with_mask", "no_face", "unreviewed", ""] = ""
    since: Moment = None
    until: Moment = None
    before: Uuid7 | Literal[""] = Field("", description="The last id of the page before")

    def wanted(self) -> queries.AlertFilter:
        """As the database is asked."""
        return queries.AlertFilter(
            site=clean(self.site),
            device=clean(self.device),
            label=self.label,
            review=self.review,
            since=self.since,
            until=self.until,
            before=self.before,
        )


class CountsQuery(BaseModel):
    """Which hours; the last seven days where nothing is said."""

    site: str = ""
    since: Moment = None
    until: Moment = None


def clean(text: str) -> str:
    """PostgreSQL has no place for U+0000, and no name holds it."""
    return text.replace("\0", "")


def or_404(thing: Any) -> Any:
    """Give what was found.

    Raises:
        HTTPException: there is none.
    """
    if thing is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "there is none, or it was kept longer than database.retention_days")
    return thing


def hours(asked: CountsQuery) -> dict[str, Any]:
    """As the database is asked."""
    until = asked.until or datetime.now(timezone.utc)
    return {
        "site": clean(asked.site),
        "since": asked.since or until - timedelta(days=COUNTED_DAYS),
        "until": until,
    }
