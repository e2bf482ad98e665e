"""The document of the API: how is OpenAPI told to a person? As operations with their fields and an example each."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

METHODS = ("get", "post", "put", "delete")
OTHER = "Other"
JSON = "application/json"
MULTIPART = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a key of a body; `place` is path, query or header where it is a parameter."""

    name: str
    kind: str
    says: str
    is_required: bool
    place: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """What may be sent: its content type and its fields."""

    kind: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What may come back."""

    status: str
    says: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; one that `can_be_tried` reads only and needs nothing said."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[Field, ...]
    bodies: tuple[Body, ...]
    answers: tuple[Answer, ...]
    example: str
    can_be_tried: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that belong together."""

    name: str
    operations: tuple[Operation, ...]


def groups(document: Mapping[str, Any], *, origin: str, needs_token: bool) -> list[Group]:
    """Read an OpenAPI document; examples speak to `origin`, with a token where one is needed."""
    found: dict[str, list[Operation]] = {}
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                said = item[method]
                name = str((said.get("tags") or [OTHER])[0])
                operation = _operation(document, path, method, said, origin=origin, needs_token=needs_token)
                found.setdefault(name, []).append(operation)
    return [Group(name, tuple(operations)) for name, operations in found.items()]


def _operation(
    document: Mapping[str, Any], path: str, method: str, said: Mapping[str, Any], *, origin: str, needs_token: bool
) -> Operation:
    parameters = tuple(
        Field(
            name=parameter["name"],
            kind=_kind(document, parameter.get("schema", {})),
            says=parameter.get("description") or parameter.get("schema", {}).get("description", ""),
            is_required=bool(parameter.get("required")),
            place=parameter["in"],
        )
        for parameter in said.get("parameters", [])
    )
    bodies = tuple(
        Body(kind, tuple(_fields(document, content.get("schema", {}))))
        for kind, content in said.get("requestBody", {}).get("content", {}).items()
    )
    answers = tuple(
        Answer(
            status,
            answer.get("description", ""),
            tuple(_fields(document, answer.get("content", {}).get(JSON, {}).get("schema", {})))
            if status.startswith("2")
            else (),
        )
        for status, answer in said.get("responses", {}).items()
    )
    return Operation(
        id=str(said.get("operationId", f"{method}{path}")),
        method=method,
        path=path,
        summary=str(said.get("summary", "")),
        description=" ".join(str(said.get("description", "")).split()),
        parameters=parameters,
        bodies=bodies,
        answers=answers,
        example=_example(path, method, bodies, origin=origin, needs_token=needs_token),
        can_be_tried=method == "get" and "{" not in path,
    )


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Field]:
    """Tell the keys of an object; what is no object has none."""
    known = _resolved(document, schema)
    for name, value in known.get("properties", {}).items():
        field = _resolved(document, value)
        says = value.get("description") or field.get("description", "")
        yield Field(name, _kind(document, value), says, name in known.get("required", []))


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    known = _resolved(document, schema)
    for choice in ("anyOf", "oneOf"):
        if choice in known:
            return " or ".join(_kind(document, each) for each in known[choice])
    if "enum" in known:
        return ", ".join(json.dumps(value) for value in known["enum"])
    if "prefixItems" in known:
        # A tuple: how many, and of what.
        return f"{len(known['prefixItems'])} x {_kind(document, known['prefixItems'][0])}"
    if known.get("type") == "array":
        return f"list of {_kind(document, known.get('items', {}))}"
    return str(known.get("format") or known.get("type") or "anything")


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow `$ref` inside the document."""
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def _example(path: str, method: str, bodies: tuple[Body, ...], *, origin: str, needs_token: bool) -> str:
    words = ["curl"]
    if method != "get":
        words += ["-X", method.upper()]
    if needs_token:
        words += ["-H", '"Authorization: Bearer $TOKEN"']
    kinds = [body.kind for body in bodies]
    if MULTIPART in kinds:
        words += ["-F", "file=@picture.jpg"]
    elif JSON in kinds:
        keys = {field.name: f"<{field.kind}>" for field in bodies[kinds.index(JSON)].fields if field.is_required}
        words += ["-H", shlex.quote(f"Content-Type: {JSON}"), "-d", shlex.quote(json.dumps(keys))]
    return " ".join([*words, origin + path])
