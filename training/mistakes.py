"""Recipe errors: describes validation errors with line, key and the nearest known key."""

from __future__ import annotations

import difflib
import types
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationError


def describe(error: ValidationError, *, text: str, model: type[BaseModel]) -> str:
    """One line per error: line of the file, key, problem, and the nearest known key."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines = []
    for item in sorted(error.errors(), key=lambda one: _line(root, one["loc"])):
        keys = [str(part) for part in item["loc"] if not _is_choice(part)]
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"unknown key{_nearest(model, item['loc'])}"
        elif item["type"] == "missing":
            message = "is missing"
        elif keys and not isinstance(item["input"], dict | list):
            message = f"{item['input']!r}: {message[:1].lower()}{message[1:]}"
        lines.append(f"  line {_line(root, item['loc']):<3} {'.'.join(keys) or 'recipe'}: {message}")
    return "\n".join(lines)


def _is_choice(part: object) -> bool:
    """Whether a path component is the branch of a union, which pydantic inserts and recipes do not contain."""
    return isinstance(part, str) and ("[" in part or part == "literal")


def _line(node: yaml.Node | None, path: Sequence[int | str]) -> int:
    line = 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _nearest(model: type[BaseModel], path: Sequence[int | str]) -> str:
    section: type[BaseModel] | None = model
    for part in path[:-1]:
        if isinstance(part, str) and section is not None and part in section.model_fields:
            section = _section(section.model_fields[part].annotation)
    known = list(section.model_fields) if section else []
    close = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(known)}" if known else ""


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as `tuple[DataRecipe, ...]` or `TeacherRecipe | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {tuple, list, Union, types.UnionType}:
        return next(filter(None, map(_section, get_args(annotation))), None)
    return None
