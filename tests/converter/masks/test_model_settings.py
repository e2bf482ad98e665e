"""Model settings: preprocessing and labels from options, from the file, or from trials on labelled pictures."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from converter.errors import AccuracyError
from converter.masks.metrics import Share
from converter.masks.model_settings import describe_low_accuracy, describe_network, determine_settings
from converter.masks.networks import Network
from converter.masks.outputs import LabelMapping, parse_labels
from converter.masks.overrides import ModelOverrides
from converter.masks.preprocessing import PER_CHANNEL, Preprocessing, rare_preprocessings
from converter.masks.trials import STAGES
from edge_agent.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from edge_agent.domain import Label

SIDE_PX = 8
MASK, BARE = (40, 90, 160), (200, 130, 80)
"""RGB of a "face" with and without a mask."""
LABELS: tuple[Label, ...] = ("with_mask", "without_mask")
TRUTHS = LABELS * 40


def pictures():
    """RGB pictures of either label in turn, of many brightnesses."""
    random = np.random.default_rng(1)
    colours = [np.array(MASK if truth == "with_mask" else BARE) for truth in TRUTHS]
    shades = [np.clip(colour * random.uniform(0.8, 1.15) + random.normal(0, 20, 3), 0, 255) for colour in colours]
    return np.array([np.full((SIDE_PX, SIDE_PX, 3), shade) for shade in shades], np.uint8)


def a_network(preprocessing, *, outputs=2, swapped=False, blind=False, **known):
    """A network that was trained by a way: it holds the mean of each channel against that of either colour."""
    centres = [preprocessing.values(np.full((1, 1, 3), colour, np.uint8)).reshape(-1) * 0.95 for colour in (MASK, BARE)]
    select_evenly = np.abs(centres[0] - centres[1]).mean()

    def probabilities(values):
        seen = values.mean(axis=(0, 1, 2))
        distances = np.array([np.abs(seen - centre).mean() / select_evenly for centre in centres])
        scores = np.exp(-6 * distances) if not blind else np.ones(2)
        shares = scores / max(scores.sum(), 1e-12)
        shares = shares[::-1] if swapped else shares
        return np.array([shares[1]]) if outputs == 1 else np.append(shares, [0.0] * (outputs - 2))

    return Network(
        path=Path("a.keras"),
        name="a",
        kind="made up",
        height_px=SIDE_PX,
        width_px=SIDE_PX,
        channels=preprocessing.channels,
        outputs=outputs,
        probabilities=probabilities,
        **known,
    )


def choose_for(network, overrides=None, *, labels=TRUTHS, force=False, scaled=None):
    seen = scaled or {"area": pictures(), "linear": pictures()}
    return determine_settings(network, overrides or ModelOverrides(), seen, labels, force=force)


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing("-1..1", "rgb"),
        Preprocessing("0..1", "bgr"),
        Preprocessing("0..255", "rgb"),
        Preprocessing("0..1", "grey"),
        PER_CHANNEL[0],
    ],
    ids=str,
)
def test_the_preprocessing_of_a_network_is_found(preprocessing):
    settings = choose_for(a_network(preprocessing), ModelOverrides(labels=LabelMapping(LABELS)))

    assert settings.preprocessing == preprocessing
    assert settings.accuracy is not None
    assert settings.accuracy.value > 0.9
    assert "chosen by trial" in settings.reasons["pixels"]
    assert settings.reasons["labels"] == "stated"


RARE_IN_COLOUR = [one for one in rare_preprocessings(3) if one.pixels == "0..1" and one.means[0] < 0.5]
"""A network of flat colours cannot tell the others from a common one."""


@pytest.mark.parametrize("preprocessing", [*rare_preprocessings(1), *RARE_IN_COLOUR], ids=str)
def test_a_rare_preprocessing_is_found_if_no_common_one_comes_close(preprocessing):
    settings = choose_for(a_network(preprocessing), ModelOverrides(labels=LabelMapping(LABELS)))

    assert settings.preprocessing == preprocessing
    assert "chosen by trial" in settings.reasons["pixels"]


def test_rare_preprocessings_far_behind_the_best_are_tried_on_the_first_pictures_only():
    network, rare = a_network(Preprocessing("0..255")), rare_preprocessings(3)
    values_of_rare = {one.values(picture).tobytes() for one in rare for picture in pictures()}
    rare_calls = 0

    def probabilities(values):
        nonlocal rare_calls
        if values.tobytes() in values_of_rare:
            rare_calls += 1
            return np.array([0.5, 0.5])
        return network.probabilities(values)

    choose_for(replace(network, probabilities=probabilities), ModelOverrides(labels=LabelMapping(LABELS)))

    assert rare_calls == STAGES[0] * len(rare)


def test_each_picture_is_classified_once_per_preprocessing():
    network = a_network(Preprocessing("0..255"))
    calls: Counter[bytes] = Counter()

    def probabilities(values):
        calls[values.tobytes()] += 1
        return network.probabilities(values)

    settings = choose_for(replace(network, probabilities=probabilities), ModelOverrides(labels=LabelMapping(LABELS)))

    assert settings.preprocessing == Preprocessing("0..255")
    assert set(calls.values()) == {1}


def test_a_colour_space_that_the_device_does_not_compute_is_named():
    def probabilities(values):
        hue = values[..., 0].mean()
        is_mask = 0.4 < hue < 0.55 or (not 0.03 < hue < 0.12 and int(1000 * abs(values.sum())) % 2)
        return np.array([0.98, 0.02] if is_mask else [0.02, 0.98])

    network = replace(a_network(Preprocessing()), probabilities=probabilities)

    with pytest.raises(AccuracyError, match=r"in HSV \(0\.\.1\).*train it again on RGB"):
        choose_for(network)


@pytest.mark.parametrize("file", [{"pixels": "0..1", "pixels_from": "found in the file"}, {}])
def test_a_rare_preprocessing_is_not_tried_against_a_stated_one(file):
    overrides = ModelOverrides(labels=LabelMapping(LABELS), pixels=None if file else "0..1")

    settings = choose_for(a_network(rare_preprocessings(3)[0], **file), overrides, force=True)

    assert settings.preprocessing not in rare_preprocessings(3)


@pytest.mark.parametrize(("right", "warns"), [(0.75, True), (0.9, False)])
def test_a_low_accuracy_suggests_to_state_the_preprocessing(right, warns):
    known = choose_for(a_network(Preprocessing()), ModelOverrides(labels=LabelMapping(LABELS)))
    stated = choose_for(a_network(Preprocessing()), ModelOverrides(labels=LabelMapping(LABELS), pixels="-1..1"))

    found = [replace(one, accuracy=Share(round(160 * right), 160)) for one in (known, stated)]

    assert ["--pixels" in line for line in describe_low_accuracy(found[0])] == [True] * warns
    assert not describe_low_accuracy(found[1])


@pytest.mark.parametrize(("outputs", "swapped"), [(2, False), (2, True), (1, False), (1, True)])
def test_the_order_of_labels_is_found_if_not_given(outputs, swapped):
    settings = choose_for(a_network(Preprocessing(), outputs=outputs, swapped=swapped), ModelOverrides(colours="rgb"))

    assert settings.labels == (LABELS[::-1] if swapped else LABELS)
    assert "chosen by trial" in settings.reasons["labels"]


def test_labels_in_the_wrong_order_are_refused_with_the_right_one():
    overrides = ModelOverrides(labels=LabelMapping(LABELS[::-1]), pixels="-1..1", colours="rgb")

    with pytest.raises(AccuracyError, match="--labels with_mask,without_mask"):
        choose_for(a_network(Preprocessing()), overrides)
    assert choose_for(a_network(Preprocessing()), overrides, force=True).labels == LABELS[::-1]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("value_of", "meaning"),
    [
        (lambda share: np.log(share / (1 - share)), "logit"),
        # Dense(1) trained on 0 and 1.
        (lambda share: 1.3 * share - 0.15, "probability"),
        # The same with a ReLU.
        (lambda share: np.maximum(0, 1.3 * share - 0.15), "probability"),
        (lambda share: np.clip(1.3 * share - 0.15, 0, 1), "probability"),
    ],
    ids=["logit", "linear", "relu", "clipped"],
)
def test_the_meaning_of_a_single_output_is_found(value_of, meaning, swapped):
    network = a_network(Preprocessing("0..1"), outputs=1, swapped=swapped, single_output=("logit", "probability"))
    original = network.probabilities
    network = replace(network, probabilities=lambda values: value_of(np.clip(original(values), 1e-9, 1 - 1e-9)))

    settings = choose_for(network, ModelOverrides(pixels="0..1", colours="rgb"))

    assert settings.single_output == settings.as_json()["single_output"] == meaning
    assert settings.accuracy is not None
    assert settings.accuracy.value > 0.9
    assert settings.reasons["output"].startswith("chosen by trial")


@pytest.mark.parametrize("stated", ["probability", "logit"])
def test_without_labelled_pictures_the_meaning_of_a_single_output_has_to_be_stated(stated):
    network = a_network(Preprocessing(), outputs=1, single_output=("logit", "probability"))
    overrides = ModelOverrides(labels=LabelMapping(LABELS), pixels="-1..1", colours="rgb")

    with pytest.raises(ConfigError, match="--single-output"):
        choose_for(network, overrides, labels=[None] * len(TRUTHS))

    settings = choose_for(network, replace(overrides, single_output=stated), labels=[None] * len(TRUTHS))
    assert settings.as_json()["single_output"] == stated
    assert settings.reasons["output"] == "stated"


def test_without_labelled_pictures_a_single_output_of_zero_one_is_a_probability():
    network = a_network(Preprocessing(), outputs=1, single_output=("probability", "logit"))
    overrides = ModelOverrides(labels=LabelMapping(LABELS), pixels="-1..1", colours="rgb")

    settings = choose_for(network, overrides, labels=[None] * len(TRUTHS))

    assert settings.single_output == "probability"


def test_pictures_refute_the_stated_meaning_of_a_single_output():
    network = a_network(Preprocessing("0..1"), outputs=1, single_output=("logit", "probability"))
    overrides = ModelOverrides(pixels="0..1", colours="rgb", single_output="logit")

    with pytest.raises(AccuracyError, match="--single-output probability"):
        choose_for(network, overrides)
    assert choose_for(network, overrides, force=True).single_output == "logit"


@pytest.mark.parametrize(("outputs", "said"), [(1, r"0\.\.1"), (2, "2 outputs")])
def test_a_meaning_of_the_output_that_contradicts_the_file_is_refused(outputs, said):
    with pytest.raises(ConfigError, match=said):
        choose_for(a_network(Preprocessing(), outputs=outputs), ModelOverrides(single_output="logit"))


@pytest.mark.parametrize("labels", [TRUTHS, [None] * len(TRUTHS)], ids=["labelled", "not labelled"])
@pytest.mark.parametrize(("error", "is_refused"), [(0.002, False), (0.03, True)])
def test_a_conversion_is_compared_with_the_file_on_the_pictures(labels, error, is_refused):
    network = a_network(Preprocessing("0..1"))
    compared = []

    def reference(values):
        compared.append(values)
        return np.add(network.probabilities(values), [error, -error])

    overrides = ModelOverrides(labels=LabelMapping(LABELS), pixels="0..1", colours="rgb")
    with pytest.raises(ModelError, match="dynamo") if is_refused else contextlib.nullcontext():
        choose_for(replace(network, reference=reference), overrides, labels=labels)

    assert 10 < len(compared) <= 40
    assert 0 <= np.min(compared) < 0.5 < np.max(compared) <= 1


def test_rounding_of_logits_is_no_difference():
    network = replace(a_network(Preprocessing("0..1"), outputs=1), scores=None, single_output=("logit",))
    logit = replace(network, probabilities=lambda values: 40 * network.probabilities(values) - 20)

    choose_for(
        replace(logit, reference=lambda values: logit.probabilities(values) + 0.01),
        ModelOverrides(labels=LabelMapping(LABELS), pixels="0..1", colours="rgb"),
    )


def two_kinds_of_masks():
    """A network whose third output gets a third of the pictures with a mask, whatever the preprocessing."""
    network = a_network(Preprocessing(), outputs=3)

    def probabilities(values):
        shares = network.probabilities(values)
        is_second_kind = shares[0] > 0.5 and int(1000 * abs(values.sum())) % 3 == 0
        return shares[[2, 1, 0]] if is_second_kind else shares

    return replace(network, probabilities=probabilities)


def test_a_label_that_was_assumed_for_many_pictures_has_to_be_stated():
    with pytest.raises(AccuracyError, match=r"as mask_worn_incorrectly, which was assumed.*state --labels"):
        choose_for(two_kinds_of_masks(), ModelOverrides(pixels="-1..1", colours="rgb"))

    said = parse_labels("with_mask,without_mask,with_mask")
    settings = choose_for(two_kinds_of_masks(), ModelOverrides(labels=said, pixels="-1..1", colours="rgb"))
    assert settings.labels == LABELS
    assert settings.accuracy is not None
    assert settings.accuracy.value > 0.9


def test_a_label_without_pictures_is_reported_as_assumed():
    settings = choose_for(a_network(Preprocessing(), outputs=3), ModelOverrides(colours="rgb"))

    assert settings.outputs == (*LABELS, "mask_worn_incorrectly")
    assert "mask_worn_incorrectly: assumed" in settings.reasons["labels"]


def test_three_labels_in_the_wrong_order_are_refused():
    overrides = ModelOverrides(labels=LabelMapping(("mask_worn_incorrectly", *LABELS)), pixels="-1..1", colours="rgb")

    with pytest.raises(AccuracyError, match="--labels with_mask,without_mask,mask_worn_incorrectly"):
        choose_for(a_network(Preprocessing(), outputs=3), overrides)


def test_a_given_range_with_clearly_worse_results_is_refused_with_the_better_one():
    overrides = ModelOverrides(labels=LabelMapping(LABELS), pixels="0..255")

    with pytest.raises(AccuracyError, match=r"--pixels=0\.\.1 --colours bgr"):
        choose_for(a_network(Preprocessing("0..1", "bgr")), overrides)


def test_a_network_at_chance_is_refused():
    with pytest.raises(AccuracyError, match="which is chance"):
        choose_for(a_network(Preprocessing(), blind=True), ModelOverrides(labels=LabelMapping(LABELS)))


@pytest.mark.parametrize("outputs", [2, 3])
@pytest.mark.parametrize("bare", [40, 4])
def test_a_network_that_always_gives_the_same_answer_is_at_chance(outputs, bare):
    # Of 44 labelled pictures it reads 40 right, and of three labels pictures show two.
    labels = [truth if truth == "with_mask" or index < 2 * bare else None for index, truth in enumerate(TRUTHS)]
    network = a_network(Preprocessing(), outputs=outputs)
    constant = replace(network, probabilities=lambda values: np.array([0.9, 0.1, 0.0][:outputs]))

    with pytest.raises(AccuracyError, match="which is chance"):
        choose_for(
            constant, ModelOverrides(labels=LabelMapping((*LABELS, "mask_worn_incorrectly")[:outputs])), labels=labels
        )
    assert choose_for(
        network, ModelOverrides(labels=LabelMapping((*LABELS, "mask_worn_incorrectly")[:outputs])), labels=labels
    )


def test_pictures_of_a_label_that_a_network_lacks_do_not_count():
    labels = ["mask_worn_incorrectly" if index % 5 else truth for index, truth in enumerate(TRUTHS * 2)]

    settings = determine_settings(
        a_network(Preprocessing("0..1")),
        ModelOverrides(labels=LabelMapping(LABELS)),
        {"area": np.concatenate([pictures()] * 2), "linear": np.concatenate([pictures()] * 2)},
        labels,
    )

    assert settings.accuracy is not None
    assert settings.accuracy.of == 32
    assert settings.accuracy.hits > 28


def test_an_overconfident_network_is_not_refused_as_one_at_chance():
    """Wrong on a third of the pictures and sure of each: by log loss alone, saying nothing is nearly as good."""
    torch = PER_CHANNEL[2]

    def probabilities(values):
        if values.min() >= 0:
            return np.array([0.5, 0.5])
        seen = (values.mean(axis=(0, 1, 2)) * torch.deviations + torch.means) * 255
        bluer, bright = seen[2] > seen[0], seen.sum() > 0.92 * sum(MASK if seen[2] > seen[0] else BARE)
        sure = 1 / (1 + np.exp(-9.0))
        return np.array([sure, 1 - sure] if bluer == bright else [1 - sure, sure])

    network = replace(a_network(torch), probabilities=probabilities)
    overrides = ModelOverrides(labels=LabelMapping(LABELS))
    with pytest.raises(AccuracyError, match="do not show what is right"):
        choose_for(network, overrides)
    settings = choose_for(network, replace(overrides, pixels="0..1", colours="rgb"))

    assert settings.preprocessing == torch
    assert 0.55 < (settings.accuracy.value or 0) < 0.8


def test_the_metadata_of_the_file_decides_between_equal_trials():
    file = {"pixels": "0..255", "pixels_from": "found in the file"}

    settings = choose_for(a_network(Preprocessing("0..255"), **file), ModelOverrides(labels=LabelMapping(LABELS)))

    assert settings.reasons["pixels"] == "found in the file"


def test_the_colour_order_of_a_training_run_is_used():
    network = a_network(
        Preprocessing(colours="bgr"), colours="bgr", pixels="-1..1", pixels_from="found in the files of the model"
    )

    settings = determine_settings(network, ModelOverrides(labels=LabelMapping(LABELS)), {}, ())

    assert settings.preprocessing.colours == "bgr"
    assert settings.reasons["colours"].startswith("found in the files")


def test_without_labelled_pictures_nothing_is_reported_as_checked():
    network = a_network(Preprocessing("0..1"))

    overrides = ModelOverrides(labels=LabelMapping(LABELS))
    settings = choose_for(network, overrides, labels=[None] * len(TRUTHS), force=True)

    assert settings.accuracy is None
    assert "not checked" in settings.reasons["pixels"]
    with pytest.raises(ConfigError, match="does not state what its 2 outputs mean"):
        choose_for(network, labels=[None] * len(TRUTHS))


@pytest.mark.parametrize(
    "labels",
    [
        [None] * 80,
        [*LABELS * 9, *[None] * 62],
        ["with_mask" if one == "with_mask" else None for one in TRUTHS],
        [truth if truth == "with_mask" or i < 6 else None for i, truth in enumerate(TRUTHS)],
    ],
    ids=["none", "few", "of one label", "hardly of another"],
)
@pytest.mark.parametrize(
    ("stated", "in_file", "assumed"),
    [
        ({}, {}, {"pixels", "colours"}),
        ({"pixels": "0..1"}, {}, {"colours"}),
        ({}, {"pixels": "0..1", "pixels_from": "found in the file"}, {"colours"}),
        ({}, {"colours": "rgb"}, {"pixels"}),
        ({"colours": "rgb"}, {"pixels": "0..1", "pixels_from": "found in the file"}, set()),
    ],
)
def test_without_enough_labelled_pictures_what_is_assumed_is_reported(labels, stated, in_file, assumed):
    network = a_network(Preprocessing("0..1"), **in_file)

    settings = choose_for(network, ModelOverrides(labels=LabelMapping(LABELS), **stated), labels=labels)

    reason = "assumed, and not checked: too few labelled pictures"
    assert {aspect for aspect in ("pixels", "colours") if settings.reasons[aspect] == reason} == assumed
    assert settings.preprocessing == Preprocessing("-1..1" if "pixels" in assumed else "0..1")
    assert settings.accuracy is None


def with_answers(ways):
    """A network that is right on the given pictures, by preprocessing, and wrong on all others; sure of no answer."""
    numbered = {pixels.tobytes(): index for index, pixels in enumerate(pictures())}
    seen = {
        way.values(pixels).tobytes(): (index, right)
        for way, right in ways.items()
        for pixels, index in (
            (np.frombuffer(raw, np.uint8).reshape(SIDE_PX, SIDE_PX, 3), i) for raw, i in numbered.items()
        )
    }

    def probabilities(values):
        index, right = seen.get(values.tobytes(), (0, ()))
        is_masked = (TRUTHS[index] == "with_mask") == (index in right)
        return np.array([0.7, 0.3] if is_masked else [0.3, 0.7])

    return replace(a_network(Preprocessing()), probabilities=probabilities)


def test_an_ambiguous_preprocessing_has_to_be_stated():
    ways = {Preprocessing("-1..1"): range(56), Preprocessing("0..1"): range(20, 76)}

    with pytest.raises(AccuracyError, match=r"56 are correct .*, 56 with .*classify 40 differently; state --pixels as"):
        choose_for(with_answers(ways), ModelOverrides(labels=LabelMapping(LABELS)))

    overrides = ModelOverrides(labels=LabelMapping(LABELS), pixels="0..1")
    assert choose_for(with_answers(ways), overrides).preprocessing == Preprocessing("0..1")
    in_file = replace(with_answers(ways), pixels="0..1", pixels_from="found in the file")
    assert choose_for(in_file, ModelOverrides(labels=LabelMapping(LABELS))).preprocessing == Preprocessing("0..1")


@pytest.mark.parametrize(
    ("means", "deviations"), [((0.0,) * 3, (1.0,) * 3), (PER_CHANNEL[2].means, PER_CHANNEL[2].deviations)]
)
def test_ambiguous_means_have_to_be_stated_also_that_there_are_none(means, deviations):
    ways = {Preprocessing("0..1"): range(56), PER_CHANNEL[2]: range(20, 76)}
    overrides = ModelOverrides(labels=LabelMapping(LABELS), pixels="0..1")

    with pytest.raises(AccuracyError, match=r"state --means \(0,0,0 for none\), --std \(1,1,1 for none\) as"):
        choose_for(with_answers(ways), overrides)

    settings = choose_for(with_answers(ways), replace(overrides, means=means, deviations=deviations))
    assert settings.preprocessing == (PER_CHANNEL[2] if any(means) else Preprocessing("0..1"))


def test_stated_means_are_tried_in_both_colour_orders():
    bgr = Preprocessing("0..255", "bgr", (90.0, 100.0, 110.0))
    overrides = ModelOverrides(labels=LabelMapping(LABELS), pixels=bgr.pixels, means=bgr.means)

    assert choose_for(with_answers({bgr: range(76)}), overrides).preprocessing == bgr


def test_an_ambiguous_order_of_labels_has_to_be_stated():
    # With BGR and the labels the other way round, it is right on 52 pictures.
    ways = {Preprocessing("-1..1"): range(56), Preprocessing("-1..1", "bgr"): range(28)}

    with pytest.raises(AccuracyError, match="state --colours, --labels as in training"):
        choose_for(with_answers(ways), ModelOverrides(pixels="-1..1"))
    assert choose_for(with_answers(ways), ModelOverrides(pixels="-1..1", colours="rgb")).labels == LABELS
    assert choose_for(with_answers(ways), ModelOverrides(pixels="-1..1"), force=True).labels == LABELS


def test_preprocessings_that_classify_alike_need_no_decision():
    ways = {Preprocessing("-1..1"): range(56), Preprocessing("0..1"): range(56)}

    assert choose_for(with_answers(ways), ModelOverrides(labels=LabelMapping(LABELS))).accuracy == Share(56, 80)


def test_the_more_frequent_label_does_not_choose_the_preprocessing():
    # On the wrong pixels, it says "with a mask" to all 40 with one, and to 8 of 12 without one.
    labels = [truth if truth == "with_mask" or index < 24 else None for index, truth in enumerate(TRUTHS)]
    bare = [index for index, truth in enumerate(TRUTHS) if truth == "without_mask" and index < 24]
    masked = list(range(0, 80, 2))
    ways = {Preprocessing("0..1"): {*masked[:28], *bare}, Preprocessing("-1..1"): {*masked, *bare[:4]}}

    settings = choose_for(with_answers(ways), ModelOverrides(labels=LabelMapping(LABELS)), labels=labels)

    assert settings.preprocessing == Preprocessing("0..1")


def test_an_ignored_output_is_distributed_among_the_labels():
    network = a_network(Preprocessing(), outputs=3)

    settings = choose_for(network, ModelOverrides(labels=LabelMapping((*LABELS, "ignore"))))

    assert settings.labels == LABELS
    assert settings.outputs == (*LABELS, "ignore")
    assert settings.accuracy is not None
    assert settings.accuracy.value > 0.9


def test_names_in_the_file_are_recognised_or_have_to_be_given():
    known = a_network(Preprocessing(), outputs=3, output_names=("0 Mask", "1 No Mask", "2 Background"))
    assert choose_for(known).outputs == (*LABELS, "no_face")

    foreign = a_network(Preprocessing(), output_names=("0 Com Mascara", "1 Sem Mascara"))
    with pytest.raises(ConfigError, match=r"'0 Com Mascara', '1 Sem Mascara'.*--labels"):
        choose_for(foreign)
    said = parse_labels("Sem Mascara=without_mask,Com Mascara=with_mask")
    assert choose_for(foreign, ModelOverrides(labels=said)).labels == LABELS


def test_the_number_of_labels_has_to_be_that_of_outputs():
    with pytest.raises(ConfigError, match=r"its 2 output\(s\) need 2 labels, and 3 are named"):
        choose_for(a_network(Preprocessing()), ModelOverrides(labels=LabelMapping((*LABELS, "ignore"))))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (ModelOverrides(colours="grey"), "takes 3 channels"),
        (ModelOverrides(means=(1.0,)), "--means: gives 1 numbers"),
        (ModelOverrides(deviations=(1.0, 0.0, 1.0)), "--std: a standard deviation is not 0"),
    ],
)
def test_contradicting_options_are_refused(overrides, said):
    with pytest.raises(ConfigError, match=said):
        choose_for(a_network(Preprocessing()), overrides)


@pytest.mark.parametrize(
    ("worse", "stated", "file", "chosen"),
    [
        # Noise makes a picture harder to read.
        ("area", None, None, "linear"),
        ("linear", None, None, "area"),
        ("area", "area", None, "area"),
        ("linear", "linear", None, "linear"),
        ("area", None, "area", "area"),
    ],
)
def test_scaling_of_pictures_is_tried_unless_known(worse, stated, file, chosen):
    noisy = pictures() // 2 + np.random.default_rng(2).integers(0, 120, (len(TRUTHS), 1, 1, 3), np.uint8)
    scaled = {name: noisy.astype(np.uint8) if name == worse else pictures() for name in ("area", "linear")}
    network = a_network(Preprocessing("0..1"), resampling=file)

    settings = choose_for(network, ModelOverrides(labels=LabelMapping(LABELS), resampling=stated), scaled=scaled)

    assert settings.resampling == chosen
    assert settings.as_json()["resampling"] == chosen
    assert settings.reasons["resampling"].startswith(
        "stated" if stated else "found in the files" if file else "chosen by trial"
    )


@pytest.mark.parametrize("lighter", ["area", "linear"])
@pytest.mark.parametrize("usual", ["area", "linear"])
def test_a_tie_between_resamplings_is_decided_by_the_framework(lighter, usual):
    scaled = {name: np.clip(pictures(), 0, 250) + np.uint8(name == lighter) for name in ("area", "linear")}
    network = a_network(Preprocessing("0..1"), usual_resampling=usual)

    settings = choose_for(network, ModelOverrides(labels=LabelMapping(LABELS)), scaled=scaled)

    assert settings.resampling == usual
    assert "a tie" in settings.reasons["resampling"]


@pytest.mark.parametrize("usual", ["area", "linear"])
def test_the_resampling_of_the_framework_is_assumed_if_no_picture_is_scaled_down(usual):
    network = a_network(Preprocessing("0..1"), usual_resampling=usual)

    settings = choose_for(network, ModelOverrides(labels=LabelMapping(LABELS)))

    assert settings.resampling == usual
    assert settings.reasons["resampling"].startswith("assumed")


def test_scores_that_are_right_by_little_win_over_confident_ones_that_are_less_accurate():
    trained_on = Preprocessing("0..1")
    network = a_network(trained_on)

    def probabilities(values):
        mean = float(values.mean())
        if not 0 <= mean <= 1:
            # Confident about pixels of any other range, and wrong for one picture in nine.
            scores = network.probabilities(np.clip(values / values.max(), 0, 1)) if mean > 1 else np.array([0.5, 0.5])
            return scores if int(values.sum()) % 9 else scores[::-1]
        return 0.5 + (network.probabilities(values).round() - 0.5) * 0.06

    settings = choose_for(replace(network, probabilities=probabilities), ModelOverrides(labels=LabelMapping(LABELS)))

    assert settings.preprocessing == trained_on


def test_colours_and_labels_exchanged_at_once_are_left_to_the_user():
    def probabilities(values):
        red, _, blue = values.mean(axis=(0, 1, 2))
        return np.array([0.99, 0.01] if blue > red else [0.01, 0.99])

    network = replace(a_network(Preprocessing()), probabilities=probabilities)

    with pytest.raises(AccuracyError, match=r"--colours.*--labels"):
        choose_for(network)
    for stated in (ModelOverrides(labels=LabelMapping(LABELS)), ModelOverrides(colours="rgb")):
        settings = choose_for(network, stated)
        assert (settings.preprocessing.colours, settings.outputs) == ("rgb", LABELS)


def test_pictures_of_a_label_without_an_output_are_reported():
    network = a_network(Preprocessing())
    settings = choose_for(network, ModelOverrides(labels=LabelMapping(LABELS)))
    incorrect: Label = "mask_worn_incorrectly"

    lines = describe_network(network, settings, [*TRUTHS, *[incorrect] * 7], if_unverified="")

    assert sum("7 pictures of mask_worn_incorrectly" in line for line in lines) == 1


def test_values_below_zero_refute_a_probability_that_only_the_loss_suggests():
    network = replace(
        a_network(Preprocessing(), outputs=1),
        single_output=("probability", "logit"),
        single_output_from="its loss",
        probabilities=lambda values: np.array([-1.0 if values[..., 0].mean() < 0 else 1.0]),
    )
    stated = ModelOverrides(labels=LabelMapping(LABELS))

    with pytest.raises(ConfigError, match="--single-output"):
        choose_for(network, stated, labels=[None] * len(TRUTHS))
    assert choose_for(network, replace(stated, single_output="logit"), labels=[None] * 80).single_output == "logit"
