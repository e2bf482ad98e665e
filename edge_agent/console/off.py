"""No console: what does an agent do that nobody looks at? What it does anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.console import Asked
    from edge_agent.domain import Frame, Outcome


class NoConsole:
    """Shows nothing, hears nothing, wants nothing."""

    wants_overview = False
    trouble = ""

    def saw(self, _frame: Frame, _outcome: Outcome) -> None:
        """Show nothing."""

    def looked_away(self, _camera: str) -> None:
        """Show nothing."""

    def recorded(self, _alert_id: str) -> None:
        """Show nothing."""

    def heard(self) -> tuple[Asked, ...]:
        """Hear nothing."""
        return ()

    def tell(self, _overview: Mapping[str, Any]) -> None:
        """Tell nobody."""
