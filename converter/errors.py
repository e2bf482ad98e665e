"""Errors that end a workstation command, each with its exit status."""

from __future__ import annotations

from edge_agent.errors import AgentError


class AccuracyError(AgentError):
    """A model is too inaccurate or has its labels swapped; do not install it."""

    exit_code = 3
