"""Commands: validated before anything is done, and answered on the requested topic."""

import json
from contextlib import suppress
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge_agent.errors import CommandError
from edge_agent.messages.command import (
    MAX_ID_LENGTH,
    MAX_REQUEST_BYTES,
    REQUESTS,
    PauseRequest,
    SnapshotRequest,
    read_command,
    request_id,
)

DOCS = Path(__file__).parents[2] / "docs"


def refusal(name="pause", payload=b"{}", **more):
    with pytest.raises(CommandError) as caught:
        read_command(name, payload, **more)
    return str(caught.value)


@pytest.mark.parametrize("name", list(REQUESTS))
@pytest.mark.parametrize("payload", [b"", b"{}", b' {"id": "17"} '])
def test_every_command_can_be_given_without_a_payload(name, payload):
    request = read_command(name, payload)

    assert type(request) is REQUESTS[name]


def test_the_payload_of_a_command_is_parsed():
    request = read_command("pause", b'{"camera": "door", "seconds": 90, "id": "a"}')

    assert request == PauseRequest(camera="door", seconds=90.0, id="a")
    assert read_command("snapshot", b'{"camera": "door"}') == SnapshotRequest(camera="door")


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b'{"seconds": 0}', "seconds: Input should be greater than 0"),
        (b'{"seconds": "soon"}', "seconds: Input should be a valid number"),
        (b'{"seconds": 1e9}', "seconds: Input should be less than or equal to 604800"),
        (b'{"on": "yes"}', "on: Input should be a valid boolean"),
        (b'{"camrea": "door"}', "camrea: Extra inputs are not permitted"),
        (b'{"camera": 5, "id": 7}', "camera: Input should be a valid string"),
        (b"[]", "Input should be an object"),
        (b"ON", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[" * 4000, "Invalid JSON"),
    ],
)
def test_an_invalid_payload_is_explained(payload, complaint):
    assert complaint in refusal("pause", payload)


def test_all_errors_are_reported_together():
    assert refusal("pause", b'{"seconds": -1, "on": 3}').count("Input should be") == 2


def test_a_retained_command_is_rejected_with_a_reason():
    assert "retained command" in refusal("pause", retained=True)


def test_an_oversized_payload_is_not_parsed():
    long = json.dumps({"id": "x" * MAX_REQUEST_BYTES}).encode()

    assert "more than the 4096" in refusal("pause", long)
    assert request_id(long) == ""


def test_an_unknown_command_is_rejected_with_the_known_ones():
    assert refusal("dance") == "no such command; known: pause, resume, snapshot, reload, diagnostics"


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b'{"id": "7", "dance": true}', "7"),
        (b'{"id": 7}', ""),
        (b'{"id": "%s"}' % (b"x" * (MAX_ID_LENGTH + 1)), ""),
        # Half a surrogate pair, which no message can contain.
        (b'{"id": "\\ud800"}', ""),
        (b"[" * 4000, ""),
        (b"", ""),
    ],
)
def test_the_id_of_an_invalid_request_is_found_if_a_result_can_contain_it(payload, found):
    assert request_id(payload) == found


@given(payload=some.binary(max_size=200), name=some.sampled_from([*REQUESTS, "dance", "", "+"]))
def test_any_payload_is_either_read_or_rejected(payload, name):
    with suppress(CommandError):
        read_command(name, payload)
    assert isinstance(request_id(payload), str)


def schema(name):
    return jsonschema.Draft202012Validator(json.loads((DOCS / f"{name}.schema.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", list(REQUESTS))
def test_the_schema_of_commands_has_exactly_their_keys(name):
    described = json.loads((DOCS / "command.schema.json").read_text(encoding="utf-8"))["$defs"][name]

    assert set(described["properties"]) == set(REQUESTS[name].model_fields)
    for key, field in REQUESTS[name].model_fields.items():
        assert described["properties"][key]["description"] == field.description
        assert described["properties"][key].get("default") == field.default


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("pause", {"seconds": 600, "camera": "door", "id": "1"}),
        ("pause", {"on": False, "seconds": None}),
        ("resume", {"camera": "door"}),
        ("snapshot", {}),
        ("reload", {"id": "x"}),
    ],
)
def test_commands_that_match_the_schema_are_accepted(name, payload):
    schema("command").evolve(schema={"$ref": f"#/$defs/{name}", "$defs": schema("command").schema["$defs"]}).validate(
        payload
    )
    read_command(name, json.dumps(payload).encode())
