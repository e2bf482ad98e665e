"""Other people's names for our labels."""

from __future__ import annotations

import pytest

from converter.label_names import label_of, labels_of


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("0 Mask", "with_mask"),
        ("WithMask", "with_mask"),
        ("1 No mask", "without_mask"),
        ("without_mask", "without_mask"),
        ("mask_weared_incorrect", "mask_worn_incorrectly"),
        ("Class 1", None),
        ("", None),
    ],
)
def test_a_name_is_known_by_its_letters(name, label):
    assert label_of(name) == label


def test_names_are_taken_together_or_not_at_all():
    assert labels_of(["0 No mask", "1 Mask"]) == ("without_mask", "with_mask")
    assert labels_of(["0 mask", "1 Class 2"]) == ()
    assert labels_of(["0 mask", "1 with mask"]) == ()
