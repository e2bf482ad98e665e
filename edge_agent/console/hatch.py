"""The hatch: what passes between the agent's thread and the console's, without either waiting for the other?"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edge_agent.console import Asked
from edge_agent.console.desk import BusyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_agent.console.figures import Figures
    from edge_agent.console.leisure import Leisure
    from edge_agent.console.live import Live
    from edge_agent.domain import Frame, Outcome

WANTED_SECONDS = 3.0
"""So long after the last question the agent goes on telling how it goes: a page asks every second."""
FRESH_SECONDS = 1.2
"""It tells once a second; what is older was told before it was asked."""
PATIENCE_SECONDS = 1.5
LOOK_SECONDS = 0.05
COMMAND_SECONDS = 10.0
"""A snapshot on a slow disk takes one or two; an agent that hangs is ended by the watchdog after thirty."""
MOST_COMMANDS = 10
"""The agent obeys no more at once anyway."""
MOST_ALERTS = 100
"""A viewer takes new alerts several times a second."""


class UnansweredError(Exception):
    """The agent's thread has not answered in time: it hangs, or the machine has far too much to do."""


class Hatch:
    """The console as the agent sees it. The agent's thread calls the first half, the event loop the second.

    Between the two pass references and deques, which change in one step: neither ever waits for a lock.
    """

    def __init__(self, live: Live, figures: Figures, leisure: Leisure) -> None:
        """Frames go to `live`, their figures to `figures`, and to `leisure` how long they took."""
        self._live, self._figures, self._leisure = live, figures, leisure
        self._overview: tuple[float, Mapping[str, Any]] | None = None
        self._asked_at = float("-inf")
        self._commands: deque[Asked] = deque()
        self._numbers = itertools.count(1)
        self._alerts: deque[tuple[int, str]] = deque(maxlen=MOST_ALERTS)
        self.trouble = ""
        """Why nobody can reach the console; empty while it can be reached."""

    def saw(self, frame: Frame, outcome: Outcome) -> None:
        """Take note of a frame that went through the whole path."""
        self._live.saw(frame, outcome)
        self._figures.saw(frame, outcome)
        self._leisure.saw(outcome, at=time.monotonic())

    def looked_away(self, camera: str) -> None:
        """Show nothing of a camera any more: it is paused."""
        self._live.looked_away(camera)

    def recorded(self, alert_id: str) -> None:
        """Take note that this alert is in the history."""
        self._alerts.append((next(self._numbers), alert_id))

    def heard(self) -> Sequence[Asked]:
        """Give the commands that came in since the last call."""
        heard = []
        while self._commands:
            heard.append(self._commands.popleft())
        return heard

    @property
    def wants_overview(self) -> bool:
        """Whether somebody has asked lately how it goes."""
        return time.monotonic() - self._asked_at < WANTED_SECONDS

    def tell(self, overview: Mapping[str, Any]) -> None:
        """Take note of how it goes."""
        self._overview = (time.monotonic(), overview)

    # The event loop's half.

    async def overview(self) -> Mapping[str, Any]:
        """Ask the agent how it goes; what it has just told counts.

        Raises:
            UnansweredError: it does not answer.
        """
        asked_at = self._asked_at = time.monotonic()
        while True:
            told = self._overview
            if told is not None and asked_at - told[0] < FRESH_SECONDS:
                return told[1]
            if time.monotonic() - asked_at > PATIENCE_SECONDS:
                raise UnansweredError("the watching does not answer; see the log, and 'edge-agent doctor'")
            await asyncio.sleep(LOOK_SECONDS)
            self._asked_at = time.monotonic()

    async def command(self, name: str, payload: bytes) -> Mapping[str, Any]:
        """Hand a command to the agent and give its result, as on the topic `.../result`.

        Raises:
            BusyError: too many commands wait.
            UnansweredError: the agent does not answer.
        """
        if len(self._commands) >= MOST_COMMANDS:
            raise BusyError
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Mapping[str, Any]] = loop.create_future()

        def answer(said: Mapping[str, Any]) -> None:
            try:
                loop.call_soon_threadsafe(_answer, result, said)
            except RuntimeError:
                # The console has closed meanwhile: nobody waits for it.
                return

        asked = Asked(name, payload, answer)
        self._commands.append(asked)
        try:
            return await asyncio.wait_for(result, COMMAND_SECONDS)
        except asyncio.TimeoutError:
            raise UnansweredError("the watching does not take commands; see the log") from None
        finally:
            # One that nobody waits for any more must not be obeyed a minute later.
            with suppress(ValueError, IndexError):
                self._commands.remove(asked)

    def alerts_since(self, number: int) -> list[tuple[int, str]]:
        """The alerts recorded after this number, each with its own: begin with `newest_alert`."""
        return [alert for alert in tuple(self._alerts) if alert[0] > number]

    @property
    def newest_alert(self) -> int:
        """The number of the newest alert, 0 where there is none."""
        return self._alerts[-1][0] if self._alerts else 0


def _answer(result: asyncio.Future[Mapping[str, Any]], said: Mapping[str, Any]) -> None:
    if not result.done():
        result.set_result(said)
