"""Finding: result of one check of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check."""

    what: str
    state: Literal["ok", "warning", "failed"]
    text: str
