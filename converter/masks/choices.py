"""Choices: determines preprocessing and output labels of a network, with the reason for each.

Precedence: the user's options, then what the file states, then trials on labelled pictures. The conversion is refused
if trials show that another choice is clearly more accurate than the stated one, or that no choice is better than
chance.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.errors import GateError
from converter.masks.outputs import labels_among, outputs_of
from converter.masks.preprocessing import Preprocessing, usual_ways
from converter.masks.trials import FIRST_PICTURES, Trial, orders_of, try_all
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from numpy.typing import NDArray

    from converter.masks.metrics import Share
    from converter.masks.networks import Network
    from converter.masks.outputs import Output
    from converter.masks.preprocessing import Colours, PixelRange
    from converter.masks.stated import Stated
    from edge_agent.domain import Label
    from edge_agent.vision.card import Resampling

CLEARLY_BETTER = 0.03
"""Gain in accuracy, beyond the margin of the trials, from which an alternative refutes the stated choice."""
MARGIN_CALIBRATION = 0.05
"""Log losses without temperature that differ by less do not show which choice a network is calibrated for."""
FEWEST_LABELLED = 20
"""With fewer labelled pictures, trials are inconclusive."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices made. `reasons` states the origin of each; `right` is the accuracy in the trials."""

    way: Preprocessing
    outputs: tuple[Output, ...]
    reasons: dict[str, str]
    right: Share | None
    resampling: Resampling = "area"

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels that the network distinguishes."""
        return labels_among(self.outputs)

    @property
    def card_pixels(self) -> PixelRange:
        """The pixel range on the card; 0..255 if a convolution in the model does the rest."""
        return self.way.pixels if self.way.fits_a_card else "0..255"

    @property
    def card_colours(self) -> Colours:
        """The colour order on the card."""
        return self.way.colours if self.way.fits_a_card else "rgb"

    def as_json(self) -> dict[str, Any]:
        """The `source` section of a card."""
        right = {"right": self.right.hits, "of": self.right.of} if self.right else {}
        chosen = {"resampling": self.resampling, "outputs": list(self.outputs), "reasons": self.reasons}
        return self.way.as_json() | chosen | right


def described(choices: Choices) -> list[str]:
    """One line per choice, with its reason."""
    way = choices.way
    scaling = f"pixels {way.pixels}"
    scaling += f", means {','.join(f'{mean:g}' for mean in way.means)}" if way.means else ""
    scaling += f", std {','.join(f'{one:g}' for one in way.deviations)}" if way.deviations else ""
    return [
        f"{scaling}: {choices.reasons['pixels']}",
        f"colours {way.colours}: {choices.reasons['colours']}",
        f"resampling {choices.resampling}: {choices.reasons['resampling']}",
        f"labels {','.join(choices.outputs)}: {choices.reasons['labels']}",
    ]


def choose(
    network: Network,
    stated: Stated,
    pictures: Mapping[Resampling, NDArray[np.uint8]],
    labels: Sequence[Label | None],
    *,
    force: bool = False,
) -> Choices:
    """Determine preprocessing and labels; `pictures` are RGB, of the network's input size, by resampling method.

    `labels` are None if unknown.

    Raises:
        ConfigError: the meaning of the outputs is unknown, or the stated values contradict each other or the file.
        GateError: the stated choices, or all choices, are too inaccurate on the pictures; not with `force`.
    """
    stated_way = _stated_way(network, stated)
    stated_outputs = _stated_outputs(network, stated)
    seen = {label for label in labels if label is not None}
    orders = orders_of(network, seen) if stated_outputs is None else _reorders(stated_outputs)
    # Pictures of labels that the network lacks are useless here.
    labels = [label if orders and label in orders[0] else None for label in labels]
    known = seen & set(labels)
    labelled = sum(label is not None for label in labels)
    if labelled < FEWEST_LABELLED or len(known) < 2:  # noqa: PLR2004  (one label alone distinguishes nothing)
        return _untried(network, stated, stated_way, stated_outputs)
    usual = usual_ways(network.channels)
    ways = [way for way in dict.fromkeys((stated_way, *usual)) if way.channels == network.channels]
    resampling = stated.resampling or network.resampling
    trials = try_all(network, ways, orders, pictures[resampling or "area"], labels)
    allowed = [
        trial
        for trial in trials
        if (stated_outputs is None or trial.outputs == stated_outputs)
        and (trial.way == stated_way or stated.allows(trial.way))
    ]
    chosen = _preferred(network, allowed)
    if not force:
        _refuse_inaccurate_choice(network, chosen, trials)
        _refuse_an_open_order(network, chosen, allowed, known)
    reasons = _reasons(network, stated, stated_way, chosen=chosen, trials=trials, known=known)
    if resampling is None:
        return _with_resampling(
            network, Choices(chosen.way, chosen.outputs, reasons, chosen.right), chosen, pictures, labels
        )
    reasons["resampling"] = _origin_of_resampling(network, stated)
    return Choices(chosen.way, chosen.outputs, reasons, chosen.right, resampling)


def _with_resampling(
    network: Network,
    choices: Choices,
    by_area: Trial,
    pictures: Mapping[Resampling, NDArray[np.uint8]],
    labels: Sequence[Label | None],
) -> Choices:
    """Add the resampling: the framework's default, unless the other is better by more than the margin."""
    usual = network.usual_resampling
    if np.array_equal(pictures["area"], pictures["linear"]):
        reasons = choices.reasons | {"resampling": "assumed, and not checked: no picture is larger than the input"}
        return replace(choices, resampling=usual, reasons=reasons)
    (linear,) = try_all(network, [by_area.way], [by_area.outputs], pictures["linear"], labels)
    tried: dict[Resampling, Trial] = {"area": by_area, "linear": linear}
    other: Resampling = "linear" if usual == "area" else "area"
    if len(linear.losses) == len(by_area.losses) and tried[other].beats(tried[usual]):
        usual, other = other, usual
    reasons = choices.reasons | {"resampling": _by_trial(tried[usual], tried[other])}
    return replace(choices, resampling=usual, right=tried[usual].right, reasons=reasons)


def _stated_way(network: Network, stated: Stated) -> Preprocessing:
    """The stated preprocessing, completed by defaults."""
    grey = network.channels == 1
    if stated.colours is not None and (stated.colours == "grey") != grey:
        raise ConfigError(f"{network.path}: takes {network.channels} channels, which --colours {stated.colours} is not")
    as_in_file = stated.pixels in {None, network.pixels}
    way = Preprocessing(
        pixels=stated.pixels or network.pixels or ("0..1" if grey else "-1..1"),
        colours=stated.colours or network.colours or ("grey" if grey else "rgb"),
        means=network.means if as_in_file and stated.means is None else stated.means or (),
        deviations=network.deviations if as_in_file and stated.deviations is None else stated.deviations or (),
    )
    for option, values in (("--means", way.means), ("--std", way.deviations)):
        if len(values) not in {0, way.channels}:
            raise ConfigError(f"{option}: gives {len(values)} numbers, the network takes {way.channels} channels")
    if any(value <= 0 for value in way.deviations):
        raise ConfigError("--std: a standard deviation is more than 0")
    return way


def _stated_outputs(network: Network, stated: Stated) -> tuple[Output, ...] | None:
    """The meaning of the outputs as stated, or by the names in the file; None if neither gives it."""
    outputs = stated.labels.in_order_of(network.output_names, path=network.path)
    if not outputs and network.output_names:
        outputs = outputs_of(network.output_names, path=network.path)
    if not outputs:
        return None
    # A single output stands for two labels.
    wanted = max(network.outputs, 2)
    if len(outputs) != wanted:
        raise ConfigError(
            f"{network.path}: its {network.outputs} output(s) need {wanted} labels, and {len(outputs)} are named "
            f"({', '.join(outputs)}); give one label or 'ignore' per output, in their order"
        )
    if len(labels_among(outputs)) < 2:  # noqa: PLR2004
        raise ConfigError(f"{network.path}: {', '.join(outputs)}: at least two labels are needed")
    return outputs


def _untried(network: Network, stated: Stated, way: Preprocessing, outputs: tuple[Output, ...] | None) -> Choices:
    if outputs is None:
        raise ConfigError(
            f"{network.path}: does not state what its {network.outputs} outputs mean; give --labels in their order, as "
            "with_mask,without_mask, or calibration pictures in folders named after the labels"
        )
    unknown = "assumed, and not checked: no labelled pictures"
    return Choices(
        way,
        outputs,
        {
            "pixels": _origin_of_pixels(network, stated) or unknown,
            "colours": _origin_of_colours(network, stated) or unknown,
            "resampling": _origin_of_resampling(network, stated) or unknown,
            "labels": _origin_of_labels(stated),
        },
        None,
        stated.resampling or network.resampling or network.usual_resampling,
    )


def _reorders(outputs: tuple[Output, ...]) -> tuple[tuple[Output, ...], ...]:
    """All orders of the labels, the given one first; ignored outputs keep their places."""
    labels = labels_among(outputs)
    orders = [outputs]
    for order in itertools.permutations(labels):
        remaining = iter(order)
        orders.append(tuple(next(remaining) if output in labels else output for output in outputs))
    return tuple(dict.fromkeys(orders))


def _preferred(network: Network, allowed: Sequence[Trial]) -> Trial:
    """The best trial; ties within the margin prefer what the file states, then calibration, then what fits a card.

    A network is calibrated, if at all, only for the pixels it was trained on; on others its scores saturate, which
    increases the log loss at temperature 1. Example: 0.25 with the right (torch) means against 1.56 on 0..255, which
    was 9 points less accurate and yet within the margin on 160 pictures.
    """
    as_good = _as_good_as_the_first(allowed)
    usual = usual_ways(network.channels)
    least = min(one.own_loss for one in as_good)
    return min(
        as_good,
        key=lambda one: (
            network.colours not in {None, one.way.colours},
            network.pixels is not None and _scaling(one.way) != (network.pixels, network.means, network.deviations),
            # A temperature that makes all scores equal costs an overconfident network little.
            one.is_chance,
            one.own_loss > least + MARGIN_CALIBRATION,
            not one.way.fits_a_card and network.channels > 1,
            usual.index(one.way) if one.way in usual else -1,
        ),
    )


def _as_good_as_the_first(trials: Sequence[Trial]) -> list[Trial]:
    """The best trial and those within the margin of it, best first."""
    return [one for one in trials if len(one.losses) == len(trials[0].losses) and not trials[0].beats(one)]


def _nearest(chosen: Trial, trials: Sequence[Trial]) -> Trial:
    """The first trial closest to the chosen one, so that the advice changes as few options as possible."""
    return min(trials, key=lambda one: (one.way != chosen.way) * 2 + (one.outputs != chosen.outputs))


def _refuse_inaccurate_choice(network: Network, chosen: Trial, trials: Sequence[Trial]) -> None:
    best = _nearest(chosen, _as_good_as_the_first(trials))
    gain = (best.right.value or 0) - (chosen.right.value or 0)
    beaten = len(best.losses) != len(chosen.losses) or best.beats(chosen)
    if beaten and gain >= CLEARLY_BETTER:
        options = [] if best.way == chosen.way else [best.way.as_options()]
        wrong_order = best.outputs != chosen.outputs
        if wrong_order:
            options.append(f"--labels {','.join(best.outputs)}")
        what = "its labels are in the wrong order" if wrong_order else "another preprocessing is more accurate"
        raise GateError(
            f"{network.path}: {chosen.right.hits} of {chosen.right.of} labelled pictures are correct: {what}, "
            f"{best.right.hits} of {best.right.of} with {' '.join(options)}; use that, or --force"
        )
    if chosen.is_chance:
        best = max(trials, key=lambda one: one.right.value or 0.0)
        raise GateError(
            f"{network.path}: {chosen.right.hits} of {chosen.right.of} labelled pictures are correct, which is chance "
            "over all labels, and no usual preprocessing does better (best: "
            f"{best.way.as_options()}, {best.right.hits} of {best.right.of}); state its preprocessing "
            "(--pixels, --colours, --means, --std, --labels, --margin), use pictures like its "
            "training data, or --force"
        )


def _refuse_an_open_order(network: Network, chosen: Trial, allowed: Sequence[Trial], known: Container[Label]) -> None:
    """Refuse an uncertain label order: swapped labels are wrong on every picture."""
    order = _order_among(chosen, known)
    other = next((one for one in allowed if _order_among(one, known) != order), None)
    if other is None or len(other.losses) != len(chosen.losses) or chosen.beats(other):
        return
    raise GateError(
        f"{network.path}: the pictures do not show what its outputs mean: {chosen.right.hits} of {chosen.right.of} are "
        f"right with {_as_options(chosen)}, {other.right.hits} with {_as_options(other)}; state --labels, or --force"
    )


def _order_among(trial: Trial, known: Container[Label]) -> tuple[Output | None, ...]:
    """The order of the labels that occur in the pictures."""
    return tuple(output if output in known else None for output in trial.outputs)


def _as_options(trial: Trial) -> str:
    return f"{trial.way.as_options()} --labels {','.join(trial.outputs)}"


def _origin_of_pixels(network: Network, stated: Stated) -> str:
    if stated.pixels is not None:
        return stated.by
    return network.pixels_from if network.pixels is not None else ""


def _origin_of_colours(network: Network, stated: Stated) -> str:
    if stated.colours is not None:
        return stated.by
    return "found in the files of the model" if network.colours is not None else ""


def _origin_of_resampling(network: Network, stated: Stated) -> str:
    if stated.resampling is not None:
        return stated.by
    return "found in the files of the model" if network.resampling is not None else ""


def _origin_of_labels(stated: Stated) -> str:
    return stated.by if stated.labels else "found in the files of the model"


def _reasons(
    network: Network,
    stated: Stated,
    stated_way: Preprocessing,
    *,
    chosen: Trial,
    trials: Sequence[Trial],
    known: Container[Label],
) -> dict[str, str]:
    origins = {
        "pixels": _origin_of_pixels(network, stated) if _scaling(chosen.way) == _scaling(stated_way) else "",
        "colours": _origin_of_colours(network, stated) if chosen.way.colours == stated_way.colours else "",
        "labels": "" if not stated.labels and not network.output_names else _origin_of_labels(stated),
    }
    if network.channels == 1:
        origins["colours"] = "found in the file: it takes one channel"
    reasons = {
        what: reason
        or _by_trial(chosen, next((one for one in trials if _aspect(one, what) != _aspect(chosen, what)), None))
        for what, reason in origins.items()
    }
    if not origins["labels"] and (unseen := [label for label in labels_among(chosen.outputs) if label not in known]):
        reasons["labels"] += f"; {', '.join(unseen)}: assumed, no picture shows it"
    return reasons


def _scaling(way: Preprocessing) -> tuple[object, ...]:
    return way.pixels, way.means, way.deviations


def _aspect(trial: Trial, what: str) -> tuple[object, ...]:
    match what:
        case "pixels":
            return _scaling(trial.way)
        case "colours":
            return (trial.way.colours,)
        case _:
            return trial.outputs


def _by_trial(chosen: Trial, second: Trial | None) -> str:
    right = f"chosen by trial: {chosen.right.hits} of {chosen.right.of}"
    if second is None:
        return right
    against = f" against {second.right.hits} of {second.right.of}"
    losses = f", log loss {chosen.loss:.3f} against {second.loss:.3f}"
    close = len(second.losses) == len(chosen.losses) > FIRST_PICTURES and not chosen.beats(second)
    return right + against + losses + (" (a tie within the margin)" if close else "")
