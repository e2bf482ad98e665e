"""docs/mqtt.md, docs/asyncapi.yaml, the schemas and the code agree about every message."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml

from docs.site.documents import documents
from edge_agent.messages.command import REQUESTS
from edge_agent.messages.message import KINDS
from edge_agent.messages.status import ReasonCode
from edge_agent.messages.topics import Topics

DOCS = Path(__file__).parents[2] / "docs"
PYPROJECT = (DOCS.parent / "pyproject.toml").read_text(encoding="utf-8")
PAGE = (DOCS / "mqtt.md").read_text(encoding="utf-8")
ASYNCAPI: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
MQTT_SCHEMAS = sorted(DOCS.glob("*.schema.json"))


def schema(kind: str) -> dict[str, Any]:
    return dict(json.loads((DOCS / f"{kind}.schema.json").read_text(encoding="utf-8")))


def resolved(reference: str) -> Any:
    """What a reference of asyncapi.yaml points to: a file beside it, or a place inside."""
    if reference.startswith("./"):
        return json.loads((DOCS / reference).read_text(encoding="utf-8"))
    found: Any = ASYNCAPI
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [one for value in node.values() for one in references(value)]
    return [one for value in node for one in references(value)] if isinstance(node, list) else []


@pytest.mark.parametrize("name", list(documents()))
def test_the_documents_are_up_to_date(name):
    assert (DOCS / name).read_text(encoding="utf-8") == documents()[name]


@pytest.mark.parametrize("file", MQTT_SCHEMAS, ids=lambda file: file.name)
def test_every_schema_is_valid_and_named_by_the_page_and_by_asyncapi(file):
    jsonschema.Draft202012Validator.check_schema(json.loads(file.read_text(encoding="utf-8")))

    assert f"({file.name})" in PAGE
    assert f"./{file.name}" in references(ASYNCAPI)


def test_every_reference_of_asyncapi_resolves():
    assert ASYNCAPI["asyncapi"].startswith("3.0")
    version = ASYNCAPI["info"]["version"]
    assert f'version = "{version}"' in PYPROJECT.splitlines()
    assert all(resolved(one) for one in references(ASYNCAPI))


def test_asyncapi_and_the_code_have_the_same_topics():
    topics = Topics("maskwatch", "{device}")
    known = {
        topics.status,
        *map(topics.of_kind, KINDS),
        topics.crop("{alert}"),
        topics.last_crop("{camera}"),
        topics.violations("{camera}"),
        topics.snapshot("{snapshot}"),
        topics.command("{command}"),
        topics.result("{command}"),
    }

    assert {channel["address"] for channel in ASYNCAPI["channels"].values()} == known


def test_every_parameter_of_a_topic_is_described():
    for channel in ASYNCAPI["channels"].values():
        assert set(channel["parameters"]) == set(re.findall(r"{(\w+)}", channel["address"]))


def test_every_channel_has_an_operation_or_is_a_reply():
    used = [one["channel"]["$ref"] for one in ASYNCAPI["operations"].values()]
    used += [one["reply"]["channel"]["$ref"] for one in ASYNCAPI["operations"].values() if "reply" in one]

    assert sorted(used) == sorted(f"#/channels/{name}" for name in ASYNCAPI["channels"])


def test_the_commands_are_the_same_everywhere():
    assert ASYNCAPI["components"]["parameters"]["command"]["enum"] == list(REQUESTS)
    assert set(REQUESTS) <= set(schema("command")["$defs"])
    assert re.findall(r"^\| `(\w+)` \|[^|]*\| [^|]*\|$", PAGE.split("## Commands")[1], re.MULTILINE) == list(REQUESTS)


def test_the_page_explains_every_reason_and_no_other():
    table = PAGE.split("| reason |")[1].split("\n\n")[0]
    explained = re.findall(r"^\| `(\w+)` ", table, re.MULTILINE)
    in_schema = schema("status")["$defs"]["Reason"]["properties"]["code"]["enum"]

    assert explained == in_schema
    assert set(in_schema) == {*get_args(ReasonCode)}


def test_the_page_has_an_example_of_every_message_that_its_schema_accepts():
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    kinds = {example["schema"].removeprefix("maskwatch.").partition("/")[0]: example for example in examples}

    assert set(kinds) == {file.name.removesuffix(".schema.json") for file in MQTT_SCHEMAS} - {"command"}
    for kind, example in kinds.items():
        jsonschema.Draft202012Validator(schema(kind), format_checker=jsonschema.FormatChecker()).validate(example)


def test_the_page_and_asyncapi_agree_on_qos_and_retain():
    table = re.findall(r"^\| `maskwatch/<device>/([^`]+)` \| [^|]+ \| (\d) \| ([^|]+) \|", PAGE, re.MULTILINE)
    documented = {
        re.sub(r"<[^>]+>", "+", topic): (int(qos), retained.startswith("yes")) for topic, qos, retained in table
    }
    described = {}
    for operation in ASYNCAPI["operations"].values():
        address = resolved(operation["channel"]["$ref"])["address"].removeprefix("maskwatch/{device}/")
        binding = operation["bindings"]["mqtt"]
        described[re.sub(r"{\w+}", "+", address)] = (binding["qos"], binding["retain"])
    described["commands/+/result"] = (1, False)

    assert documented == described
