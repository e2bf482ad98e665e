"""Outputs: common spellings of labels, and the order of probabilities."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from converter.masks.outputs import LabelMapping, Output, label_matrix, labels_among, parse_labels, unknown_names
from edge_agent.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("with_mask,without_mask", LabelMapping(("with_mask", "without_mask"))),
        ("nomask, mask, incorrect_mask", LabelMapping(("without_mask", "with_mask", "mask_worn_incorrectly"))),
        (
            "with_mask,uncertain=ignore,without_mask",
            LabelMapping(("with_mask", "ignore", "without_mask"), ("", "uncertain", "")),
        ),
        (
            "Sim=with_mask,Nao=nomask,Fundo=ignore",
            LabelMapping(("with_mask", "without_mask", "ignore"), ("Sim", "Nao", "Fundo")),
        ),
        ("with_mask,without_mask,background", LabelMapping(("with_mask", "without_mask", "no_face"))),
    ],
)
def test_labels_are_given_in_order_or_by_name(text, expected):
    assert parse_labels(text) == expected


def test_partly_named_labels_are_taken_in_order():
    overrides = parse_labels("with_mask,uncertain=ignore,without_mask")

    for names in ((), ("0 mascara", "1 uncertain", "2 sem")):
        assert overrides.in_order_of(names, path="a.h5") == ("with_mask", "ignore", "without_mask")
    with pytest.raises(ConfigError, match="NAME=LABEL"):
        overrides.in_order_of(("uncertain", "mask", "no mask"), path="a.h5")


@pytest.mark.parametrize(
    ("names", "example"),
    [
        (("0 Sin mascarilla", "1 Con mascarilla"), "0 Sin mascarilla=without_mask,1 Con mascarilla=with_mask"),
        (("Avec masque", "Sans masque"), "Avec masque=with_mask,Sans masque=without_mask"),
        (("未戴口罩", "戴口罩"), "未戴口罩=without_mask,戴口罩=with_mask"),
        (("Class 1", "Class 2"), "Class 1=with_mask,Class 2=without_mask"),
        (("nomask", "Sem", "Com"), "nomask=without_mask,Sem=with_mask,Com=mask_worn_incorrectly"),
        # The option cannot tell them apart.
        (("0 Mask", "1 mask"), "with_mask,without_mask"),
        (("mask, on", "mask, off"), "with_mask,without_mask"),
    ],
)
def test_the_proposed_labels_match_the_names_in_the_file(names, example):
    assert f"--labels '{example}'" in unknown_names("a.h5", names)


def test_the_probabilities_of_outputs_with_the_same_label_are_added():
    outputs = parse_labels("with_mask,with_mask,without_mask").outputs

    assert labels_among(outputs) == ("with_mask", "without_mask")
    assert np.array([[0.3, 0.3, 0.4]]) @ label_matrix(outputs) == pytest.approx(np.array([[0.6, 0.4]]))


@pytest.mark.parametrize("text", ["", "cats,dogs", "with_mask,with_mask", "ignore,ignore"])
def test_invalid_labels_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        parse_labels(text)


def test_the_probability_of_an_ignored_output_is_distributed_evenly():
    outputs: tuple[Output, ...] = ("ignore", "with_mask", "without_mask")

    shares = np.array([[0.8, 0.15, 0.05], [0.0, 0.1, 0.9]]) @ label_matrix(outputs)

    assert shares == pytest.approx(np.array([[0.55, 0.45], [0.1, 0.9]]))
