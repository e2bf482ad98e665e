"""Problems: describes errors, and responses that are not JSON, for OpenAPI documents."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


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
