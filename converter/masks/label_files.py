"""Label files: reads the names of a network's outputs, in their order, from text or JSON."""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LABELS = "labels.txt"
_USUAL_FILES = (LABELS, "labels.json", "class_indices.json", "label_map.pbtxt")
"""The last two hold the `class_indices` of Keras' flow_from_directory, and the label map of TensorFlow's tools."""
_NUMBER = re.compile(r"^\W*(\d{1,4})[\W_]|[\W_](\d{1,4})\W*$")
_ITEM = re.compile(r"\bitem\s*\{([^{}]*)\}")
_FIELD = re.compile(r"""\b(id|name|display_name)\s*:\s*(?:(\d{1,4})|"(.*?)"|'(.*?)')""")


def names_beside(model: Path) -> tuple[str, ...]:
    """The output names in a label file beside a model, or in its folder; empty if there is none."""
    folder = model if model.is_dir() else model.parent
    files = (f"{model.stem}_{LABELS}", *_USUAL_FILES)
    return next((names for file in files if (names := read_label_file(folder / file))), ())


def read_label_file(path: Path) -> tuple[str, ...]:
    """The output names in a file; empty if there is no file."""
    return read_names(path.read_bytes()) if path.is_file() else ()


def read_names(content: bytes) -> tuple[str, ...]:
    """The output names in a label file, in the order of the outputs.

    Text has one name per line, and JSON is a list of names, or an object from name to number or from number to name.
    A label map (.pbtxt) has an `item` with name and id for every output. Numbers that count all lines, as in "1 No
    Mask", state the order. Anything else is returned line by line, so that the message about unknown names shows it,
    and --labels can replace it.
    """
    text = _decoded(content)
    try:
        return _names_in_json(json.loads(text))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return _names_in_label_map(text) or _names_in_lines(text)


def _decoded(content: bytes) -> str:
    """The text in UTF-8, in UTF-16 with a byte order mark, or else in the code page of Western Europe."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _names_in_json(content: Any) -> tuple[str, ...]:
    """The names in a list or an object.

    Raises:
        ValueError, TypeError, AttributeError: it is another structure.
    """
    if isinstance(content, list):
        return tuple(name.strip() for name in content)
    pairs = [(name, number) if str(number).isdecimal() else (number, name) for name, number in content.items()]
    names = _in_order([name.strip() for name, _ in pairs], [int(number) for _, number in pairs])
    if not names:
        raise ValueError("its numbers are not those of outputs")
    return names


def _names_in_label_map(text: str) -> tuple[str, ...]:
    """The names in a label map, or those to display where it has both; empty if it is none."""
    items = [
        {field: number or quoted or single for field, number, quoted, single in _FIELD.findall(item)}
        for item in _ITEM.findall(text)
    ]
    names = [item.get("display_name") or item.get("name", "") for item in items]
    return _in_order(names, [int(item.get("id", -1)) for item in items])


def _names_in_lines(text: str) -> tuple[str, ...]:
    """One name per line; in the order of their numbers, if these count all lines."""
    names = [line.strip() for line in text.splitlines() if line.strip()]
    found = [_NUMBER.search(name) for name in names]
    return _in_order(names, [int(number[1] or number[2]) if number else -1 for number in found]) or tuple(names)


def _in_order(names: Sequence[str], numbers: Sequence[int]) -> tuple[str, ...]:
    """The names in the order of their numbers; empty if these do not count from 0 or 1."""
    if sorted(numbers) not in (list(range(len(names))), list(range(1, len(names) + 1))):
        return ()
    return tuple(name for _, name in sorted(zip(numbers, names, strict=True)))
