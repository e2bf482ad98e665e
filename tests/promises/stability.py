"""Stability: which parts of the program does docs/stability.md promise to keep, and is any of them missing?

`python -m tests.promises.stability FILE` writes the list. It is compared line by line: a line that is missing or
changed is a broken promise, a new one has to be added.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from converter.cli import build_parser as edge_convert
from docs.site.documents import MESSAGES, asyncapi, command_schema, message_schema
from docs.site.reference import openapi
from edge_agent import errors
from edge_agent.cli import build_parser as edge_agent
from edge_agent.config.model import Config
from edge_agent.messages.command import REQUESTS
from edge_agent.vision.card import ClassifierCard, DetectorCard
from fleet.cli import build_parser as maskwatch_fleet
from fleet.config import FleetConfig
from fleet.web.api import api as fleet_api
from training.cli import build_parser as edge_train

if TYPE_CHECKING:
    from collections.abc import Iterator


def promised() -> dict[str, list[str]]:
    """All lines by the part that they belong to."""
    parts = {
        "configuration": [
            *_input_lines(Config.model_json_schema(), "config.yaml"),
            *_input_lines(FleetConfig.model_json_schema(), "fleet.yaml"),
        ],
        "cards": [
            line
            for card in (ClassifierCard, DetectorCard)
            for line in _input_lines(card.model_json_schema(by_alias=True), card.__name__)
        ],
        "topics": sorted(channel["address"] for channel in asyncapi()["channels"].values()),
        "messages": [line for name in MESSAGES for line in _output_lines(message_schema(name), name)],
        "commands": [line for name in REQUESTS for line in _input_lines(command_schema()["$defs"][name], name)],
        "options": [
            line
            for parser in (edge_agent(), edge_convert(), edge_train(), maskwatch_fleet())
            for line in _options(parser)
        ],
        "statuses": sorted(
            f"{name} {kind.exit_code}"
            for name, kind in vars(errors).items()
            if isinstance(kind, type) and issubclass(kind, errors.AgentError)
        ),
        "api": list(_api(openapi())),
        "api of the fleet": list(_api(_fleet_openapi())),
    }
    return {part: sorted(dict.fromkeys(lines)) for part, lines in parts.items()}


def broken(frozen: dict[str, list[str]], now: dict[str, list[str]]) -> list[str]:
    """The promises that are no longer kept."""
    return [f"{part}: {line}" for part, lines in frozen.items() for line in sorted({*lines} - {*now.get(part, ())})]


def _output_lines(schema: dict[str, Any], name: str) -> Iterator[str]:
    """Guarantees to a reader: fields, their types, and which are always present."""
    return _lines(schema, schema.get("$defs", {}), name, always=True)


def _input_lines(schema: dict[str, Any], name: str) -> Iterator[str]:
    """Guarantees to a writer: keys, and the values that are accepted."""
    return _lines(schema, schema.get("$defs", {}), name, always=False)


def _lines(schema: dict[str, Any], definitions: dict[str, Any], path: str, *, always: bool) -> Iterator[str]:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    yield from (f"{path} = {value}" for value in choices)
    if "type" in schema and not choices:
        yield f"{path}: {schema['type']}"
    for key in schema.get("properties", {}):
        required = always and key in schema.get("required", ())
        yield f"{path}.{key}{' is always there' if required else ''}"
    for inside, inner in _inside(schema):
        yield from _lines(inner, definitions, f"{path}{inside}", always=always)


def _inside(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas within a schema, by the path suffix that they add."""
    for key in ("anyOf", "oneOf", "allOf"):
        yield from (("", one) for one in schema.get(key, ()))
    yield from ((f".{key}", value) for key, value in schema.get("properties", {}).items())
    yield from (("{}", value) for value in schema.get("patternProperties", {}).values())
    for key, inside in (("additionalProperties", "{}"), ("items", "[]")):
        if isinstance(schema.get(key), dict):
            yield inside, schema[key]


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _options(command)
        else:
            for option in action.option_strings:
                yield f"{parser.prog} {option}"
                yield from (f"{parser.prog} {option} = {choice}" for choice in action.choices or ())


def _fleet_openapi() -> dict[str, Any]:
    app = FastAPI()
    app.include_router(fleet_api)
    return app.openapi()


def _api(document: dict[str, Any]) -> Iterator[str]:
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method.upper()} {path}"
            yield name
            for one in operation.get("parameters", ()):
                yield f"{name} ?{one['name']}"
                yield from _lines(one["schema"], schemas, f"{name} ?{one['name']}", always=False)
            for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                yield from _lines(body["schema"], schemas, f"{name} < {kind}", always=False)
            for kind, body in operation["responses"].get("200", {}).get("content", {}).items():
                yield from _lines(body["schema"], schemas, f"{name} > {kind}", always=True)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(promised(), indent=1) + "\n", encoding="utf-8")
