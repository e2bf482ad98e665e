"""The rules: which verdicts is a person told of?

In: verdicts. Out: at most one alert for each track and violation. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.domain import Alert, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from edge_agent.config import RulesConfig


class Rules:
    """Remembers who has been alerted. One per camera, owned by one thread."""

    def __init__(self, config: RulesConfig) -> None:
        """Start with nobody alerted."""
        self._config = config
        self._alerted: set[int] = set()

    def judge(self, verdicts: Sequence[Verdict], *, following: AbstractSet[int], when: datetime) -> list[Alert]:
        """Alert each violation once; a person who put the mask on and takes it off again is alerted again.

        `following` names the tracks that still live; the others are forgotten.
        """
        self._alerted &= following
        alerts = []
        for verdict in verdicts:
            if verdict.decision == "compliant":
                self._alerted.discard(verdict.track.id)
            elif self._is_news(verdict):
                self._alerted.add(verdict.track.id)
                alerts.append(Alert(verdict, when))
        return alerts

    def _is_news(self, verdict: Verdict) -> bool:
        return (
            verdict.decision == "violation"
            and verdict.track.id not in self._alerted
            and verdict.best.track.face.box.shorter_side_px >= self._config.smallest_face_px
        )
