"""Context: the components that pages, API, sockets and metrics share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, HTTPException
from fastapi.requests import HTTPConnection  # noqa: TC002  (FastAPI reads it)

if TYPE_CHECKING:
    from edge_agent.alerts.history import AlertHistory, HistoryEntry
    from edge_agent.bridge.client import AgentClient
    from edge_agent.bridge.shared import Shared
    from edge_agent.config.model import Config
    from edge_agent.console.auth import Auth
    from edge_agent.console.inference import Inference
    from edge_agent.console.live import Live
    from edge_agent.console.uploads import Uploads
    from edge_agent.console.worker import Worker


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Components that answer requests. Used by the event loop, except `history`: only functions in `worker` use it."""

    config: Config
    auth: Auth
    agent: AgentClient
    history: AlertHistory
    worker: Worker
    inference: Inference
    live: Live
    newest_alerts: Shared[list[HistoryEntry]]
    uploads: Uploads


async def _context(connection: HTTPConnection) -> Context:
    return cast("Context", connection.app.state.context)


Current = Annotated[Context, Depends(_context)]
"""The context of the application, as an argument of an endpoint."""


def check_camera(context: Context, camera: str) -> None:
    """Check that a camera is configured.

    Raises:
        HTTPException: 404: it is not.
    """
    if camera not in context.config.cameras:
        raise HTTPException(404, f"no such camera; known: {', '.join(context.config.cameras)}")
