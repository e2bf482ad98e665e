"""The parts: what are pages, API, sockets and metrics made of?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edge_agent.config import ConsoleConfig
    from edge_agent.console.access import Access
    from edge_agent.console.desk import Desk
    from edge_agent.console.eyes import Eyes
    from edge_agent.console.figures import Figures
    from edge_agent.console.hatch import Hatch
    from edge_agent.console.live import Live
    from edge_agent.console.uploads import Uploads
    from edge_agent.console.viewers import Viewers
    from edge_agent.evidence.album import Album


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What answers requests. Used by the event loop; `album` by what is done at the `desk` alone."""

    config: ConsoleConfig
    device: str
    version: str
    cameras: tuple[str, ...]
    access: Access
    album: Album
    crops_folder: Path
    is_owed: Callable[[str], bool]
    """Whether the picture of an alert is still to be sent to the broker; asked at the desk."""
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
