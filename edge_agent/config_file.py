"""Configuration file: validation by a pydantic model, line numbers of keys, and error reports."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from edge_agent.errors import ConfigError
from edge_agent.foreign_text import MASK, mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic_core import ErrorDetails

KeyPath: TypeAlias = "tuple[str | int, ...]"
Model = TypeVar("Model", bound=BaseModel)

MAX_BYTES = 1_000_000
"""Limit of a file; every key with its description takes a hundredth of it."""
MAX_NODES = 100_000
"""Limit of values after expanding aliases: a file of 335 bytes may expand to billions."""
MAX_NESTED = 100
"""Limit of nesting; a configuration has five levels."""
# Keys whose values may be secret and are not shown in errors, which may be logged.
SECRET_KEY = re.compile(r"pass(word|wd)?|token|secret|source(?!s\b)|webhooks|headers|websocket_path", re.IGNORECASE)
SHAPE_ERRORS = frozenset({"model_type", "dict_type", "tuple_type"})
"""A value in place of a section or list, which may be the secret of any key below."""
PLAIN = re.compile(r"[\w.-]*")
ON_COMMAND_LINE = 0
"""Stands in for the line of a key that was given with --set."""

NOT_A_SECTION = (
    "{value!r} is not a section of keys; write indented lines of 'name: value' below it, with a space after the colon"
)
# Pydantic speaks to programmers; the person on site gets these. {value!r} is what was written.
SENTENCES = {
    "int_parsing": "{value!r} is not a whole number",
    "int_type": "{value!r} is not a whole number",
    "int_from_float": "{value!r} is not a whole number",
    "float_parsing": "{value!r} is not a number",
    "float_type": "{value!r} is not a number",
    "finite_number": "{value!r} is not a finite number",
    "bool_parsing": "{value!r} is not true or false",
    "bool_type": "{value!r} is not true or false",
    "string_type": "{value!r} is not text; put it in quotes",
    "path_type": "{value!r} is not a path",
    "literal_error": "{value!r} is not one of {expected}",
    "greater_than_equal": "{value!r} is less than {ge}, the least allowed",
    "less_than_equal": "{value!r} is more than {le}, the most allowed",
    "greater_than": "{value!r} has to be more than {gt}",
    "less_than": "{value!r} has to be less than {lt}",
    "string_pattern_mismatch": "{value!r} does not match {pattern}",
    "string_too_short": "must not be empty",
    "too_short": "needs {min_length} or more values",
    "model_type": NOT_A_SECTION,
    "dict_type": NOT_A_SECTION,
    "tuple_type": "{value!r} is not a list; write it in [ ]",
    "value_error": "{error}",
    "missing": "is missing",
}


def at_home(path: Path) -> Path:
    """Expand a `~` at the beginning.

    Raises:
        ValueError: the user is unknown, or has no home.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"'{path}' begins in a home folder that is not known here; write the whole path") from error


class _FileLoader(yaml.SafeLoader):
    """Loads a file whose texts are UTF-8, and valid as paths and in messages."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Construct a value, whose escapes may stand for any character."""
        value = super().construct_scalar(node)
        if re.search("[\\0\ud800-\udfff]", value):
            raise yaml.constructor.ConstructorError(
                problem="the escape \\0, or half of a surrogate pair, stands for no character of a text",
                problem_mark=node.start_mark,
            )
        return value


class CommandLineText(str):
    """Text given with --set, whose relative path begins at the working directory."""

    __slots__ = ()


class _CommandLineLoader(yaml.SafeLoader):
    """Loads the value of --set, with its texts marked as such."""


_CommandLineLoader.add_constructor("tag:yaml.org,2002:str", lambda _loader, node: CommandLineText(node.value))


def beside_the_file(value: Any, info: ValidationInfo) -> Any:
    """Resolve a relative path against the folder of the file that contains it, or against the working directory."""
    if not isinstance(value, str | Path):
        return value
    folder = Path.cwd() if isinstance(value, CommandLineText) else (info.context or {}).get("folder", Path())
    return folder / at_home(Path(value))


FilePath = Annotated[Path, BeforeValidator(beside_the_file)]


@dataclass(frozen=True, slots=True)
class Form:
    """Annotation of a text that has to match a pattern as a whole, with the error if it does not: `must ...`."""

    pattern: str
    error: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check after validation by the type."""
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the pattern."""
        return {**handler(schema), "pattern": self.pattern}

    def _check(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(self.error)
        return text


class Section(BaseModel):
    """Some keys of a configuration, each with a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, values: Any) -> Any:
        """Treat a key without a value, such as `mqtt:` above keys that are commented out, as missing."""
        if values is None:
            return {}
        if not isinstance(values, dict):
            return values
        return {key: value for key, value in values.items() if value is not None or key not in cls.model_fields}

    @field_validator("*", mode="before")
    @classmethod
    def _reject_boolean_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Reject `on` or `yes` in place of a number: YAML reads them as true, which would be 1."""
        if isinstance(value, bool) and _is_numeric(cls.model_fields[info.field_name or ""].annotation):
            text = str(value).lower()
            raise ValueError(f"'{text}' is not a number; YAML reads yes and on as true, no and off as false")
        return value


def _is_numeric(annotation: Any) -> bool:
    """Whether a number, or a union with one, not a container of numbers."""
    is_container = get_origin(annotation) in {dict, list, tuple}
    return (
        annotation is int or annotation is float or (not is_container and any(map(_is_numeric, get_args(annotation))))
    )


def load_as(model: type[Model], file: Path | None, *, overrides: Sequence[str] = (), if_missing: str) -> Model:
    """Read a configuration file; None: every key has its default.

    `if_missing` ends the error for a missing file: what to do.

    `overrides` are texts such as "faces.detector=yunet" with a YAML value; they take precedence over the file. Relative
    paths are relative to the file's folder, those in `overrides` to the working directory.

    Raises:
        ConfigError: all mistakes, each with line, key, value and the nearest known key.
    """
    data, lines = _parse(file, if_missing) if file is not None else ({}, {})
    problems: list[tuple[int, str]] = []
    for override in overrides:
        _set(override, model, data, lines, problems)
    try:
        context = {"folder": file.absolute().parent} if file is not None else {}
        config = model.model_validate(data, context=context)
    except ValidationError as error:
        problems += [_explain(detail, model, lines) for detail in error.errors() if not _is_consequence(detail)]
    else:
        if not problems:
            return config
    raise ConfigError(_report(file, problems))


def _annotation_at(path: KeyPath, model: type[BaseModel]) -> Any:
    """The type of the value at `path`; None if the path is unknown."""
    here: Any = model
    for part in path:
        if get_origin(here) is dict:
            # The user chooses the names of sections below `cameras`.
            here = get_args(here)[1]
        elif get_origin(here) is tuple:
            here = get_args(here)[0]
        elif _is_section(here) and str(part) in here.model_fields:
            here = here.model_fields[str(part)].annotation
            if type(None) in get_args(here):
                # The section of `TeacherRecipe | None`.
                here = next(filter(_is_section, get_args(here)), here)
        else:
            return None
    return here


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _parse(file: Path, if_missing: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """The values of the file, and the line of every key."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: no such file; {if_missing}") from error
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read: {error.strerror}; use sudo, or a file that this user may read"
        ) from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{file}: is larger than {MAX_BYTES} bytes, the most a configuration may have")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(_report(file, [(line, "is not UTF-8 text; save the file as UTF-8")])) from error
    data, lines = _loaded(text, file)
    if data is None:
        return {}, {}
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else "a single value"
        raise ConfigError(_report(file, [(1, f"holds {kind} where keys are expected")]))
    return data, lines


def _loaded(text: str, file: Path) -> tuple[Any, dict[KeyPath, int]]:
    try:
        data, places = _constructed(text, _FileLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(_report(file, [(line, f"not YAML: {error.problem or error.context}")])) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not YAML: {error}") from error
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{file}: contains an invalid date or number ({error}); put it in quotes") from error
    except RecursionError as error:
        raise ConfigError(
            f"{file}: a value contains itself, is nested too deeply, or expands to more than {MAX_NODES} values"
        ) from error
    lines: dict[KeyPath, int] = {}
    twice = []
    for path, line in places:
        if path in lines:
            twice.append((line, f"{_dotted(path)}: is a duplicate of line {lines[path]}"))
        lines[path] = line
    if twice:
        raise ConfigError(_report(file, twice))
    return data, lines


def _constructed(text: str, kind: type[yaml.SafeLoader]) -> tuple[Any, list[tuple[KeyPath, int]]]:
    """The value of a YAML text, and the line of every key in it; RecursionError beyond MAX_NODES or MAX_NESTED."""
    loader = kind(text)
    root = loader.get_single_node()
    if root is None:
        return None, []
    places = list(islice(_places(root, ()), MAX_NODES + 1))
    if len(places) > MAX_NODES:
        raise RecursionError
    return loader.construct_document(root), places


def _places(node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    """The line of every key and list item, after expanding aliases."""
    # The interpreter's own limit does not suffice: libraries raise it beyond the size of the stack.
    if len(path) > MAX_NESTED:
        raise RecursionError
    parts: list[tuple[str | int, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        # A key that is a list or a section is rejected when it is constructed.
        parts = [(str(key.value) if isinstance(key, yaml.ScalarNode) else "?", key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        parts = [(index, value, value) for index, value in enumerate(node.value)]
    for part, begin, value in parts:
        below = (*path, part)
        yield below, begin.start_mark.line + 1
        yield from _places(value, below)


def _set(
    override: str,
    model: type[BaseModel],
    data: dict[str, Any],
    lines: dict[KeyPath, int],
    problems: list[tuple[int, str]],
) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    try:
        value, _ = _constructed(text, _CommandLineLoader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        value = CommandLineText(text)
    if not equals or not all(parts):
        problems.append((ON_COMMAND_LINE, f"{override}: has to be KEY=VALUE"))
        return
    try:
        data.update(_replaced(data, (), parts, value, model))
    except ValueError as error:
        problems.append((ON_COMMAND_LINE, f"{key.strip()}: {error}"))
        return
    path: KeyPath = ()
    here: Any = data
    for part in parts:
        place = int(part) if isinstance(here, list) else part
        here, path = here[place], (*path, place)
        lines.setdefault(path, ON_COMMAND_LINE)
    lines[path] = ON_COMMAND_LINE


def _replaced(old: Any, path: KeyPath, parts: Sequence[str], value: Any, model: type[BaseModel]) -> Any:
    """`old`, which stands at `path`, with another value at `parts` below it.

    A copy, because another key may be an alias of the same section.

    Raises:
        ValueError: there is no such item of a list, or nothing below a single value.
    """
    if not parts:
        return value
    annotation = _annotation_at(path, model)
    if annotation is not None and not _is_section(annotation) and get_origin(annotation) not in (dict, tuple):
        raise ValueError(f"{_dotted(path)} is a single value, which has no keys")
    first, *others = parts
    if isinstance(old, list) or get_origin(annotation) is tuple:
        items = list(old) if isinstance(old, list) else []
        if not first.isdecimal() or int(first) >= len(items):
            raise ValueError(f"no such item; the file has {len(items)}, numbered from 0; or give the whole list in [ ]")
        items[int(first)] = _replaced(items[int(first)], (*path, int(first)), others, value, model)
        return items
    section = old if isinstance(old, dict) else {}
    return {**section, first: _replaced(section.get(first), (*path, first), others, value, model)}


def _explain(detail: ErrorDetails, model: type[BaseModel], lines: dict[KeyPath, int]) -> tuple[int, str]:
    # Without what pydantic inserts for keys of dictionaries and branches of unions.
    path = tuple(part for part in detail["loc"] if not (isinstance(part, str) and ("[" in part or part == "literal")))
    known = path
    while known and known not in lines:
        known = known[:-1]
    line = lines.get(known, 1)
    if detail["type"] == "extra_forbidden":
        return line, f"{_dotted(path)}: unknown key{_suggestion(path, model)}"
    sentence = SENTENCES.get(detail["type"], detail["msg"] + " (found {value!r})")
    value = MASK if _may_be_secret(path, detail) else _short(detail["input"])
    text = mask(sentence.format(value=value, **detail.get("ctx", {}))).removeprefix(f"{MASK!r} ")
    return line, f"{_dotted(path)}: {text}"


def _is_consequence(detail: ErrorDetails) -> bool:
    """Whether a list has enough values, of which only the valid ones were counted."""
    return detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]


def _may_be_secret(path: KeyPath, detail: ErrorDetails) -> bool:
    value = detail["input"]
    if isinstance(value, dict | list):
        return any(character.isalpha() for character in str(value))
    is_secret_key = any(SECRET_KEY.search(str(part)) for part in path)
    return is_secret_key or (detail["type"] in SHAPE_ERRORS and PLAIN.fullmatch(str(value)) is None)


def _suggestion(path: KeyPath, model: type[BaseModel]) -> str:
    section = _annotation_at(path[:-1], model)
    candidates = list(section.model_fields) if _is_section(section) else []
    nearest = difflib.get_close_matches(str(path[-1]), candidates, n=1)
    if nearest:
        return f"; did you mean '{nearest[0]}'?"
    return f"; known here: {', '.join(candidates)}" if candidates else ""


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part) for part in path) or "the file"


def _short(value: Any) -> Any:
    """Truncate a long value, so that the message fits on one line."""
    text = str(value)
    return value if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004


def _report(file: Path | None, problems: list[tuple[int, str]]) -> str:
    places = {
        problem: "--set" if problem[0] == ON_COMMAND_LINE else f"line {problem[0]}" for problem in sorted(problems)
    }
    width = max((len(place) for place in places.values()), default=0)
    rows = [f"  {place.ljust(width)}   {problem[1]}" for problem, place in places.items()]
    return "\n".join([f"{file or 'configuration'}:", *rows])
