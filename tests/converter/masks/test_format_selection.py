"""Format selection: a converted file that lost too much accuracy is rejected, with and without labels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from converter.errors import AccuracyError
from converter.masks.comparison import Comparison, Predictions
from converter.masks.format_selection import MAX_BEST_LOSS, check_loss, convert_smallest
from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from edge_agent.domain import Label

PICTURES = 100


def converted(*, other: int, labelled: bool) -> Any:
    """A file that reads so many of the pictures otherwise than its source, which reads all right."""
    scores = np.tile([0.9, 0.1], (PICTURES, 1))
    changed = scores.copy()
    changed[:other] = [0.1, 0.9]
    labels: tuple[Label, ...] = ("with_mask", "without_mask")
    truths: tuple[Label | None, ...] = ("with_mask" if labelled else None,) * PICTURES
    comparison = Comparison(Predictions(labels, scores), Predictions(labels, changed), truths)
    return SimpleNamespace(
        output_format="int8", title="int8", card=SimpleNamespace(name="a"), comparison=comparison, is_accurate=False
    )


@pytest.mark.parametrize("labelled", [True, False])
def test_more_than_five_percent_are_too_many(labelled):
    check_loss(converted(other=5, labelled=labelled), [])
    with pytest.raises(AccuracyError, match=r"6\.0%"):
        check_loss(converted(other=6, labelled=labelled), [])


@pytest.mark.parametrize("hits", [2, 165, 200])
def test_one_picture_of_two_hundred_is_half_a_point(hits):
    labels: tuple[Label, ...] = ("with_mask", "without_mask")
    scores = np.tile([0.1, 0.9], (200, 1))
    scores[:hits] = [0.9, 0.1]
    worse = scores.copy()
    worse[0] = [0.1, 0.9]

    comparison = Comparison(Predictions(labels, scores), Predictions(labels, worse), ("with_mask",) * 200)

    assert comparison.loss == MAX_BEST_LOSS


def all_alike(hits):
    """A file that reads half of the pictures right, as its source does, or so many more."""
    labels: tuple[Label, ...] = ("with_mask", "without_mask")
    scores = np.tile([0.9, 0.1], (PICTURES, 1))
    scores[PICTURES - hits :] = [0.1, 0.9]
    predictions = Predictions(labels, scores)
    comparison = Comparison(predictions, predictions, tuple(label for label in labels for _ in range(PICTURES // 2)))
    return SimpleNamespace(output_format="int8", title="int8", card=SimpleNamespace(name="a"), comparison=comparison)


def test_a_file_that_guesses_is_refused_even_if_its_source_does_too():
    check_loss(all_alike(hits=40), [])
    with pytest.raises(AccuracyError, match=r"54 of 100 .* chance"):
        check_loss(all_alike(hits=4), [])


def test_a_format_that_loses_as_much_is_not_advised():
    worse = converted(other=8, labelled=True)
    better = converted(other=2, labelled=True)
    worse.output_format, better.output_format = "int16", "float16"

    with pytest.raises(AccuracyError, match="use more and more varied"):
        check_loss(converted(other=9, labelled=True), [worse])
    with pytest.raises(AccuracyError, match="use --format float16"):
        check_loss(converted(other=9, labelled=True), [worse, better])


def converter_of(*possible):
    """Makes these formats, and no other."""

    def convert_to(output_format, _pictures):
        if output_format not in possible:
            raise ModelError(f"{output_format}: not here")
        return SimpleNamespace(output_format=output_format, is_accurate=True)

    return convert_to


@pytest.mark.parametrize(
    ("possible", "converted"),
    [
        (("int8", "float16"), ["int8"]),
        (("float16", "float32"), ["float16"]),
        (("int16", "float32"), ["int16"]),
        (("float32",), ["float32"]),
    ],
)
def test_a_model_that_int8_does_not_support_may_be_another_format(possible, converted):
    pictures: Any = ()

    assert [model.output_format for model in convert_smallest(converter_of(*possible), pictures)] == converted


def test_a_model_without_a_possible_format_is_refused_with_the_reason_of_int8():
    pictures: Any = ()

    with pytest.raises(ModelError, match="int8: not here"):
        convert_smallest(converter_of(), pictures)
