"""The migration: how does a configuration file of an older version read today?

Only what is old is touched: it becomes a comment that says what came in its place. Everything else keeps its place, its
comments and its form.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from edge_agent.config_file import load_config
from edge_agent.durable import write_whole
from edge_agent.errors import ConfigError
from edge_agent.old_keys import OLD_KEYS, OldKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Edit: TypeAlias = "tuple[int, int, str]"
"""Replace the characters from the first to before the second by the text."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What became of a file: `changes` in sentences, and where the old file is kept."""

    changes: tuple[str, ...]
    backup: Path


def migrate(file: Path) -> Migrated | None:
    """Bring a file up to date and keep the old one beside it; None where nothing in it is old.

    Raises:
        ConfigError: it cannot be read or written, or is no YAML.
    """
    try:
        text = file.read_text(encoding="utf-8")
        found = _found(yaml.compose(text, Loader=yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        # Reading a configuration explains what is wrong with it; where it does not, this does.
        load_config(file)
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    if not found:
        return None
    migrated = _migrated(text, found)
    try:
        backup = _write_beside_a_backup(file, migrated)
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be written: {error.strerror}; run it as the owner of the file, with 'sudo'"
        ) from error
    return Migrated(tuple(f"{'.'.join(key.path)}: {key.instead}" for key, _, _ in found), backup)


_Found: TypeAlias = "tuple[OldKey, yaml.MappingNode, tuple[yaml.Node, yaml.Node]]"


def _found(root: yaml.Node | None) -> list[_Found]:
    """Each old key, the mapping that it stands in, and its own nodes for key and value."""
    found = []
    for old in OLD_KEYS:
        *above, name = old.path
        here: yaml.Node | None = root
        for part in above:
            here = _below(here, part)
        pair = _pair(here, name)
        if pair is not None and isinstance(here, yaml.MappingNode):
            found.append((old, here, pair))
    return found


def _migrated(text: str, found: Sequence[_Found]) -> str:
    wanted = _as_wanted(yaml.safe_load(text), found)
    changed = text
    try:
        # One after the other, for each moves the next.
        for _ in found:
            changed = _without_first_old_key(changed)
        is_right = _without_empty(yaml.safe_load(changed)) == _without_empty(wanted)
    except yaml.YAMLError:
        is_right = False
    # Where it was written in a way that is not foreseen here: the values are right, and the backup has the comments.
    return changed if is_right else yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)


def _without_first_old_key(text: str) -> str:
    found = _found(yaml.compose(text, Loader=yaml.SafeLoader))
    if not found:
        return text
    key, section, (name, value) = found[0]
    begin, end, replacement = _hidden(text, key, section, (name, value))
    changed = text[:begin] + replacement + text[end:]
    written = text[value.start_mark.index : value.end_mark.index].strip()
    return _with_key(changed, key.becomes, written) if key.becomes else changed


def _hidden(text: str, key: OldKey, section: yaml.MappingNode, pair: tuple[yaml.Node, yaml.Node]) -> Edit:
    """Turn a key into a comment, with what came in its place above it."""
    name, value = pair
    begin = text.rfind("\n", 0, name.start_mark.index) + 1
    said = f"# {'.'.join(key.path)} is of an older version: {key.instead}\n"
    if section.flow_style:
        return _cut_out(text, begin, said, pair)
    indent = " " * name.start_mark.column
    end = _line_end(text, value.end_mark.index)
    lines = text[begin:end].splitlines(keepends=True)
    # Blank lines and comments that follow belong to what comes next.
    kept = len(lines)
    while kept > 1 and (not lines[kept - 1].strip() or lines[kept - 1].lstrip().startswith("#")):
        kept -= 1
    hidden = "".join(f"{indent}# {line.removeprefix(indent)}".rstrip() + "\n" for line in lines[:kept])
    return begin, end, indent + said + hidden + "".join(lines[kept:])


def _cut_out(text: str, begin: int, said: str, pair: tuple[yaml.Node, yaml.Node]) -> Edit:
    """Take a key out of braces, with one comma, and write it above the line."""
    name, value = pair
    start, end = name.start_mark.index, value.end_mark.index
    shown = text[start:end].replace("\n", " ")
    after = len(text[end:]) - len(text[end:].lstrip())
    if text[end + after : end + after + 1] == ",":
        end += after + 1
        end += len(text[end:]) - len(text[end:].lstrip(" "))
    else:
        before = text[:start].rstrip()
        start = len(before) - 1 if before.endswith(",") else start
    return begin, end, f"{said}# {shown}\n{text[begin:start]}"


def _line_end(text: str, index: int) -> int:
    """Where the next line begins; `index` itself where a block has ended at the beginning of a line."""
    if index and text[index - 1] == "\n":
        return index
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _with_key(text: str, path: tuple[str, ...], value: str) -> str:
    """Add a key to a section, which is added at the end where it is not there; one that is there stays as it is."""
    section_name, name = path
    pair = _pair(yaml.compose(text, Loader=yaml.SafeLoader), section_name)
    if pair is None:
        return f"{text.rstrip()}\n\n{section_name}:\n  {name}: {value}\n"
    section = pair[1]
    if _pair(section, name) is not None:
        return text
    if isinstance(section, yaml.MappingNode) and section.flow_style:
        begin = section.start_mark.index + 1
        return f"{text[:begin]}{name}: {value}{', ' if section.value else ''}{text[begin:]}"
    first = section.value[0][0].start_mark if isinstance(section, yaml.MappingNode) and section.value else None
    begin = _line_end(text, pair[0].end_mark.index)
    return f"{text[:begin]}{' ' * (first.column if first else 2)}{name}: {value}\n{text[begin:]}"


def _as_wanted(data: Any, found: Sequence[_Found]) -> Any:
    for key, _, _ in found:
        section = data
        for part in key.path[:-1]:
            section = section[part]
        value = section.pop(key.path[-1])
        if key.becomes:
            section_name, name = key.becomes
            data[section_name] = {name: value, **(data.get(section_name) or {})}
    return data


def _without_empty(data: Any) -> dict[str, Any]:
    """A section of which every key is gone is as good as none."""
    return {key: value for key, value in (data or {}).items() if value not in (None, {})}


def _write_beside_a_backup(file: Path, text: str) -> Path:
    backup = _free_name(file)
    status = file.stat()
    shutil.copy2(file, backup)
    write_whole(file, text.encode(), mode=0o600)
    os.chown(file, status.st_uid, status.st_gid)
    file.chmod(status.st_mode)
    return backup


def _free_name(file: Path) -> Path:
    backup, number = file.with_name(f"{file.name}.old"), 1
    while backup.exists():
        number += 1
        backup = file.with_name(f"{file.name}.old-{number}")
    return backup


def _below(node: yaml.Node | None, name: str) -> yaml.Node | None:
    pair = _pair(node, name)
    return pair[1] if pair else None


def _pair(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((key, value) for key, value in node.value if key.value == name), None)
