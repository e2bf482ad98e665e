"""Trials: determines preprocessing and label order from labelled pictures.

Every common preprocessing is tried on labelled pictures and ranked by its log loss at the best temperature, so that
neither overconfidence nor underconfidence is an advantage. Two of them differ if the mean of their per-picture loss
differences exceeds the margin. Every label counts as much as every other, however many pictures show it: otherwise a
preprocessing with which a network nearly always gives the more frequent label would win.
"""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from converter.masks.metrics import Share, is_chance
from converter.masks.outputs import IGNORE, label_matrix, labels_among
from converter.progress import with_progress
from edge_agent.domain import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from converter.masks.networks import Network
    from converter.masks.outputs import Output, SingleOutput
    from converter.masks.preprocessing import Preprocessing
    from edge_agent.domain import Label

    OutputsOf: TypeAlias = Callable[[Preprocessing, int], NDArray[np.float64]]

STAGES = (40, 80)
MAX_PICTURES = 160
"""All preprocessings are tried on the pictures of the first stage, those not dropped at any stage on all."""
MARGIN_STANDARD_ERRORS = 2.0
"""Two preprocessings differ if their mean difference is this many standard errors from 0 (98 % confidence)."""
MARGIN_LOSS = 0.01
"""Minimum mean difference as well: smaller ones change no prediction."""
DROP_STANDARD_ERRORS = 4.0
"""A preprocessing this many standard errors behind after a stage is dropped."""
TEMPERATURES = np.geomspace(1 / 16, 64, 31)
"""Low ones for a network whose scores are right by little, as logits of +-0.1 are: the least accurate would win."""
MIN_PROBABILITY = 1e-6
MAX_ORDERED_OUTPUTS = 4
PROBABILITY_TOLERANCE, MIN_PROBABLE = 0.25, 0.8
"""A single output trained on 0 and 1 without a limit exceeds them a little on most pictures, by more on few."""
MAX_LOGIT = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One preprocessing with one label order, on the pictures of the trials.

    `losses`, `is_correct` and `weights` have one value per picture. `weights` balances the labels, mean 1; `losses` are
    weighted, at the best temperature, and `uncalibrated_loss` is their mean at temperature 1.
    `recalls` has the recall of each label that occurs; `unseen` counts the pictures whose most probable output has
    another label.
    """

    preprocessing: Preprocessing
    outputs: tuple[Output, ...]
    losses: NDArray[np.float64]
    uncalibrated_loss: float
    is_correct: NDArray[np.bool_]
    weights: NDArray[np.float64]
    recalls: tuple[Share, ...]
    unseen: int
    single_output: SingleOutput

    @property
    def is_chance(self) -> bool:
        """Whether its balanced accuracy is no better than guessing or a constant answer."""
        return is_chance(self.recalls)

    @property
    def accuracy(self) -> Share:
        """Share of the pictures whose most probable label is the right one."""
        return Share(int(self.is_correct.sum()), len(self.is_correct))

    @property
    def loss(self) -> float:
        """Mean log loss, natural logarithm; clipped at 0 against rounding."""
        return max(0.0, float(self.losses.mean()))

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the labels that occur, 0..1."""
        return float((self.weights * self.is_correct).mean())

    def possible_gain(self, other: Trial) -> float:
        """Upper bound of the gain in balanced accuracy over another, as of McNemar's test.

        It counts the pictures that only one of the two classifies correctly, and is 0 if there are none.
        """
        gains = self.weights * (self.is_correct.astype(np.float64) - other.is_correct)
        error = math.sqrt(float((gains**2).sum())) / len(gains)
        return float(gains.mean()) + MARGIN_STANDARD_ERRORS * error

    def is_better_than(self, other: Trial, *, errors: float = MARGIN_STANDARD_ERRORS) -> bool:
        """Whether this one is better by more than the margin."""
        differences = other.losses - self.losses
        error = float(differences.std(ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else math.inf
        return float(differences.mean()) > max(MARGIN_LOSS, errors * error)


def label_orders(network: Network, among: set[Label]) -> tuple[tuple[Output, ...], ...]:
    """All possible label orders of a network whose file states none; empty for many outputs.

    `among` are the labels of the pictures.
    """
    count = max(network.outputs, 2)
    if count > MAX_ORDERED_OUTPUTS:
        return ()
    known = tuple(label for label in LABELS if label in among)
    if len(known) == count:
        return tuple(itertools.permutations(known))
    named: tuple[Output, ...] = (*LABELS, IGNORE)
    return tuple(itertools.permutations(named[:count]))


def run_trials(
    network: Network,
    outputs_of: OutputsOf,
    preprocessings: Sequence[Preprocessing],
    orders: Sequence[tuple[Output, ...]],
    labels: Sequence[Label | None],
) -> list[Trial]:
    """Try every preprocessing with every label order on labelled pictures, best first.

    Preprocessings that fall far behind are dropped, and come last.
    """
    chosen = _interleaved(labels)[:MAX_PICTURES]

    def try_on(indices: Sequence[int], candidates: Sequence[Preprocessing]) -> list[Trial]:
        truths = [labels[index] for index in indices]
        pairs = list(itertools.product(candidates, indices))
        with ThreadPoolExecutor(network.copies) as pool:
            rows = with_progress(
                pool.map(lambda pair: outputs_of(*pair), pairs),
                total=len(pairs),
                what=f"trying {len(candidates)} preprocessings",
            )
            by_candidate = np.reshape(list(rows), (len(candidates), len(indices), network.outputs))
        trials = [
            _evaluate(preprocessing, order, values, truths, single_output)
            for preprocessing, values in zip(candidates, by_candidate, strict=True)
            for single_output in possible_meanings(network.single_output, values)
            for order in orders
        ]
        return sorted(trials, key=lambda trial: trial.loss)

    remaining, dropped = list(preprocessings), list[Trial]()
    for count in [stage for stage in STAGES if stage < len(chosen)]:
        trials = try_on(chosen[:count], remaining)
        best = trials[0]
        kept = {trial.preprocessing for trial in trials if not best.is_better_than(trial, errors=DROP_STANDARD_ERRORS)}
        remaining = [preprocessing for preprocessing in remaining if preprocessing in kept]
        dropped = [trial for trial in trials if trial.preprocessing not in kept] + dropped
    return try_on(chosen, remaining) + dropped


def remembered_outputs(network: Network, pixels: NDArray[np.uint8]) -> OutputsOf:
    """The outputs of a network, (outputs,), for a preprocessing and the index of a picture, each computed once.

    `pixels` is (pictures, height, width, 3), RGB.
    """
    return cache(lambda preprocessing, index: network.probabilities(preprocessing.values(pixels[index])))


def possible_meanings(single_output: tuple[SingleOutput, ...], values: NDArray[np.float64]) -> tuple[SingleOutput, ...]:
    """The possible meanings of a single output; probabilities only if its values lie around 0..1."""
    around = (values >= -PROBABILITY_TOLERANCE) & (values <= 1 + PROBABILITY_TOLERANCE)
    if len(single_output) == 1 or around.mean() >= MIN_PROBABLE:
        return single_output
    return ("logit",)


def _evaluate(
    preprocessing: Preprocessing,
    outputs: tuple[Output, ...],
    probabilities: NDArray[np.float64],
    truths: Sequence[Label | None],
    single_output: SingleOutput,
) -> Trial:
    labels = labels_among(outputs)
    probabilities = _of_both_labels(probabilities, single_output)
    shares = to_label_probabilities(probabilities, outputs)
    indices = np.array([labels.index(truth) if truth in labels else -1 for truth in truths])
    known = indices >= 0
    weights = _balancing_weights(indices)
    logits = np.log(np.clip(shares, MIN_PROBABILITY, None))
    rows = np.arange(len(indices))
    best = np.full(len(indices), -math.log(MIN_PROBABILITY))
    uncalibrated_loss = math.inf
    for temperature in (1.0, *TEMPERATURES):
        scaled = (logits - logits.max(1, keepdims=True)) / temperature
        scaled = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
        losses = weights * np.where(known, -scaled[rows, indices], -math.log(MIN_PROBABILITY))
        uncalibrated_loss = float(losses.mean()) if math.isinf(uncalibrated_loss) else uncalibrated_loss
        best = losses if losses.mean() < best.mean() else best
    is_correct = shares.argmax(1) == indices
    unseen = sum(outputs[index] not in truths for index in probabilities.argmax(1))
    recalls = [
        Share(int(is_correct[indices == index].sum()), int((indices == index).sum())) for index in np.unique(indices)
    ]
    return Trial(
        preprocessing, outputs, best, uncalibrated_loss, is_correct, weights, tuple(recalls), unseen, single_output
    )


def _balancing_weights(indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """A weight per picture, so that every label counts as much as every other; their mean is 1."""
    _, inverse, counts = np.unique(indices, return_inverse=True, return_counts=True)
    return np.asarray(len(indices) / (len(counts) * counts[inverse]), np.float64)


def to_label_probabilities(
    probabilities: NDArray[np.float64], outputs: Sequence[Output], single_output: SingleOutput = "probability"
) -> NDArray[np.float64]:
    """Convert output probabilities, (pictures, outputs), to label probabilities, (pictures, labels); rows sum to 1."""
    probabilities = _of_both_labels(probabilities, single_output)
    shares = (probabilities @ label_matrix(outputs))[:, : len(labels_among(outputs))]
    return np.asarray(shares / np.maximum(shares.sum(1, keepdims=True), 1e-12), np.float64)


def _of_both_labels(values: NDArray[np.float64], single_output: SingleOutput) -> NDArray[np.float64]:
    """The probabilities of both labels of a single output; those of several outputs as they are."""
    if values.shape[1] > 1:
        return values
    if single_output == "logit":
        values = 1 / (1 + np.exp(-np.clip(values, -MAX_LOGIT, MAX_LOGIT)))
    # Keras' binary convention: the single output is the probability of the second label.
    second = np.clip(values, 0, 1)
    return np.hstack([1 - second, second])


def _interleaved(labels: Sequence[Label | None]) -> list[int]:
    """Indices of the labelled pictures, alternating between labels, evenly spread over each."""
    groups = [[index for index, label in enumerate(labels) if label == wanted] for wanted in LABELS]
    return [
        index for turn in itertools.zip_longest(*map(_evenly_ordered, groups)) for index in turn if index is not None
    ]


def _evenly_ordered(indices: list[int]) -> list[int]:
    """The same indices in an order whose every prefix is spread over the whole."""
    step = max(1, round(len(indices) * (math.sqrt(5) - 1) / 2))
    while math.gcd(step, max(1, len(indices))) > 1:
        step += 1
    return [indices[number * step % len(indices)] for number in range(len(indices))]
