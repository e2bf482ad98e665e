"""What people write for labels, and where the probabilities of outputs go."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from converter.masks.outputs import Output, StatedLabels, parse_labels, sharing_out


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("with_mask,without_mask", StatedLabels(("with_mask", "without_mask"))),
        ("nomask, mask, incorrect_mask", StatedLabels(("without_mask", "with_mask", "mask_worn_incorrectly"))),
        ("with_mask,without_mask,uncertain=ignore", None),
        (
            "Sim=with_mask,Nao=nomask,Fundo=ignore",
            StatedLabels(("with_mask", "without_mask", "ignore"), ("Sim", "Nao", "Fundo")),
        ),
        ("with_mask,without_mask,background", StatedLabels(("with_mask", "without_mask", "no_face"))),
    ],
)
def test_labels_are_given_in_order_or_by_name(text, stated):
    if stated is None:
        with pytest.raises(argparse.ArgumentTypeError):
            parse_labels(text)
    else:
        assert parse_labels(text) == stated


@pytest.mark.parametrize("text", ["", "cats,dogs", "with_mask,with_mask", "ignore,ignore"])
def test_what_are_no_labels_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        parse_labels(text)


def test_what_falls_to_an_ignored_output_says_nothing():
    outputs: tuple[Output, ...] = ("ignore", "with_mask", "without_mask")

    shares = np.array([[0.8, 0.15, 0.05], [0.0, 0.1, 0.9]]) @ sharing_out(outputs)

    assert shares == pytest.approx(np.array([[0.55, 0.45], [0.1, 0.9]]))
