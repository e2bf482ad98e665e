"""Voting: what do the readings of a track agree on?

In: the readings of one frame. Out: one verdict for each, UNDECIDED until enough of them agree. Pure.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from edge_agent.domain import Decision, Label, Reading, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from edge_agent.config import VotingConfig


class Voting:
    """Remembers the last readings of each track. One per camera, owned by one thread."""

    def __init__(self, config: VotingConfig, *, violations: Sequence[Label]) -> None:
        """Labels in `violations` speak for a violation, the others against it."""
        self._config = config
        self._violations = frozenset(violations)
        self._ballots: dict[int, deque[Reading]] = defaultdict(lambda: deque(maxlen=config.window))

    def weigh(self, readings: Sequence[Reading], *, following: AbstractSet[int]) -> list[Verdict]:
        """Add readings to their tracks and say what each of these tracks is by now.

        `following` names the tracks that still live; the readings of all others are forgotten.
        """
        for gone in self._ballots.keys() - following:
            del self._ballots[gone]
        return [self._verdict(reading) for reading in readings]

    def _verdict(self, reading: Reading) -> Verdict:
        ballot = self._ballots[reading.track.id]
        ballot.append(reading)
        weights = _label_weights(ballot)
        against = sum(weight for label, weight in weights.items() if label in self._violations)
        share = against / sum(weights.values())
        decision: Decision = "undecided"
        if len(ballot) >= self._config.readings:
            if share >= self._config.agreement_fraction:
                decision = "violation"
            elif 1 - share >= self._config.agreement_fraction:
                decision = "compliant"
        is_against = decision == "violation" or (decision == "undecided" and share >= 0.5)  # noqa: PLR2004  (the larger side)
        side = [label for label in weights if (label in self._violations) == is_against]
        label = max(side, key=lambda one: weights[one])
        spoke = [one for one in ballot if one.label == label]
        return Verdict(
            track=reading.track,
            decision=decision,
            label=label,
            score=sum(one.score for one in spoke) / len(spoke),
            readings=len(ballot),
            best=max(spoke, key=_clarity),
        )


def _label_weights(ballot: Sequence[Reading]) -> dict[Label, float]:
    """How much of the ballot each label got: a sure reading counts for more than a guess."""
    weights: dict[Label, float] = defaultdict(float)
    for reading in ballot:
        weights[reading.label] += reading.score
    return weights


def _clarity(reading: Reading) -> float:
    """How well a reading shows a person what happened: a large face that finder and reader were sure of."""
    face = reading.track.face
    return face.box.shorter_side_px * face.score * reading.score
