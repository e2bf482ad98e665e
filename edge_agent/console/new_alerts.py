"""New alerts: the newest alerts for open pages.

The history is read at most once a second, for all viewers together, and not at all without viewers.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge_agent.errors import AgentError

if TYPE_CHECKING:
    from edge_agent.alerts.history import AlertHistory, HistoryEntry
    from edge_agent.console.worker import Worker

INTERVAL_SECONDS = 1.0
MAX_ALERTS = 12
"""Length of the strip on the live page."""


class NewAlerts:
    """The newest alerts. Owned by the event loop."""

    def __init__(self, history: AlertHistory, worker: Worker) -> None:
        """`worker` reads the history."""
        self._history, self._worker = history, worker
        self._newest: list[HistoryEntry] = []
        self._read_at = float("-inf")

    async def newest(self) -> list[HistoryEntry]:
        """The newest alerts, newest first; none while the history cannot be read.

        Raises:
            BusyError: the worker's queue is full.
        """
        if time.monotonic() - self._read_at >= INTERVAL_SECONDS:
            self._read_at = time.monotonic()
            try:
                self._newest = await self._worker.do(self._history.find, limit=MAX_ALERTS)
            except AgentError:
                self._newest = []
        return self._newest
