"""A converted file that lost too much is refused, whether labels are known or not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from converter.errors import GateError
from converter.masks.comparison import Answers, Comparison
from converter.masks.making import refuse_ruined

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
def test_more_than_five_of_a_hundred_are_too_many(labelled):
    refuse_ruined(converted(other=4, labelled=labelled), [])
    with pytest.raises(GateError, match=r"6\.0%"):
        refuse_ruined(converted(other=6, labelled=labelled), [])
