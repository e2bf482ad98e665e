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
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from edge_agent.config.model import DecisionConfig

MAX_LLR = 4.0
"""What one reading can say: odds of 55 to 1. The shipped classifier errs on 4 % of the validation faces (most of about
22 px) and on 0.1 % of the training faces of 24 px and more, yet claims odds of 300 to 1 for half of either."""
SHARE_OF_ONE = 0.75
"""Of the evidence for a violation: more than this no single reading gives, however the error rates are set."""
CORRELATION_SECONDS = 0.3
"""Readings of one person say little new before: within stretches of the three reference videos that show one thing,
the autocorrelation of their ratios is 0.48 after 0.05 s, 0.37 after this time, 0.2 after twice as long."""
HELD_LLR = 2.0
"""Evidence beyond the threshold of a violation that is kept: a hand over the lips is read as a mask, and only
after 1.5 s of it a person counts as masked."""
LOWEST_WEIGHT = 1e-6
LEAST_SHARE = 1e-9
SLACK_SECONDS = 0.001
"""Times are binary fractions: from 0.2 s to 0.7 s it is 0.49999999999999994 s."""


class SequentialTest:
    """Wald's sequential test of each track: log-likelihood ratios add up. One per camera, owned by one thread."""

    def __init__(
        self,
        config: DecisionConfig,
        *,
        violations: Sequence[Label],
        thresholds: Mapping[Label, float] = MappingProxyType({}),
    ) -> None:
        """Labels in `violations` speak for a violation, the others against it.

        `thresholds` are those of the classifier's card; a label without one has an even share.
        """
        self._config = config
        self._thresholds = thresholds
        self._violations = frozenset(violations)
        # The thresholds that keep both error rates: Wald, Sequential Tests of Statistical Hypotheses, 1945.
        false_alarms, misses = config.false_positive_rate, config.false_negative_rate
        self.violation_llr = math.log((1 - misses) / false_alarms)
        """Evidence from which on a track is a violation."""
        self.compliant_llr = math.log(misses / (1 - false_alarms))
        """Evidence, negative, down from which a track is compliant."""
        self._max_llr = min(MAX_LLR, SHARE_OF_ONE * self.violation_llr)
        self._ledgers: dict[int, _Ledger] = {}

    def wants_reading(self, track: Track, *, at: float) -> bool:
        """Whether this face is to be read: in every frame until it is decided, then now and then.

        A reading that speaks against the verdict asks for more at once, until the evidence is back where it was:
        otherwise that one, which stands for all the time since the last, would weigh more than those that follow.
        """
        ledger = self._ledgers.get(track.id)
        if ledger is None or ledger.is_in_doubt:
            return True
        return at - ledger.read_at >= self._config.recheck_seconds - SLACK_SECONDS

    def update(self, readings: Sequence[Reading], *, following: AbstractSet[int]) -> list[Verdict]:
        """Add readings to their tracks and say what each of these tracks is by now.

        `following` names the tracks that still live; what was read of all others is forgotten.
        """
        for gone in self._ledgers.keys() - following:
            del self._ledgers[gone]
        return [self._verdict(reading) for reading in readings]

    def llr(self, reading: Reading) -> float:
        """The log-likelihood ratio of one reading alone; positive speaks for a violation.

        The classifier's prior is taken out: by the thresholds of its card, scores as high as these say nothing.
        """
        even = 1.0 / len(reading.scores)
        scores, thresholds = [LEAST_SHARE, LEAST_SHARE], [LEAST_SHARE, LEAST_SHARE]
        for label, score in reading.scores.items():
            scores[label in self._violations] += score
            thresholds[label in self._violations] += self._thresholds.get(label, even)
        llr = math.log(scores[True] / scores[False] * thresholds[False] / thresholds[True])
        # Where one side has no label at all, the other has nothing to speak against.
        if LEAST_SHARE in thresholds:
            llr = math.copysign(self._max_llr, thresholds[True] - thresholds[False])
        return min(max(llr, -self._max_llr), self._max_llr)

    def _verdict(self, reading: Reading) -> Verdict:
        ledger = self._ledgers.setdefault(reading.track.id, _Ledger(reading.taken_at))
        llr = self.llr(reading)
        weight = reading.quality * ledger.novelty(reading.taken_at)
        faded = ledger.llr * math.exp(-(reading.taken_at - ledger.read_at) / self._config.decay_seconds)
        ledger.llr = min(max(faded + weight * llr, self.compliant_llr), self.violation_llr + HELD_LLR)
        ledger.read_at = reading.taken_at
        ledger.side(against=llr >= 0).add(reading)
        self._decide(ledger)
        return _verdict(ledger, reading.track, self._violations)

    def _decide(self, ledger: _Ledger) -> None:
        """Decided is decided until the evidence has come all the way to the other threshold."""
        if ledger.llr >= self.violation_llr:
            ledger.decision = "violation"
            # A mask put on later is to be shown and counted by itself.
            ledger.compliant = _Side()
        elif ledger.llr <= self.compliant_llr:
            ledger.decision = "compliant"
            ledger.violation = _Side()
        ledger.is_in_doubt = self.compliant_llr < ledger.llr < self.violation_llr


@dataclass(slots=True)
class _Side:
    """The readings that speak for one side."""

    readings: int = 0
    weight: float = 0.0
    scores: dict[Label, float] = field(default_factory=dict)
    """Sum of the weighted scores of each label."""
    best: dict[Label, Reading] = field(default_factory=dict)
    """For each label the reading that shows it most clearly."""

    def add(self, reading: Reading) -> None:
        # Label and score are means over what was seen, and a reading without any quality is no reason for none.
        weight = max(reading.quality, LOWEST_WEIGHT)
        self.readings += 1
        self.weight += weight
        for label, score in reading.scores.items():
            self.scores[label] = self.scores.get(label, 0.0) + weight * score
            before = self.best.get(label)
            if before is None or _clarity(reading, label) > _clarity(before, label):
                self.best[label] = reading


@dataclass(slots=True)
class _Ledger:
    """What is known of one track."""

    read_at: float
    llr: float = 0.0
    decision: Decision = "undecided"
    is_in_doubt: bool = True
    """Whether the evidence has left the threshold at which the decision fell."""
    violation: _Side = field(default_factory=_Side)
    compliant: _Side = field(default_factory=_Side)

    def side(self, *, against: bool) -> _Side:
        return self.violation if against else self.compliant

    def novelty(self, at: float) -> float:
        """How much of a reading is new, 0..1.

        Of measurements whose correlation falls as exp(-t / T), each after the first is worth tanh(t / 2T) of one
        that stands alone. Many frames a second give 1 / 2T readings' worth a second, however many they are.
        """
        if not self.violation.readings and not self.compliant.readings:
            return 1.0
        return math.tanh((at - self.read_at) / (2 * CORRELATION_SECONDS))


def _verdict(ledger: _Ledger, track: Track, violations: AbstractSet[Label]) -> Verdict:
    against = ledger.decision == "violation" or (ledger.decision == "undecided" and ledger.llr >= 0)
    if not ledger.side(against=against).readings:
        against = not against
    side = ledger.side(against=against)
    # What speaks against a person is a label of that kind, even where none of them alone is the likeliest.
    label = max((one for one in side.scores if (one in violations) == against), key=lambda one: side.scores[one])
    return Verdict(
        track=track,
        decision=ledger.decision,
        label=label,
        score=min(side.scores[label] / side.weight, 1.0),
        readings=side.readings,
        llr=ledger.llr,
        best=side.best[label],
    )


def _clarity(reading: Reading, label: Label) -> float:
    """How well a reading shows a person that a label is true: a large, sharp, whole face that was surely read."""
    return reading.quality * math.sqrt(reading.track.face.box.shorter_side_px) * reading.scores[label]
