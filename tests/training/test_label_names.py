"""Label names: the labels of public data sets."""

from __future__ import annotations

import pytest

from training.label_names import is_no_label, label_of


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("0 Mask", "with_mask"),
        ("WithMask", "with_mask"),
        ("1 No mask", "without_mask"),
        ("without_mask", "without_mask"),
        ("mask_weared_incorrect", "mask_worn_incorrectly"),
        ("Class 1", None),
        ("无 mask", None),
        ("без mask", None),
        ("Máscara", None),
        ("", None),
    ],
)
def test_label_names_are_compared_by_their_letters(name, label):
    assert label_of(name) == label


@pytest.mark.parametrize(("name", "is_none"), [("Background Noise", False), ("2 uncertain", True), ("mask", False)])
def test_categories_unrelated_to_masks_are_known(name, is_none):
    assert is_no_label(name) is is_none
