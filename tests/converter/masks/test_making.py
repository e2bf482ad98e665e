"""Making: a converted file that lost too much accuracy is rejected, with and without labels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from converter.errors import GateError
from converter.masks.comparison import Answers, Comparison
from converter.masks.making import make_smallest, refuse_ruined
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
    comparison = Comparison(Answers(labels, scores), Answers(labels, changed), truths)
    return SimpleNamespace(
        form="int8", title="int8", card=SimpleNamespace(name="a"), comparison=comparison, is_good=False
    )


@pytest.mark.parametrize("labelled", [True, False])
def test_more_than_five_percent_are_too_many(labelled):
    refuse_ruined(converted(other=4, labelled=labelled), [])
    with pytest.raises(GateError, match=r"6\.0%"):
        refuse_ruined(converted(other=6, labelled=labelled), [])


def making(*possible):
    """Makes these formats, and no other."""

    def make_one(form, _pictures):
        if form not in possible:
            raise ModelError(f"{form}: not here")
        return SimpleNamespace(form=form, is_good=True)

    return make_one


@pytest.mark.parametrize(
    ("possible", "made"),
    [
        (("int8", "float16"), ["int8"]),
        (("float16", "float32"), ["float16"]),
        (("int16", "float32"), ["int16"]),
        (("float32",), ["float32"]),
    ],
)
def test_a_model_that_int8_does_not_support_may_be_another_format(possible, made):
    pictures: Any = ()

    assert [one.form for one in make_smallest(making(*possible), pictures)] == made


def test_a_model_without_a_possible_format_is_refused_with_the_reason_of_int8():
    pictures: Any = ()

    with pytest.raises(ModelError, match="int8: not here"):
        make_smallest(making(), pictures)
