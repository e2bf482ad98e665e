"""Likeness: which results `make test-arm64` accepts as equivalent."""

from __future__ import annotations

import copy
import json
import sys

import pytest

from tests.proofs import likeness as module
from tests.proofs.likeness import SCORE_TOLERANCE, likeness

MIN_SCORE, MIN_FACE_PX = 0.6, 24
CLEAR = {"with_mask": 0.02, "without_mask": 0.97, "mask_worn_incorrectly": 0.01}
UNCLEAR = {"with_mask": 0.01, "without_mask": 0.56, "mask_worn_incorrectly": 0.43}


def a_face(box=(100.0, 100.0, 160.0, 180.0), *, face_score=0.9, scores=CLEAR):
    label = max(scores, key=scores.get)
    return {"box": list(box), "face_score": face_score, "label": label, "scores": scores}


def a_picture(*faces, path="/here/street.jpg"):
    return {"path": path, "width": 640, "height": 360, "faces": list(faces)}


def an_alert(at_seconds, label="without_mask"):
    return {"schema": "maskwatch.alert/1", "label": label, "at_seconds": at_seconds}


def compared(here, there):
    return likeness(here, there, min_score=MIN_SCORE, min_face_px=MIN_FACE_PX)


def test_the_same_lines_from_another_folder_are_the_same():
    found = compared([a_picture(a_face()), an_alert(3.5)], [a_picture(a_face(), path="/srv/street.jpg"), an_alert(3.5)])

    assert found.errors == []
    assert (found.pictures, found.faces, found.alerts) == (1, 1, 1)
    assert str(found).startswith("1 faces in 1 pictures: boxes within 0.0 px")


def test_rounding_differences_are_reported_and_accepted():
    there = a_face((101.5, 100.0, 160.0, 180.0), face_score=0.88, scores=CLEAR | {"with_mask": 0.05})

    found = compared([a_picture(a_face()), an_alert(3.5)], [a_picture(there), an_alert(3.6)])

    assert found.errors == []
    assert (found.box_px, found.face_score, found.label_score) == pytest.approx((1.5, 0.02, 0.03))
    assert found.alert_seconds == pytest.approx(0.1)


CUT_OFF = (615.8, 110.3, 640.0, 172.8)


def test_a_face_at_the_edge_may_end_elsewhere_but_has_the_same_label():
    scores = CLEAR | {"without_mask": 0.85, "mask_worn_incorrectly": 0.13}
    moved = a_face((612.0, 111.3, 640.0, 167.3), scores=scores)

    found = compared([a_picture(a_face(CUT_OFF), a_face())], [a_picture(moved, a_face())])

    assert found.errors == []
    assert (found.faces, found.cut_off) == (2, 1)


@pytest.mark.parametrize(
    "there",
    [
        a_face((604.0, 110.3, 640.0, 172.8)),
        a_face(CUT_OFF, face_score=0.7),
        a_face(CUT_OFF, scores={"with_mask": 0.97, "without_mask": 0.02, "mask_worn_incorrectly": 0.01}),
        a_face(),
    ],
    ids=["moved", "another score", "another label", "missing"],
)
def test_other_differences_of_a_face_at_the_edge_are_errors(there):
    assert compared([a_picture(a_face(CUT_OFF))], [a_picture(there)]).errors


def test_faces_in_another_order_are_the_same_faces():
    near, far = a_face(), a_face((300.0, 10.0, 320.0, 35.0))

    assert compared([a_picture(near, far)], [a_picture(far, near)]).errors == []


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(a_face((112.0, 100.0, 172.0, 180.0)), id="displaced by a fifth of its width"),
        pytest.param(a_face(face_score=0.75), id="found with far less certainty"),
        pytest.param(a_face(scores=CLEAR | {"with_mask": 0.02 + 1.5 * SCORE_TOLERANCE}), id="read with another score"),
        pytest.param(a_face(scores={**CLEAR, "with_mask": 0.97, "without_mask": 0.02}), id="read as something else"),
    ],
)
def test_a_different_result_for_a_face_is_an_error(there):
    (error,) = compared([a_picture(a_face())], [a_picture(there)]).errors

    assert error.startswith("street.jpg: the face at [100.0, 100.0, 160.0, 180.0]")


def test_a_reading_between_two_labels_may_change_and_is_counted():
    swung = {"with_mask": 0.01, "without_mask": 0.14, "mask_worn_incorrectly": 0.85}

    found = compared([a_picture(a_face(scores=UNCLEAR))], [a_picture(a_face(scores=swung))])

    assert found.errors == []
    assert found.unclear == 1


@pytest.mark.parametrize(("width_px", "errors", "small"), [(24, 1, 0), (23, 0, 1)])
def test_the_label_of_a_face_too_small_for_an_alert_may_differ(width_px, errors, small):
    box = (300.0, 10.0, 300.0 + width_px, 40.0)
    here, there = a_face(box), a_face(box, scores=CLEAR | {"without_mask": 0.4, "with_mask": 0.59})

    found = compared([a_picture(here)], [a_picture(there)])

    assert (len(found.errors), found.small) == (errors, small)


@pytest.mark.parametrize(
    ("face_score", "width_px", "errors"), [(0.9, 24, 1), (MIN_SCORE + SCORE_TOLERANCE / 2, 24, 0), (0.9, 23, 0)]
)
@pytest.mark.parametrize("missing", ["here", "there"])
def test_a_face_may_be_missing_near_the_minimum_score_or_size(face_score, width_px, errors, missing):
    both = a_picture(a_face())
    more = a_picture(a_face(), a_face((300.0, 10.0, 300.0 + width_px, 40.0), face_score=face_score))

    found = compared([both], [more]) if missing == "here" else compared([more], [both])

    assert len(found.errors) == errors
    assert all(error.endswith(f"is missing {missing}") for error in found.errors)


def test_one_face_does_not_match_two_faces():
    nearly_the_same = a_face((104.0, 102.0, 164.0, 182.0))

    assert compared([a_picture(a_face(), nearly_the_same)], [a_picture(a_face())]).errors


@pytest.mark.parametrize(
    "there",
    [
        pytest.param([], id="none"),
        pytest.param([an_alert(3.5), an_alert(5.0)], id="one more"),
        pytest.param([an_alert(3.5, "mask_worn_incorrectly")], id="another label"),
        pytest.param([an_alert(4.5)], id="a second later"),
    ],
)
def test_different_alerts_are_an_error(there):
    assert len(compared([an_alert(3.5)], there).errors) == 1


def test_a_picture_missing_on_one_side_is_an_error():
    other = a_picture(a_face(), path="/srv/other.jpg")

    assert compared([a_picture(a_face()), other], [a_picture(a_face())]).errors == ["not the same pictures: other.jpg"]


def test_a_picture_unreadable_on_one_side_is_an_error():
    unread = {"path": "/srv/street.jpg", "error": "cannot be read"}

    assert "street.jpg: cannot be read there" in compared([a_picture(a_face())], [unread]).errors


def test_a_comparison_without_faces_and_alerts_is_an_error():
    assert compared([a_picture()], [a_picture()]).errors == ["no face and no alert in either: nothing to compare"]


def test_the_command_exits_with_1_and_prints_the_reason(tmp_path, monkeypatch, capsys):
    here = [a_picture(a_face())]
    there = copy.deepcopy(here)
    there[0]["faces"][0]["label"] = "with_mask"
    for name, lines in (("here", here), ("there", there)):
        (tmp_path / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")

    monkeypatch.setattr(sys, "argv", ["likeness", str(tmp_path / "here"), str(tmp_path / "here")])
    assert module.main() == 0
    monkeypatch.setattr(sys, "argv", ["likeness", str(tmp_path / "here"), str(tmp_path / "there")])
    assert module.main() == 1
    assert "street.jpg: the face at" in capsys.readouterr().out
