"""The parts: what are pages, API, sockets and metrics made of?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edge_agent.alerts.history import AlertHistory
    from edge_agent.config import ConsoleConfig
    from edge_agent.console.access import Access
    from edge_agent.console.desk import Desk
    from edge_agent.console.eyes import Eyes
    from edge_agent.console.figures import Figures
    from edge_agent.console.hatch import Hatch
    from edge_agent.console.live import Live
    from edge_agent.console.uploads import Uploads
    from edge_agent.console.viewers import Viewers


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What answers requests. Used by the event loop; `history` by what is done at the `desk` alone."""

    config: ConsoleConfig
    device: str
    version: str
    cameras: tuple[str, ...]
    access: Access
    history: AlertHistory
    crops_folder: Path
    publishes_crops: bool
    """Whether the crop of an alert is sent with it."""
    desk: Desk
    eyes: Eyes
    figures: Figures
    hatch: Hatch
    live: Live
    uploads: Uploads
    viewers: Viewers

    async def overview(self) -> Mapping[str, Any]:
        """How it goes, as `Reports.overview` says it.

        Raises:
            UnansweredError: the watching does not answer.
        """
        return await self.hatch.overview()

    async def command(self, name: str, payload: bytes) -> Mapping[str, Any]:
        """Have a command obeyed and give its result, as over MQTT.

        Raises:
            BusyError: too many commands wait.
            UnansweredError: the watching does not answer.
        """
        return await self.hatch.command(name, payload)
