"""Calibration: the pictures from which int8 ranges are determined."""

from __future__ import annotations

from pathlib import Path

from converter.labelled_faces import LabelledFace
from converter.masks.calibration import select_evenly


def faces(label, count):
    return [LabelledFace(Path(f"{label}/{number:03}.png"), label) for number in range(count)]


def test_every_label_has_the_same_share_and_its_pictures_are_evenly_spaced():
    chosen = select_evenly(faces("with_mask", 100) + faces("without_mask", 10), max_count=8)

    assert [face.path.name for face in chosen if face.label == "with_mask"] == [
        "000.png",
        "025.png",
        "050.png",
        "075.png",
    ]
    assert [face.path.name for face in chosen if face.label == "without_mask"] == [
        "000.png",
        "002.png",
        "005.png",
        "007.png",
    ]


def test_a_label_with_few_pictures_gives_all_of_them():
    chosen = select_evenly(faces("with_mask", 100) + faces("without_mask", 3), max_count=20)

    assert [face.label for face in chosen].count("without_mask") == 3
    assert [face.label for face in chosen].count("with_mask") == 10


def test_the_same_pictures_are_chosen_every_time():
    given = faces(None, 777)

    assert select_evenly(given, max_count=50) == select_evenly(given, max_count=50)
    assert len(set(select_evenly(given, max_count=50))) == 50
