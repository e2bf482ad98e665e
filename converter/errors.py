"""Errors that end a workstation command, each with its exit status."""

from __future__ import annotations

from edge_agent.errors import AgentError


class GateError(AgentError):
    """A model is worse than it should be, or reads its labels in the wrong order; do not install it."""

    exit_code = 3
