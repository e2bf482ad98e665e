"""Trials: determines preprocessing and label order from labelled pictures.

Every common preprocessing is tried on labelled pictures and ranked by its log loss at the best temperature, so that
neither overconfidence nor underconfidence is an advantage. Two ways differ if the mean of their per-picture loss
differences exceeds the margin.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from converter.masks.metrics import Share
from converter.masks.outputs import IGNORE, labels_among, sharing_out
from converter.progress import with_progress
from edge_agent.domain import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from converter.masks.networks import Network
    from converter.masks.outputs import Output
    from converter.masks.preprocessing import Preprocessing
    from edge_agent.domain import Label

FIRST_PICTURES, MOST_PICTURES = 40, 160
"""All ways are tried on the first pictures, the remaining ones on all: seconds for the largest models."""
MARGIN_ERRORS = 2.0
"""Two ways differ if their mean difference is this many standard errors from 0 (98 % confidence)."""
MARGIN_LOSS = 0.01
"""Minimum mean difference as well: smaller ones change no prediction."""
LEFT_OUT_ERRORS = 4.0
"""A way this many standard errors behind after the first pictures is dropped."""
TEMPERATURES = np.geomspace(0.25, 64, 25)
LEAST_PROBABILITY = 1e-6
MOST_ORDERED_OUTPUTS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One preprocessing with one label order, on the pictures of the trials.

    `losses` has one value per picture, at the best temperature; `own_loss` is their mean at temperature 1. `recalls`
    has the recall of each label that occurs.
    """

    way: Preprocessing
    outputs: tuple[Output, ...]
    losses: NDArray[np.float64]
    own_loss: float
    right: Share
    recalls: tuple[Share, ...]

    @property
    def is_chance(self) -> bool:
        """Whether its balanced accuracy is no better than guessing or a constant answer.

        The margin follows Agresti and Coull (1998): two correct and two wrong answers are added to each label.
        """
        shares = [((one.hits + 2) / (one.of + 4), one.of + 4) for one in self.recalls]
        error = math.sqrt(sum(share * (1 - share) / number for share, number in shares))
        return sum(share for share, _ in shares) - MARGIN_ERRORS * error <= 1.0

    @property
    def loss(self) -> float:
        """Mean log loss, natural logarithm; clipped at 0 against rounding."""
        return max(0.0, float(self.losses.mean()))

    def beats(self, other: Trial, *, errors: float = MARGIN_ERRORS) -> bool:
        """Whether this one is better by more than the margin."""
        differences = other.losses - self.losses
        error = float(differences.std(ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else math.inf
        return float(differences.mean()) > max(MARGIN_LOSS, errors * error)


def orders_of(network: Network, among: set[Label]) -> tuple[tuple[Output, ...], ...]:
    """All possible label orders of a network whose file states none; empty for many outputs.

    `among` are the labels of the pictures.
    """
    count = max(network.outputs, 2)
    if count > MOST_ORDERED_OUTPUTS:
        return ()
    known = tuple(label for label in LABELS if label in among)
    if len(known) == count:
        return tuple(itertools.permutations(known))
    named: tuple[Output, ...] = (*LABELS, IGNORE)
    return tuple(itertools.permutations(named[:count]))


def try_all(
    network: Network,
    ways: Sequence[Preprocessing],
    orders: Sequence[tuple[Output, ...]],
    pixels: NDArray[np.uint8],
    labels: Sequence[Label | None],
) -> list[Trial]:
    """Try every preprocessing with every label order on labelled pictures, best first.

    `pixels` is (pictures, height, width, 3), RGB. Ways that are far behind after the first pictures are dropped, and
    come last.
    """
    chosen = _alternating(labels)
    first, rest = chosen[:FIRST_PICTURES], chosen[FIRST_PICTURES:MOST_PICTURES]
    given = {way: np.zeros((0, network.outputs)) for way in ways}

    def run(running: Sequence[Preprocessing], indices: Sequence[int]) -> None:
        pairs = [(way, index) for way in running for index in indices]
        for way, index in with_progress(pairs, total=len(pairs), what=f"trying {len(running)} ways of preprocessing"):
            row = network.probabilities(way.values(pixels[index]))
            given[way] = np.vstack([given[way], row])

    def judge(judged: Sequence[Preprocessing], indices: Sequence[int]) -> list[Trial]:
        truths = [labels[index] for index in indices]
        trials = [_judged(way, order, given[way], truths) for way in judged for order in orders]
        return sorted(trials, key=lambda trial: trial.loss)

    run(ways, first)
    trials = judge(ways, first)
    left = list(dict.fromkeys(one.way for one in trials if not trials[0].beats(one, errors=LEFT_OUT_ERRORS)))
    if not rest:
        return trials
    run(left, rest)
    behind = [trial for trial in trials if trial.way not in left]
    return judge(left, [*first, *rest]) + behind


def _judged(
    way: Preprocessing,
    outputs: tuple[Output, ...],
    given: NDArray[np.float64],
    truths: Sequence[Label | None],
) -> Trial:
    labels = labels_among(outputs)
    shares = as_labels(given, outputs)
    indices = np.array([labels.index(truth) if truth in labels else -1 for truth in truths])
    known = indices >= 0
    logits = np.log(np.clip(shares, LEAST_PROBABILITY, None))
    rows = np.arange(len(indices))
    best = np.full(len(indices), -math.log(LEAST_PROBABILITY))
    own_loss = math.inf
    for temperature in (1.0, *TEMPERATURES):
        scaled = (logits - logits.max(1, keepdims=True)) / temperature
        scaled = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
        losses = np.where(known, -scaled[rows, indices], -math.log(LEAST_PROBABILITY))
        own_loss = float(losses.mean()) if math.isinf(own_loss) else own_loss
        best = losses if losses.mean() < best.mean() else best
    is_right = shares.argmax(1) == indices
    recalls = [
        Share(int(is_right[indices == index].sum()), int((indices == index).sum())) for index in np.unique(indices)
    ]
    return Trial(way, outputs, best, own_loss, Share(int(is_right.sum()), len(indices)), tuple(recalls))


def as_labels(given: NDArray[np.float64], outputs: Sequence[Output]) -> NDArray[np.float64]:
    """Convert output probabilities, (pictures, outputs), to label probabilities, (pictures, labels); rows sum to 1."""
    if given.shape[1] == 1:
        # Keras' binary convention: the single output is the probability of the second label.
        given = np.hstack([1 - given, given])
    shares = (given @ sharing_out(outputs))[:, : len(labels_among(outputs))]
    return np.asarray(shares / np.maximum(shares.sum(1, keepdims=True), 1e-12), np.float64)


def _alternating(labels: Sequence[Label | None]) -> list[int]:
    """Indices of the labelled pictures, alternating between labels, evenly spread over each."""
    groups = [[index for index, label in enumerate(labels) if label == one] for one in LABELS]
    return [index for turn in itertools.zip_longest(*map(_spread, groups)) for index in turn if index is not None]


def _spread(indices: list[int]) -> list[int]:
    """The same indices in an order whose every prefix is spread over the whole."""
    step = max(1, round(len(indices) * (math.sqrt(5) - 1) / 2))
    while math.gcd(step, max(1, len(indices))) > 1:
        step += 1
    return [indices[number * step % len(indices)] for number in range(len(indices))]
