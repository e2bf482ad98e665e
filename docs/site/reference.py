"""Reference: what can be configured, typed, requested and received, as pages written from the code itself?"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from fastapi import FastAPI

import edge_agent.errors
from converter.cli import build_parser as edge_convert
from docs.site.documents import MESSAGES, command_schema, message_schema
from edge_agent.cli import build_parser as edge_agent_parser
from edge_agent.config.model import Config
from edge_agent.console.app import include_api
from edge_agent.errors import AgentError
from fleet.cli import build_parser as maskwatch_fleet
from training.cli import build_parser as edge_train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.console.context import Context

COLUMNS = "100"
"""Output width of the commands: the widest that the site shows without a scroll bar."""
LONGEST_CHOICE = 120
DOCUMENT = re.compile(r"\bdocs/([\w-]+)\.md")
"""A document, as descriptions in the code name it."""


def pages() -> dict[str, str]:
    """Every generated file by its path in the site."""
    programs = (edge_agent_parser(), edge_convert(), edge_train(), maskwatch_fleet())
    return {
        "reference/configuration.md": configuration(),
        "reference/messages.md": messages(),
        "reference/api.md": api(),
        "reference/openapi.json": json.dumps(openapi(), indent=2) + "\n",
        "reference/errors.md": errors(),
        **{f"reference/{parser.prog}.md": command_line(parser) for parser in programs},
    }


def configuration() -> str:
    """Every key of config.yaml, a table for each section."""
    schema = Config.model_json_schema()
    lines = [
        "# Configuration",
        "",
        "Every key has a default, so an empty file is valid. `edge-agent config` prints the effective values, with",
        "`--changes` only those that differ from the defaults, with `--schema` a JSON Schema for editors.",
        "",
        *_section("", schema, schema["$defs"]),
    ]
    return "\n".join(lines) + "\n"


def _section(prefix: str, schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    keys = [(f"{prefix}{key}", value, _inner(value, definitions)) for key, value in schema["properties"].items()]
    if any(inner is None for _, _, inner in keys):
        yield from ("| key | default | values | |", "|---|---|---|---|")
        for name, value, inner in keys:
            if inner is not None:
                continue
            yield f"| `{name}` | {_default(value)} | {_values(value)} | {_cell(value.get('description', ''))} |"
        yield ""
    for name, value, inner in keys:
        if inner is None:
            continue
        yield from (f"## {name}{_many(value)}", "", f"{value.get('description') or inner.get('description', '')}.", "")
        yield from _section(f"{name}{_many(value)}.", inner, definitions)


def _many(value: dict[str, Any]) -> str:
    """What separates a key from the keys of the objects that it contains."""
    return {"object": ".NAME", "array": "[]"}.get(value.get("type", ""), "")


def _default(value: dict[str, Any]) -> str:
    default = value.get("default")
    return "" if default in (None, "", []) else f"`{json.dumps(default)}`"


def _inner(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any] | None:
    """The section that a key contains, alone, by name or in a list; None for a plain value."""
    if "patternProperties" in value:
        value = next(iter(value["patternProperties"].values()))
    for holder in (value, value.get("additionalProperties"), value.get("items"), *value.get("anyOf", ())):
        if isinstance(holder, dict) and "$ref" in holder:
            found: dict[str, Any] = definitions[holder["$ref"].rpartition("/")[2]]
            return found if "properties" in found else None
    return None


def _values(value: dict[str, Any]) -> str:
    """The permitted values of a key: choices, range or type."""
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_values(one) for one in value["anyOf"] if one.get("type") != "null"))
    if "enum" in value or "const" in value:
        text = ", ".join(
            "empty" if choice == "" else f"`{choice}`" for choice in value.get("enum", [value.get("const")])
        )
        return text if len(text) <= LONGEST_CHOICE else f"one of {len(value['enum'])}"
    if "$ref" in value:
        return "object"
    if "enum" in value.get("items", {}):
        return f"list of {_values(value['items'])}"
    kinds = {
        "integer": "whole number",
        "number": "number",
        "boolean": "true, false",
        "array": "list",
        "object": "object",
    }
    kind = kinds.get(value.get("type", ""), "text")
    least, most = value.get("minimum", value.get("exclusiveMinimum")), value.get("maximum")
    if least is None and most is None:
        return kind
    return f"{kind}, {'' if least is None else f'{least:g}'}..{'' if most is None else f'{most:g}'}"


def messages() -> str:
    """Every message with its fields."""
    lines = [
        "# Messages",
        "",
        "The fields of every MQTT message. [MQTT interface](../mqtt.md) describes when each is sent; webhooks carry",
        "the same alerts. Every message has a JSON Schema; [asyncapi.yaml](../asyncapi.yaml) describes all of them.",
        "",
    ]
    for name in MESSAGES:
        schema = message_schema(name)
        lines += [f"## {name}", "", f"{schema['description']} ([JSON Schema](../{name}.schema.json))", ""]
        lines += [*_head(schema), *_fields(schema, schema.get("$defs", {})), ""]
    lines += ["## Commands", "", "The payload of each command ([JSON Schema](../command.schema.json)).", ""]
    for name, schema in command_schema()["$defs"].items():
        if "properties" in schema:
            lines += [f"### {name}", "", schema.get("description", ""), "", *_head(schema), *_fields(schema, {}), ""]
    return "\n".join(lines) + "\n"


def _head(schema: dict[str, Any]) -> list[str]:
    return ["| field | values | |", "|---|---|---|"] if schema.get("properties") else []


def _fields(schema: dict[str, Any], definitions: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """A row for each field; fields of nested objects follow a dot."""
    for key, value in schema.get("properties", {}).items():
        yield f"| `{prefix}{key}` | {_values(value)} | {_cell(value.get('description', ''))} |"
        if inner := _inner(value, definitions):
            yield from _fields(inner, definitions, f"{prefix}{key}{_many(value)}.")


def openapi() -> dict[str, Any]:
    """The OpenAPI document of a console that has a password."""
    auth = SimpleNamespace(needs_login=True, cookie_name=lambda *_: "maskwatch")
    context = cast("Context", SimpleNamespace(auth=auth, config=Config()))
    app = FastAPI(title="maskwatch", version=version("maskwatch"))
    include_api(app, context)
    return app.openapi()


def api() -> str:
    """Every path of the console's API."""
    lines = [
        "# HTTP API",
        "",
        "Served by `edge-agent console`; [Console](../console.md#the-api) describes login and tokens. An error is JSON",
        "with one sentence in `detail`. [openapi.json](openapi.json) is the OpenAPI document.",
        "",
    ]
    for path, operations in openapi()["paths"].items():
        for method, operation in operations.items():
            lines += [f"## {method.upper()} {path}", "", operation.get("summary", "") + ".", ""]
            if text := operation.get("description", ""):
                lines += [_linked(text), ""]
            if parameters := operation.get("parameters"):
                lines += ["| parameter | in | values | |", "|---|---|---|---|"]
                lines += [_parameter(one) for one in parameters]
                lines.append("")
            lines += ["| answer | |", "|---|---|"]
            lines += [
                f"| {code} | {_cell(one['description'])} |" for code, one in sorted(operation["responses"].items())
            ]
            lines.append("")
    return "\n".join(lines) + "\n"


def _parameter(one: dict[str, Any]) -> str:
    return f"| `{one['name']}` | {one['in']} | {_values(one['schema'])} | {_cell(one.get('description', ''))} |"


def errors() -> str:
    """Every exit status of the commands."""
    lines = [
        "# Errors",
        "",
        "Every error is one sentence: what, which file or key, and what to do next. The exit status (sysexits.h) shows",
        "how a supervisor should react: with 78 a person has to correct something, and the unit is not restarted.",
        "",
        "| status | class | |",
        "|---|---|---|",
        "| 0 | | Success |",
        "| 2 | | The command line is wrong |",
        "| 130 | | Interrupted by Ctrl-C |",
    ]
    kinds = [kind for _, kind in inspect.getmembers(edge_agent.errors, inspect.isclass) if issubclass(kind, AgentError)]
    lines += [
        f"| {kind.exit_code} | `{kind.__name__}` | {_cell(inspect.getdoc(kind) or '')} |"
        for kind in sorted(kinds, key=lambda kind: (kind.exit_code, kind.__name__))
    ]
    lines += [
        "",
        "What a running device reports, each reason with its remedy, stands under [status](../mqtt.md#status); what",
        "systemd says of the service, in the [runbook](../../deploy/README.md#troubleshooting); of the servers, under",
        "[troubleshooting](../fleet.md#troubleshooting). `edge-agent doctor` names the command that",
        "fixes it.",
    ]
    return "\n".join(lines) + "\n"


def command_line(parser: argparse.ArgumentParser) -> str:
    """A program and each of its commands, as `--help` prints them."""
    lines = [f"# {parser.prog}", "", *_help(parser), *_commands(parser, "##")]
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser, heading: str) -> Iterator[str]:
    """The commands of a program, and those of a command."""
    # argparse has no public list of its commands.
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                yield from (f"{heading} {command.prog.partition(' ')[2]}", "", *_help(command))
                yield from _commands(command, f"{heading}#")


def _help(parser: argparse.ArgumentParser) -> list[str]:
    with mock.patch.dict(os.environ, {"COLUMNS": COLUMNS}):
        return ["```text", parser.format_help().rstrip(), "```", ""]


def _cell(text: str) -> str:
    """A text within a table."""
    return _linked(" ".join(text.split()).replace("|", "\\|"))


def _linked(text: str) -> str:
    """A text with a link for each document that it names."""
    return DOCUMENT.sub(r"[\1](../\1.md)", text)
