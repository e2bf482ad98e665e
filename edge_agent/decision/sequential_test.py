"""Sequential test: accumulates the readings of a track into a verdict.

In: the readings of one frame. Out: one verdict for each, UNDECIDED until the test decides. Pure: time comes in
with the readings. docs/deciding.md describes how evidence is added, decays and is decided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from edge_agent.domain import Decision, Label, Reading, Track, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from edge_agent.config.model import DecisionConfig

MAX_LLR = 4.0
"""Cap on the evidence of one reading: odds of 55 to 1. The shipped classifier errs on 4 % of the validation faces (most
of about 22 px) and on 0.1 % of the training faces of 24 px and more, yet claims odds of 300 to 1 for half of either."""
SHARE_OF_ONE = 0.75
"""Cap on one reading as a fraction of the evidence for a violation, whatever error rates are configured."""
CORRELATION_SECONDS = 0.3
"""Correlation time of readings of one person: within stretches of the three reference videos that show one state, the
autocorrelation of their ratios is 0.48 after 0.05 s, 0.37 after this time, 0.2 after twice as long."""
HELD_LLR = 2.0
"""Evidence kept beyond the threshold of a violation: a hand over the lips is classified as a mask, and must last for
1.5 s to make a person compliant."""
MIN_WEIGHT = 1e-6
MIN_SHARE = 1e-9
SLACK_SECONDS = 0.001
"""Tolerance for floating-point times: 0.7 s - 0.2 s is 0.49999999999999994 s."""


class SequentialTest:
    """Wald's sequential test of each track: sums log-likelihood ratios. One per camera, owned by one thread."""

    def __init__(
        self,
        config: DecisionConfig,
        *,
        violations: Sequence[Label],
        thresholds: Mapping[Label, float] = MappingProxyType({}),
    ) -> None:
        """Labels in `violations` are evidence for a violation, the others against it.

        `thresholds` are those of the classifier's card; the default is 1 / number of labels.
        """
        self._config = config
        self._thresholds = thresholds
        self._violations = frozenset(violations)
        # Thresholds for both error rates: Wald, Sequential Tests of Statistical Hypotheses, 1945.
        false_alarms, misses = config.false_positive_rate, config.false_negative_rate
        self.violation_llr = math.log((1 - misses) / false_alarms)
        """A track with at least this evidence is in violation."""
        self.compliant_llr = math.log(misses / (1 - false_alarms))
        """A track with at most this evidence, which is negative, is compliant."""
        self._max_llr = min(MAX_LLR, SHARE_OF_ONE * self.violation_llr)
        self._states: dict[int, _TrackState] = {}

    def wants_reading(self, track: Track, *, at: float) -> bool:
        """Whether to classify this face: in every frame until it is decided, then every `recheck_seconds`.

        A reading that contradicts the verdict requests more at once, until the evidence has recovered: otherwise that
        reading, which represents all the time since the last, would outweigh those that follow.
        """
        state = self._states.get(track.id)
        if state is None or state.is_in_doubt:
            return True
        return at - state.read_at >= self._config.recheck_seconds - SLACK_SECONDS

    def update(self, readings: Sequence[Reading], *, following: AbstractSet[int]) -> list[Verdict]:
        """Add readings to their tracks and return a verdict for each.

        `following` are the tracks not yet lost; the state of all others is dropped.
        """
        for gone in self._states.keys() - following:
            del self._states[gone]
        return [self._verdict(reading) for reading in readings]

    def llr(self, reading: Reading) -> float:
        """The log-likelihood ratio of one reading alone; positive is evidence for a violation.

        The classifier's prior is removed: scores equal to the thresholds of its card give zero.
        """
        even = 1.0 / len(reading.scores)
        scores, thresholds = [MIN_SHARE, MIN_SHARE], [MIN_SHARE, MIN_SHARE]
        for label, score in reading.scores.items():
            scores[label in self._violations] += score
            thresholds[label in self._violations] += self._thresholds.get(label, even)
        llr = math.log(scores[True] / scores[False] * thresholds[False] / thresholds[True])
        # If one side has no labels, every reading is full evidence for the other.
        if MIN_SHARE in thresholds:
            llr = math.copysign(self._max_llr, thresholds[True] - thresholds[False])
        return min(max(llr, -self._max_llr), self._max_llr)

    def _verdict(self, reading: Reading) -> Verdict:
        state = self._states.setdefault(reading.track.id, _TrackState(reading.taken_at))
        llr = self.llr(reading)
        weight = reading.quality * state.independent_fraction(reading.taken_at)
        faded = state.llr * math.exp(-(reading.taken_at - state.read_at) / self._config.decay_seconds)
        state.llr = min(max(faded + weight * llr, self.compliant_llr), self.violation_llr + HELD_LLR)
        state.read_at = reading.taken_at
        against = llr >= 0
        side = [label for label in reading.scores if (label in self._violations) == against]
        state.side(against=against).add(reading, labels=side)
        self._decide(state)
        return _verdict(state, reading.track)

    def _decide(self, state: _TrackState) -> None:
        """Update the decision, which holds until the evidence reaches the opposite threshold."""
        if state.llr >= self.violation_llr:
            state.decision = "violation"
            # So that a mask put on later is scored by its own readings only.
            state.compliant = _Side()
        elif state.llr <= self.compliant_llr:
            state.decision = "compliant"
            state.violation = _Side()
        state.is_in_doubt = self.compliant_llr < state.llr < self.violation_llr


@dataclass(slots=True)
class _Side:
    """The readings for one side, violation or compliant; of its labels alone, for each reading has a megabyte."""

    readings: int = 0
    weight: float = 0.0
    scores: dict[Label, float] = field(default_factory=dict)
    """Sum of the weighted scores of each label."""
    best: dict[Label, Reading] = field(default_factory=dict)
    """The clearest reading of each label."""

    def add(self, reading: Reading, *, labels: Iterable[Label]) -> None:
        # Label and score are weighted means, which must be defined even if every reading has quality zero.
        weight = max(reading.quality, MIN_WEIGHT)
        self.readings += 1
        self.weight += weight
        for label in labels:
            self.scores[label] = self.scores.get(label, 0.0) + weight * reading.scores[label]
            before = self.best.get(label)
            if before is None or _clarity(reading, label) > _clarity(before, label):
                self.best[label] = reading


@dataclass(slots=True)
class _TrackState:
    """State of one track."""

    read_at: float
    llr: float = 0.0
    decision: Decision = "undecided"
    is_in_doubt: bool = True
    """Whether the evidence is between the two thresholds."""
    violation: _Side = field(default_factory=_Side)
    compliant: _Side = field(default_factory=_Side)

    def side(self, *, against: bool) -> _Side:
        return self.violation if against else self.compliant

    def independent_fraction(self, at: float) -> float:
        """The independent fraction of a reading, 0..1.

        If correlation falls as exp(-t / T), each measurement after the first is worth tanh(t / 2T) of an independent
        one. At high frame rates this approaches 1 / 2T independent readings a second.
        """
        if not self.violation.readings and not self.compliant.readings:
            return 1.0
        return math.tanh((at - self.read_at) / (2 * CORRELATION_SECONDS))


def _verdict(state: _TrackState, track: Track) -> Verdict:
    against = state.decision == "violation" or (state.decision == "undecided" and state.llr >= 0)
    if not state.side(against=against).readings:
        against = not against
    side = state.side(against=against)
    # The label comes from the deciding side, even if none of its labels is the likeliest alone.
    label = max(side.scores, key=side.scores.__getitem__)
    return Verdict(
        track=track,
        decision=state.decision,
        label=label,
        score=min(side.scores[label] / side.weight, 1.0),
        readings=side.readings,
        llr=state.llr,
        best=side.best[label],
    )


def _clarity(reading: Reading, label: Label) -> float:
    """How clearly a reading shows a label to a human: large, sharp, complete face and a high score."""
    return reading.quality * math.sqrt(reading.track.face.box.shorter_side_px) * reading.scores[label]
