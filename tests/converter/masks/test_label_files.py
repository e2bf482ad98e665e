"""Label files: names in any usual form and encoding, in the order of the outputs."""

from __future__ import annotations

import pytest

from converter.masks.label_files import names_beside, read_names

NAMES = ("Máscara", "Sin máscara")


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(NAMES).encode(),
        "\r\n\r\n".join(NAMES).encode("utf-8-sig"),
        "\n".join(NAMES).encode("utf-16"),
        "\n".join(NAMES).encode("cp1252"),
        b'["M\\u00e1scara", "Sin m\\u00e1scara"]',
        b'{"Sin m\\u00e1scara": 1, "M\\u00e1scara": 0}',
        b'\xef\xbb\xbf{"1": "Sin m\\u00e1scara", "0": "M\\u00e1scara"}',
        b'{"Sin m\\u00e1scara": "2", "M\\u00e1scara": "1"}',
        "item {\n  id: 2\n  name: 'Sin máscara'\n}\nitem {\n  name: \"Máscara\"\n  id: 1\n}\n".encode(),
        "item{name:'a' id:0 display_name:'Máscara'} item{name:'b' id:1 display_name:'Sin máscara'}".encode(),
    ],
    ids=[
        "lines",
        "Windows",
        "UTF-16",
        "Latin-1",
        "list",
        "name to number",
        "number to name",
        "counted from one",
        "label map",
        "label map with names to display",
    ],
)
def test_names_are_read_in_the_order_of_the_outputs(content):
    assert read_names(content) == NAMES


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("1 No Mask\n0 Mask\n", ("0 Mask", "1 No Mask")),
        ("2: no N95\n1: N95\n", ("1: N95", "2: no N95")),
        ("no_mask,1\nmask,0\n", ("mask,0", "no_mask,1")),
        ("(1) no_mask\n(0) mask\n", ("(0) mask", "(1) no_mask")),
        ("no_mask [1]\nmask [0]\n", ("mask [0]", "no_mask [1]")),
        ('"1","no_mask"\n"0","mask"\n', ('"0","mask"', '"1","no_mask"')),
        # Not the numbers of all outputs.
        ("KN95\nFFP2\nnone\n", ("KN95", "FFP2", "none")),
        ("7 no mask\n3 mask\n", ("7 no mask", "3 mask")),
    ],
)
def test_numbers_of_all_lines_state_their_order(content, names):
    assert read_names(content.encode()) == names


@pytest.mark.parametrize("content", [b"", b"[]", b"\n \n", b"\xff\xfe"])
def test_an_empty_file_names_nothing(content):
    assert read_names(content) == ()


def test_anything_else_is_left_to_the_message_about_unknown_names():
    for content in (b'{"mask": 0.5}', b"[[0]]", b"7", b"[" * 100_000, bytes(range(256)), b"item { id: 7 }"):
        assert read_names(content)


def test_a_label_file_lies_beside_a_model_or_in_its_folder(tmp_path):
    (tmp_path / "label_map.pbtxt").write_text("item { id: 1 name: 'no_mask' } item { id: 2 name: 'mask' }")

    assert names_beside(tmp_path / "a.tflite") == ("no_mask", "mask")

    (tmp_path / "class_indices.json").write_text('{"mask": 0, "no_mask": 1}')

    assert names_beside(tmp_path / "a.h5") == names_beside(tmp_path) == ("mask", "no_mask")

    (tmp_path / "a_labels.txt").write_text("no mask\nmask\n")
    assert names_beside(tmp_path / "a.h5") == ("no mask", "mask")
