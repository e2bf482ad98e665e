"""Parameters: what queries of the APIs, of console and fleet, accept."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema

from edge_agent.alerts.people import parse_day

_MOMENT = r"^(\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?)?$"


class Parameters(BaseModel):
    """The parameters of a query. Unknown ones are an error: a misspelt filter would match everything."""

    model_config = ConfigDict(extra="forbid")


def _written_out(value: object) -> object:
    """Refuse a number, which would count as seconds since 1970; an empty form field is None."""
    if isinstance(value, str) and not re.fullmatch(_MOMENT, value, re.ASCII):
        raise ValueError("write a time such as 2026-03-01T08:00Z")
    return value or None


def _in_range(when: datetime | None) -> datetime | None:
    if when is None:
        return None
    parse_day(when.date().isoformat())
    return when.astimezone()


def _not_before_since(until: datetime | None, fields: ValidationInfo) -> datetime | None:
    since = fields.data.get("since")
    if since and until and until < since:
        raise ValueError("is earlier than since")
    return until


def _day(text: str) -> str:
    return parse_day(text).isoformat() if text else ""


Moment = Annotated[
    datetime | None, BeforeValidator(_written_out), WithJsonSchema({"type": "string", "pattern": _MOMENT})
]
"""A time, naive if it names no zone; empty: None."""
LocalMoment = Annotated[Moment, AfterValidator(_in_range)]
"""A time, aware; without a zone it is in that of the device."""
NOT_BEFORE_SINCE = AfterValidator(_not_before_since)
"""Of the field `until` that follows a field `since`; a range may be empty, as the rest of one read page by page."""
Day = Annotated[str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$"), AfterValidator(_day)]
"""YYYY-MM-DD, or empty."""
