"""The console: what may people and programs see of a running agent, and ask of it, over HTTP?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge_agent.domain import Frame, Outcome


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that somebody gave over HTTP: its name, its payload as over MQTT, and whom to give the result to.

    `answer` is called once, by the agent's thread, and returns at once.
    """

    name: str
    payload: bytes
    answer: Callable[[Mapping[str, Any]], None]


class Console(Protocol):
    """What the agent tells whoever looks on. Called by the agent's thread: every call returns at once."""

    def saw(self, frame: Frame, outcome: Outcome) -> None:
        """Take note of a frame that went through the whole path; nobody writes into it."""
        ...

    def looked_away(self, camera: str) -> None:
        """Show nothing of a camera any more: it is paused."""
        ...

    def recorded(self, alert_id: str) -> None:
        """Take note that this alert is in the album."""
        ...

    def heard(self) -> Sequence[Asked]:
        """Give the commands that came in since the last call."""
        ...

    @property
    def wants_overview(self) -> bool:
        """Whether somebody wants to know how it goes."""
        ...

    def tell(self, overview: Mapping[str, Any]) -> None:
        """Take note of how it goes: what `Reports.overview` gives, which changes no more."""
        ...
