"""Annotations: reading COCO files, and errors for invalid ones."""

from __future__ import annotations

import json

import pytest

from edge_agent.domain import Box
from edge_agent.errors import ConfigError
from training.annotations import read_annotations

FACE = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}


def coco(folder, *annotations, image=None):
    """A file of one picture of 100x80 px."""
    picture = {"id": 1, "file_name": "a.png", "width": 100, "height": 80} | (image or {})
    content = {"images": [picture], "annotations": annotations, "categories": [{"id": 1, "name": "with_mask"}]}
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def test_a_face_has_the_attributes_of_its_annotation_and_picture(tmp_path):
    said = {"split": "test", "source": "street", "domain": "press", "licence": "CC0"}

    (face,) = read_annotations(coco(tmp_path, FACE | {"pose": "profile", "segmentation": []}, image=said))

    assert (face.path, face.box, face.name) == (tmp_path / "a.png", Box(10, 10, 30, 30), "with_mask")
    assert (face.split, face.source, face.domain, face.pose, face.ignore) == (
        "test",
        "street",
        "press",
        "profile",
        False,
    )


@pytest.mark.parametrize("mark", [{"ignore": 1}, {"iscrowd": 1}])
def test_an_undecidable_annotation_needs_no_category(tmp_path, mark):
    (face,) = read_annotations(coco(tmp_path, {"image_id": 1, "bbox": [10, 10, 20, 20]} | mark))

    assert face.ignore
    assert face.name is None


def test_a_box_partly_outside_its_picture_is_unchanged(tmp_path):
    (face,) = read_annotations(coco(tmp_path, FACE | {"bbox": [-5, 70, 30, 30]}))

    assert face.box == Box(-5, 70, 25, 100)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"bbox": [10, 10, 20]}, "annotations.1.bbox"),
        ({"category_id": None}, "annotation 2 has neither category_id nor ignore"),
        ({"category_id": 7}, "annotation 2: category_id 7 is not among the categories"),
        ({"image_id": 9}, "annotation 2: image_id 9 is not among the images"),
        ({"ignore": "perhaps"}, "annotations.1.ignore"),
    ],
)
def test_an_error_is_reported_with_its_location(tmp_path, wrong, said):
    path = coco(tmp_path, FACE, FACE | {"id": 2} | wrong)

    with pytest.raises(ConfigError) as raised:
        read_annotations(path)

    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_file_without_faces_is_reported(tmp_path):
    with pytest.raises(ConfigError, match="no annotated faces"):
        read_annotations(coco(tmp_path))


def test_many_errors_are_reported_together(tmp_path):
    with pytest.raises(ConfigError, match=r"annotation 4: .* and 3 more") as raised:
        read_annotations(coco(tmp_path, *[FACE | {"id": number, "image_id": 9} for number in range(8)]))

    assert "annotation 5" not in str(raised.value)
