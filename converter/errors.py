"""Errors that end a workstation command, each with its exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Sequence


class AccuracyError(AgentError):
    """A model is too inaccurate or has its labels swapped; do not install it."""

    exit_code = 3


def check_passed(objections: Sequence[str], *, title: str = "") -> None:
    """Check that an accuracy check has no objections; `title` is that of the test data.

    Raises:
        AccuracyError: it has; they are listed.
    """
    if objections:
        heading = f"{title}: accuracy check failed" if title else "accuracy check failed"
        raise AccuracyError("\n  ".join((heading, *objections)))
