"""Model settings: determines preprocessing and output labels of a network, with the reason for each.

Precedence: the user's options, then what the file states, then trials on labelled pictures. The conversion is refused
if trials show that another setting is clearly more accurate than the stated one, that none is better than chance, or
if they do not decide between settings that classify differently.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.errors import AccuracyError
from converter.masks.output_range import PROBABILITIES
from converter.masks.outputs import labels_among, outputs_of
from converter.masks.overrides import NO_OVERRIDES, ModelOverrides
from converter.masks.preprocessing import (
    UNSUPPORTED,
    Preprocessing,
    common_preprocessings,
    rare_preprocessings,
)
from converter.masks.trials import (
    MAX_PICTURES,
    STAGES,
    Trial,
    label_orders,
    possible_meanings,
    remembered_outputs,
    run_trials,
    to_label_probabilities,
)
from edge_agent.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from converter.masks.metrics import Share
    from converter.masks.networks import Network
    from converter.masks.outputs import Output, SingleOutput
    from converter.masks.preprocessing import Colours, PixelRange
    from edge_agent.domain import Label
    from edge_agent.vision.card import Resampling

MAX_UNSEEN = 0.05
"""Largest share of labelled pictures whose most probable output may have a label that was only assumed."""
MIN_ACCURACY_GAIN = 0.03
"""Gain in accuracy, beyond the margin of the trials, from which an alternative refutes the stated setting; also the
gain from which the more accurate of several settings within the margin is chosen."""
MAX_POSSIBLE_GAIN = 0.08
"""Upper bound of the gain in balanced accuracy from which an alternative within the margin is left to the user."""
CALIBRATION_TOLERANCE = 0.05
"""Log losses without temperature that differ by less do not show which setting a network is calibrated for."""
RARE_STANDARD_ERRORS = 4.0
"""A rare preprocessing must be this many standard errors better than the best common one."""
USUAL_ACCURACY = 0.9
"""A model whose accuracy is clearly lower may have been trained with a preprocessing that was not tried."""
MIN_LABELLED_PICTURES = 20
"""With fewer labelled pictures, trials are inconclusive."""
MAX_DIFFERENCE = 0.01
"""Of the probabilities of a file and its conversion, root mean square. float32 rounds differently with another order of
additions, which a network may amplify: with and without its optimizations, ONNX Runtime differs from itself by 0.0008
on a MobileNetV3, and by 0.003 on one picture. int8 costs more."""
COMPARED_PICTURES = 40
MIN_PICTURES_OF_LABEL = 4
"""With fewer of a second label, its standard error is unknown: two of 24 chose a setting 17 points worse."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Preprocessing and labels of a model. `reasons` states the origin of each; `accuracy` is that of the trials."""

    preprocessing: Preprocessing
    outputs: tuple[Output, ...]
    reasons: dict[str, str]
    accuracy: Share | None
    resampling: Resampling = "area"
    single_output: SingleOutput = "probability"

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels that the network distinguishes."""
        return labels_among(self.outputs)

    @property
    def card_pixels(self) -> PixelRange:
        """The pixel range on the card; 0..255 if a convolution in the model does the rest."""
        return self.preprocessing.pixels if self.preprocessing.fits_card else "0..255"

    @property
    def card_colours(self) -> Colours:
        """The colour order on the card."""
        return self.preprocessing.colours if self.preprocessing.fits_card else "rgb"

    def as_json(self) -> dict[str, Any]:
        """The `source` section of a card."""
        accuracy = {"right": self.accuracy.hits, "of": self.accuracy.of} if self.accuracy else {}
        chosen = {"resampling": self.resampling, "outputs": list(self.outputs), "reasons": self.reasons}
        output = {"single_output": self.single_output} if "output" in self.reasons else {}
        return self.preprocessing.as_json() | chosen | output | accuracy


def describe_network(
    network: Network, settings: ModelSettings, labels: Sequence[Label | None], *, if_unverified: str
) -> list[str]:
    """The network, its settings, and what is known of its accuracy.

    `labels` are those of the pictures; `if_unverified`: how the accuracy could be measured.
    """
    lines = [f"{network.kind}, {network.width_px}x{network.height_px}, margin {network.margin_fraction:g}"]
    low, high = network.scores or PROBABILITIES
    if (low, high) != PROBABILITIES:
        lines.append(f"outputs {low:g}..{high:g}, scaled to probabilities: found in the file")
    lines += [*describe_settings(settings), *describe_low_accuracy(settings)]
    left_out = Counter(label for label in labels if label is not None and label not in settings.labels)
    lines += [f"{count} pictures of {label} left out: no output has this label" for label, count in left_out.items()]
    return lines if settings.accuracy is not None else [*lines, f"nothing could be verified: {if_unverified}"]


def describe_settings(settings: ModelSettings) -> list[str]:
    """One line per setting, with its reason."""
    preprocessing = settings.preprocessing
    scaling = f"pixels {preprocessing.pixels}"
    scaling += f", means {','.join(f'{mean:g}' for mean in preprocessing.means)}" if preprocessing.means else ""
    scaling += (
        f", std {','.join(f'{deviation:g}' for deviation in preprocessing.deviations)}"
        if preprocessing.deviations
        else ""
    )
    decision = {"probability": "a probability, decided at 0.5", "logit": "a logit, decided at 0"}
    lines = [
        f"{scaling}: {settings.reasons['pixels']}",
        f"colours {preprocessing.colours}: {settings.reasons['colours']}",
        f"resampling {settings.resampling}: {settings.reasons['resampling']}",
        f"labels {','.join(settings.outputs)}: {settings.reasons['labels']}",
    ]
    if "output" in settings.reasons:
        lines.append(f"output {decision[settings.single_output]}: {settings.reasons['output']}")
    return lines


def describe_low_accuracy(settings: ModelSettings) -> list[str]:
    """A line of advice if the best preprocessing of the trials is less accurate than usual."""
    accuracy = settings.accuracy
    was_tried = settings.reasons["pixels"].startswith("chosen by trial")
    if accuracy is None or not _is_low(accuracy) or not was_tried:
        return []
    return [
        f"only {accuracy.hits} of {accuracy.of} labelled pictures are correct: if you measured more, its preprocessing "
        "is not among those tried; state --pixels, --means and --std"
    ]


def _is_low(accuracy: Share) -> bool:
    return accuracy.interval is not None and accuracy.interval[1] < USUAL_ACCURACY


def determine_settings(
    network: Network,
    overrides: ModelOverrides,
    pictures: Mapping[Resampling, NDArray[np.uint8]],
    labels: Sequence[Label | None],
    *,
    force: bool = False,
) -> ModelSettings:
    """Determine preprocessing and labels; `pictures` are RGB, of the network's input size, by resampling method.

    `labels` are None if unknown.

    Raises:
        ConfigError: the meaning of the outputs is unknown, or the stated values contradict each other or the file.
        ModelError: the network differs from the file that it was made from.
        AccuracyError: the stated settings, or all settings, are too inaccurate on the pictures, or the pictures do not
            decide between settings; not with `force`.
    """
    meanings = network.single_output
    network = _with_stated_output(network, overrides)
    stated_preprocessing = _stated_preprocessing(network, overrides)
    stated_outputs = _stated_outputs(network, overrides)
    seen = {label for label in labels if label is not None}
    orders = label_orders(network, seen) if stated_outputs is None else _permuted_labels(stated_outputs)
    # Pictures of labels that the network lacks are useless here.
    labels = [label if orders and label in orders[0] else None for label in labels]
    known = seen & set(labels)
    counts = Counter(label for label in labels if label is not None)
    # One label alone distinguishes nothing.
    is_of_two_labels = sum(count >= MIN_PICTURES_OF_LABEL for count in counts.values()) > 1
    if counts.total() < MIN_LABELLED_PICTURES or not is_of_two_labels:
        network = _with_likely_output(network, stated_preprocessing, pictures.get(overrides.resampling or "area"))
        settings = _settings_without_trials(network, overrides, stated_preprocessing, stated_outputs)
        outcome = settings.preprocessing, settings.outputs, settings.single_output
        _check_reference(network, *outcome, pictures.get(settings.resampling))
        return settings
    common = common_preprocessings(network.channels)
    stated_ways = _in_every_colour_order(stated_preprocessing, network, overrides)
    preprocessings = [
        preprocessing
        for preprocessing in dict.fromkeys((*stated_ways, *common))
        if preprocessing.channels == network.channels
    ]
    resampling = overrides.resampling or network.resampling
    outputs_of = remembered_outputs(network, pictures[resampling or "area"])
    trials = run_trials(network, outputs_of, preprocessings, orders, labels)
    if stated_preprocessing in common and overrides.pixels is None and network.pixels is None:
        try_all = partial(run_trials, network, outputs_of, orders=orders, labels=labels)
        # With the best common one, so that rare ones far behind it are dropped early.
        rare = try_all((trials[0].preprocessing, *rare_preprocessings(network.channels)))
        trials = [*rare, *trials] if rare[0].is_better_than(trials[0], errors=RARE_STANDARD_ERRORS) else trials
        if not force:
            _check_colour_space(network, trials[0], try_all)
    allowed = [
        trial
        for trial in trials
        if (stated_outputs is None or trial.outputs == stated_outputs)
        and (trial.preprocessing in stated_ways or overrides.is_consistent_with(trial.preprocessing))
    ]
    chosen = _select_trial(network, allowed)
    outcome = chosen.preprocessing, chosen.outputs, chosen.single_output
    _check_reference(network, *outcome, pictures[resampling or "area"])
    checked: Container[Output] = known if stated_outputs is None and not force else chosen.outputs
    if not force:
        if others := set(meanings) - set(network.single_output):
            refuting = replace(network, single_output=tuple(others))
            trials = [*trials, *run_trials(refuting, outputs_of, [chosen.preprocessing], orders, labels)]
            trials.sort(key=lambda trial: (-len(trial.losses), trial.loss))
        _check_accuracy(network, chosen, trials)
        _check_unseen(network, chosen, checked)
        _check_ambiguity(network, chosen, allowed, known)
    reasons = _reasons(network, overrides, stated_preprocessing, chosen=chosen, trials=trials, known=known)
    settings = ModelSettings(
        chosen.preprocessing, chosen.outputs, reasons, chosen.accuracy, single_output=chosen.single_output
    )
    if resampling is None:
        return _with_resampling(network, settings, chosen, pictures, labels, known=checked)
    reasons["resampling"] = _origins(network, overrides)["resampling"]
    return replace(settings, resampling=resampling)


def check_numbers(path: Path, outputs: NDArray[np.float64]) -> None:
    """Check the outputs of a float model for pictures.

    Raises:
        ModelError: some are not numbers; a runtime of the device may give labels nevertheless.
    """
    if not np.isfinite(outputs).all():
        raise ModelError(
            f"{path}: gives no numbers (nan) for pictures: its training diverged, or its weights exceed half "
            "precision; train it again with a lower learning rate, or export it in single precision"
        )


def _check_reference(
    network: Network,
    preprocessing: Preprocessing,
    outputs: Sequence[Output],
    single_output: SingleOutput,
    pixels: NDArray[np.uint8] | None,
) -> None:
    """Reject a network that classifies otherwise than the file that it was made from, if that can be run by itself.

    Compared are probabilities of pictures, prepared as chosen: logits of any size, and pixels of another range, say
    little about them.
    """
    if network.reference is None or pixels is None or not len(pixels):
        return
    chosen = pixels[:: math.ceil(len(pixels) / COMPARED_PICTURES)]
    converted, expected = (
        np.array([way(preprocessing.values(picture)) for picture in chosen])
        for way in (network.probabilities, network.reference)
    )
    check_numbers(network.path, expected)
    differences = to_label_probabilities(converted, outputs, single_output) - to_label_probabilities(
        expected, outputs, single_output
    )
    difference = float(np.sqrt(np.square(differences).mean()))
    if not difference <= MAX_DIFFERENCE:
        raise ModelError(
            f"{network.path}: converted by onnx2tf, its scores differ by {difference:.3g} (root mean square) from "
            f"those in ONNX Runtime on {len(chosen)} pictures; export it by the other exporter of torch "
            "(dynamo=True or dynamo=False), or with another opset"
        )


def _check_colour_space(
    network: Network, best: Trial, try_all: Callable[[Sequence[Preprocessing]], list[Trial]]
) -> None:
    """Reject an inaccurate network that is better in a colour space that the device does not compute."""
    if network.channels == 1 or not _is_low(best.accuracy):
        return
    other = try_all((best.preprocessing, *UNSUPPORTED))[0]
    gain = (other.accuracy.value or 0.0) - (best.accuracy.value or 0.0)
    if gain >= MIN_ACCURACY_GAIN and other.is_better_than(best):
        raise AccuracyError(
            f"{network.path}: {best.accuracy.hits} of {best.accuracy.of} labelled pictures are correct, and "
            f"{other.accuracy.hits} in {other.preprocessing}, which the device does not compute: train it again on "
            "RGB pixels, or use --force"
        )


def _with_resampling(
    network: Network,
    settings: ModelSettings,
    by_area: Trial,
    pictures: Mapping[Resampling, NDArray[np.uint8]],
    labels: Sequence[Label | None],
    *,
    known: Container[Output],
) -> ModelSettings:
    """Add the resampling: the framework's default, unless the other is better by more than the margin.

    A second kind of mask in an assumed label, not `known`, must not decide: it looks like a loss of accuracy.
    """
    common = network.usual_resampling
    if np.array_equal(pictures["area"], pictures["linear"]):
        reasons = settings.reasons | {"resampling": "assumed, and not checked: no picture is larger than the input"}
        return replace(settings, resampling=common, reasons=reasons)
    network = replace(network, single_output=(by_area.single_output,))
    outputs_of = remembered_outputs(network, pictures["linear"])
    (linear,) = run_trials(network, outputs_of, [by_area.preprocessing], [by_area.outputs], labels)
    _check_unseen(network, linear, known)
    tried: dict[Resampling, Trial] = {"area": by_area, "linear": linear}
    second: Resampling = "linear" if common == "area" else "area"
    if len(linear.losses) == len(by_area.losses) and tried[second].is_better_than(tried[common]):
        common, second = second, common
    reasons = settings.reasons | {"resampling": _trial_reason(tried[common], tried[second])}
    return replace(settings, resampling=common, accuracy=tried[common].accuracy, reasons=reasons)


def _with_stated_output(network: Network, overrides: ModelOverrides) -> Network:
    """The network with the stated meaning of its single output.

    Raises:
        ConfigError: the stated meaning contradicts the file.
    """
    meaning = overrides.single_output
    if meaning is None:
        return network
    is_symmetric = network.scores is not None and network.scores[0] < 0
    if network.outputs == 1 and is_symmetric and meaning == "logit":
        # Decided at 0, as scores of -1..1 are.
        return network
    if network.outputs == 1 and not is_symmetric and meaning in network.single_output:
        return replace(network, single_output=(meaning,))
    if overrides.origin != NO_OVERRIDES.origin:
        # The card belongs to another model.
        return network
    if network.outputs > 1:
        problem = f"it has {network.outputs} outputs"
    else:
        low, high = network.scores or PROBABILITIES
        problem = f"its last operation gives {low:g}..{high:g}, decided in the middle"
    raise ConfigError(f"{network.path}: --single-output {meaning}: {problem}; leave the option out")


def _with_likely_output(network: Network, preprocessing: Preprocessing, pixels: NDArray[np.uint8] | None) -> Network:
    """The network without the meaning of its single output that its loss suggests, if its values contradict that.

    A squared error is that of a probability or of -1 and 1.
    """
    if not network.single_output_from or pixels is None or not len(pixels):
        return network
    values = np.array([network.probabilities(preprocessing.values(picture)) for picture in pixels[:COMPARED_PICTURES]])
    if network.single_output[0] in possible_meanings(network.single_output, values):
        return network
    return replace(network, single_output=("logit", "probability"), single_output_from="")


def _stated_preprocessing(network: Network, overrides: ModelOverrides) -> Preprocessing:
    """The stated preprocessing, completed by defaults."""
    grey = network.channels == 1
    if overrides.colours is not None and (overrides.colours == "grey") != grey:
        raise ConfigError(
            f"{network.path}: takes {network.channels} channels, which --colours {overrides.colours} is not"
        )
    as_in_file = overrides.pixels in {None, network.pixels}
    preprocessing = Preprocessing(
        pixels=overrides.pixels or network.pixels or ("0..1" if grey else "-1..1"),
        colours=overrides.colours or network.colours or ("grey" if grey else "rgb"),
        means=network.means if as_in_file and overrides.means is None else overrides.means or (),
        deviations=network.deviations if as_in_file and overrides.deviations is None else overrides.deviations or (),
    )
    for option, values in (("--means", preprocessing.means), ("--std", preprocessing.deviations)):
        if len(values) not in {0, preprocessing.channels}:
            raise ConfigError(
                f"{option}: gives {len(values)} numbers, the network takes {preprocessing.channels} channels"
            )
    if not all(preprocessing.deviations):
        raise ConfigError("--std: a standard deviation is not 0")
    # Stated means of 0 and deviations of 1 say that there are none.
    if overrides.means and not any(overrides.means):
        preprocessing = replace(preprocessing, means=())
    if overrides.deviations and set(overrides.deviations) == {1.0}:
        preprocessing = replace(preprocessing, deviations=())
    return preprocessing


def _in_every_colour_order(
    stated: Preprocessing, network: Network, overrides: ModelOverrides
) -> tuple[Preprocessing, ...]:
    """The stated preprocessing, and the same in BGR if the order of the colours is unknown."""
    is_known = bool(_origins(network, overrides)["colours"])
    return (stated,) if is_known else (stated, replace(stated, colours="bgr"))


def _stated_outputs(network: Network, overrides: ModelOverrides) -> tuple[Output, ...] | None:
    """The meaning of the outputs as stated, or by the names in the file; None if neither gives it."""
    stated = overrides.labels.in_order_of(network.output_names, path=network.path)
    named: Sequence[str] = stated or network.output_names
    if not named:
        return None
    # A single output stands for two labels.
    expected_count = max(network.outputs, 2)
    if len(named) != expected_count:
        raise ConfigError(
            f"{network.path}: its {network.outputs} output(s) need {expected_count} labels, and {len(named)} are "
            f"named ({', '.join(named)}); give --labels, one label or 'ignore' per output, in their order"
        )
    outputs = stated or outputs_of(named, path=network.path)
    if len(labels_among(outputs)) < 2:  # noqa: PLR2004
        raise ConfigError(f"{network.path}: {', '.join(outputs)}: at least two labels are needed")
    return outputs


def _settings_without_trials(
    network: Network, overrides: ModelOverrides, preprocessing: Preprocessing, outputs: tuple[Output, ...] | None
) -> ModelSettings:
    if outputs is None:
        raise ConfigError(
            f"{network.path}: does not state what its {network.outputs} outputs mean; give --labels in their order, as "
            "with_mask,without_mask, or calibration pictures in folders named after the labels"
        )
    assumed = "assumed, and not checked: too few labelled pictures"
    origins = _origins(network, overrides)
    reasons = {aspect: origins[aspect] or assumed for aspect in ("pixels", "colours", "resampling", "labels")}
    if len(network.single_output) > 1:
        if network.single_output[0] == "logit" and not network.single_output_from:
            raise ConfigError(
                f"{network.path}: does not state what its single output means; give --single-output probability "
                "(decided at 0.5) or logit (decided at 0, also for a score of -1..1), or calibration pictures in "
                "folders named after the labels"
            )
        origin = f"found in the file: {network.single_output_from}" if network.single_output_from else ""
        reasons["output"] = origin or "assumed, and not checked: it stays in 0..1"
    elif origins["output"]:
        reasons["output"] = origins["output"]
    return ModelSettings(
        preprocessing,
        outputs,
        reasons,
        None,
        overrides.resampling or network.resampling or network.usual_resampling,
        network.single_output[0],
    )


def _permuted_labels(outputs: tuple[Output, ...]) -> tuple[tuple[Output, ...], ...]:
    """All orders of the labels, the given one first; ignored outputs keep their places."""
    labels = labels_among(outputs)
    orders = [outputs]
    for order in itertools.permutations(labels):
        renamed: dict[Output, Output] = dict(zip(labels, order, strict=True))
        orders.append(tuple(renamed.get(output, output) for output in outputs))
    return tuple(dict.fromkeys(orders))


def _select_trial(network: Network, allowed: Sequence[Trial]) -> Trial:
    """The best trial; ties within the margin prefer what the file states, then accuracy, then calibration.

    A network is calibrated, if at all, only for the pixels it was trained on; on others its scores saturate, which
    increases the log loss at temperature 1. Example: 0.25 with the right (torch) means against 1.56 on 0..255.
    """
    tied = _tied_with(allowed[0], allowed)
    common = common_preprocessings(network.channels)
    min_loss = min(trial.uncalibrated_loss for trial in tied)
    max_accuracy = max(trial.balanced_accuracy for trial in tied)
    return min(
        tied,
        key=lambda trial: (
            _contradictions(network, trial),
            # A temperature that makes all scores equal costs an overconfident network little.
            trial.is_chance,
            trial.balanced_accuracy < max_accuracy - MIN_ACCURACY_GAIN,
            trial.uncalibrated_loss > min_loss + CALIBRATION_TOLERANCE,
            network.single_output.index(trial.single_output),
            not trial.preprocessing.fits_card and network.channels > 1,
            common.index(trial.preprocessing) if trial.preprocessing in common else -1,
        ),
    )


def _contradictions(network: Network, trial: Trial) -> tuple[bool, bool, bool]:
    """Whether a trial has other colours, another scaling or another meaning of the output than the file states."""
    return (
        network.colours not in {None, trial.preprocessing.colours},
        network.pixels is not None
        and _scaling(trial.preprocessing) != (network.pixels, network.means, network.deviations),
        bool(network.single_output_from) and trial.single_output != network.single_output[0],
    )


def _tied_with(best: Trial, trials: Sequence[Trial]) -> list[Trial]:
    """The trials on as many pictures that one of them does not exceed by more than the margin."""
    return [trial for trial in trials if len(trial.losses) == len(best.losses) and not best.is_better_than(trial)]


def _most_similar(chosen: Trial, trials: Sequence[Trial]) -> Trial:
    """The first trial closest to the chosen one, so that the advice changes as few options as possible."""
    return min(
        trials, key=lambda trial: (trial.preprocessing != chosen.preprocessing) * 2 + (trial.outputs != chosen.outputs)
    )


def _check_accuracy(network: Network, chosen: Trial, trials: Sequence[Trial]) -> None:
    best = _most_similar(chosen, _tied_with(trials[0], trials))
    gain = (best.accuracy.value or 0) - (chosen.accuracy.value or 0)
    is_beaten = len(best.losses) != len(chosen.losses) or best.is_better_than(chosen)
    if is_beaten and gain >= MIN_ACCURACY_GAIN:
        options = [] if best.preprocessing == chosen.preprocessing else [best.preprocessing.as_options()]
        problem = "another preprocessing is more accurate"
        if best.single_output != chosen.single_output:
            options.append(f"--single-output {best.single_output}")
            problem = "its single output means something else"
        if best.outputs != chosen.outputs:
            options.append(f"--labels {','.join(best.outputs)}")
            problem = "its labels are in the wrong order" if best.preprocessing == chosen.preprocessing else problem
        raise AccuracyError(
            f"{network.path}: {chosen.accuracy.hits} of {chosen.accuracy.of} labelled pictures are correct: {problem}, "
            f"{best.accuracy.hits} of {best.accuracy.of} with {' '.join(options)}; use that, or --force"
        )
    if chosen.is_chance:
        best = max(trials, key=lambda trial: trial.accuracy.value or 0.0)
        raise AccuracyError(
            f"{network.path}: {chosen.accuracy.hits} of {chosen.accuracy.of} labelled pictures are correct, which is "
            "chance over all labels, and no usual preprocessing does better (best: "
            f"{best.preprocessing.as_options()}, {best.accuracy.hits} of {best.accuracy.of}); state its preprocessing "
            "(--pixels, --colours, --means, --std, --labels, --margin), use pictures like its "
            "training data, or --force"
        )


def _check_ambiguity(network: Network, chosen: Trial, allowed: Sequence[Trial], known: Container[Label]) -> None:
    """Reject a choice if settings within the margin may be far more accurate on other pictures.

    Settings that classify alike need no decision, and where the file decides, the pictures need not. Other labels for
    the same outputs are opposite answers to any picture that the settings prepare alike, as red and blue exchanged do
    for one without colours.
    """
    rivals = [
        trial
        for trial in _tied_with(chosen, allowed)
        if _contradictions(network, trial) == _contradictions(network, chosen)
        and (
            trial.possible_gain(chosen) > MAX_POSSIBLE_GAIN
            or (
                _positions(trial, known) != _positions(chosen, known)
                and trial.balanced_accuracy >= chosen.balanced_accuracy - MIN_ACCURACY_GAIN
            )
        )
    ]
    if not rivals:
        return
    rival = _most_similar(chosen, rivals)
    raise AccuracyError(
        f"{network.path}: {chosen.accuracy.of} labelled pictures do not show what is right: {chosen.accuracy.hits} are "
        f"correct with {_as_options(chosen)}, {rival.accuracy.hits} with {_as_options(rival)}, and the two classify "
        f"{int((chosen.is_correct != rival.is_correct).sum())} differently; state "
        f"{', '.join(_options_that_differ(chosen, rivals))} as in training, give more labelled pictures like its "
        f"training data ({MAX_PICTURES} are used, half of each label at best), or --force"
    )


def _positions(trial: Trial, known: Container[Label]) -> tuple[Output | None, ...]:
    """The outputs with those labels that pictures show; None for the others, whose order nothing shows."""
    return tuple(output if output in known else None for output in trial.outputs)


def _options_that_differ(chosen: Trial, rivals: Sequence[Trial]) -> list[str]:
    """The options that decide between trials."""
    decisive: dict[str, Callable[[Trial], object]] = {
        "--pixels": lambda trial: trial.preprocessing.pixels,
        "--means": lambda trial: trial.preprocessing.means,
        "--std": lambda trial: trial.preprocessing.deviations,
        "--colours": lambda trial: trial.preprocessing.colours,
        "--labels": lambda trial: trial.outputs,
        "--single-output": lambda trial: trial.single_output,
    }
    without = {"--means": " (0,0,0 for none)", "--std": " (1,1,1 for none)"}
    return [
        option + without.get(option, "")
        for option, value_of in decisive.items()
        if any(value_of(rival) != value_of(chosen) for rival in rivals)
    ]


def _check_unseen(network: Network, chosen: Trial, known: Container[Output]) -> None:
    """Reject assumed labels, those not `known`, that pictures of other labels get."""
    assumed = [output for output in chosen.outputs if output not in known]
    if not assumed or chosen.unseen <= MAX_UNSEEN * chosen.accuracy.of:
        return
    raise AccuracyError(
        f"{network.path}: {chosen.unseen} of {chosen.accuracy.of} labelled pictures are classified as "
        f"{' or '.join(assumed)}, which was assumed, as no picture shows it; state --labels, one for each output in "
        "their order, the same for several outputs if they mean the same (with_mask,with_mask,without_mask), or --force"
    )


def _as_options(trial: Trial) -> str:
    return f"{trial.preprocessing.as_options()} --labels {','.join(trial.outputs)}"


def _origins(network: Network, overrides: ModelOverrides) -> dict[str, str]:
    """Where each setting is stated, by the user or in the file; empty where it is not."""
    in_files = "found in the files of the model"
    colours = "found in the file: it takes one channel" if network.channels == 1 else in_files
    is_output = network.outputs == 1 and overrides.single_output in network.single_output
    stated: dict[str, tuple[object, str]] = {
        "pixels": (overrides.pixels, network.pixels_from),
        "colours": (overrides.colours, colours if network.colours or network.channels == 1 else ""),
        "resampling": (overrides.resampling, in_files if network.resampling else ""),
        "labels": (overrides.labels, in_files if network.output_names else ""),
        "output": (is_output, ""),
    }
    return {aspect: overrides.origin if by_user else in_file for aspect, (by_user, in_file) in stated.items()}


def _reasons(
    network: Network,
    overrides: ModelOverrides,
    stated_preprocessing: Preprocessing,
    *,
    chosen: Trial,
    trials: Sequence[Trial],
    known: Container[Label],
) -> dict[str, str]:
    stated = _origins(network, overrides)
    origins = {
        "pixels": stated["pixels"] if _scaling(chosen.preprocessing) == _scaling(stated_preprocessing) else "",
        "colours": stated["colours"] if chosen.preprocessing.colours == stated_preprocessing.colours else "",
        "labels": stated["labels"],
    }
    if len(network.single_output) > 1 or stated["output"]:
        origins["output"] = stated["output"]
    reasons = {
        aspect: reason
        or _trial_reason(
            chosen, next((trial for trial in trials if _value_of(trial, aspect) != _value_of(chosen, aspect)), None)
        )
        for aspect, reason in origins.items()
    }
    if not origins["labels"] and (unseen := [label for label in labels_among(chosen.outputs) if label not in known]):
        reasons["labels"] += f"; {', '.join(unseen)}: assumed, no picture shows it"
    return reasons


def _scaling(preprocessing: Preprocessing) -> tuple[object, ...]:
    return preprocessing.pixels, preprocessing.means, preprocessing.deviations


def _value_of(trial: Trial, aspect: str) -> tuple[object, ...]:
    match aspect:
        case "pixels":
            return _scaling(trial.preprocessing)
        case "colours":
            return (trial.preprocessing.colours,)
        case "output":
            return (trial.single_output,)
        case _:
            return trial.outputs


def _trial_reason(chosen: Trial, second: Trial | None) -> str:
    accuracy = f"chosen by trial: {chosen.accuracy.hits} of {chosen.accuracy.of}"
    if second is None:
        return accuracy
    against = f" against {second.accuracy.hits} of {second.accuracy.of}"
    losses = f", log loss {chosen.loss:.3f} against {second.loss:.3f}"
    close = len(second.losses) == len(chosen.losses) > STAGES[0] and not chosen.is_better_than(second)
    return accuracy + against + losses + (" (a tie within the margin)" if close else "")
