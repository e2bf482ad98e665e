"""Commands are checked before anything is done, and answered where their sender listens."""

import json
from contextlib import suppress
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge_agent.config import MqttConfig
from edge_agent.delivery.commands import (
    LARGEST_REQUEST_BYTES,
    REQUESTS,
    PauseRequest,
    SnapshotRequest,
    answers,
    read_command,
    request_id,
)
from edge_agent.delivery.mqtt import Message
from edge_agent.errors import CommandError
from tests.delivery.samples import DEVICE, WHEN

MQTT = MqttConfig()
DOCS = Path(__file__).parents[2] / "docs"


def said(name="pause", payload=b"{}", **more):
    return Message(f"maskwatch/{DEVICE}/commands/{name}", payload, **more)


def refusal(message):
    with pytest.raises(CommandError) as caught:
        read_command(message)
    return str(caught.value)


def answered(message, **what):
    return answers(MQTT, DEVICE, message, **{"state": "done", "when": WHEN, **what})


@pytest.mark.parametrize("name", list(REQUESTS))
@pytest.mark.parametrize("payload", [b"", b"{}", b' {"id": "17"} '])
def test_every_command_can_be_given_without_a_payload(name, payload):
    command = read_command(said(name, payload))

    assert command.name == name
    assert type(command.request) is REQUESTS[name]


def test_what_a_command_carries_is_read():
    request = read_command(said("pause", b'{"camera": "door", "seconds": 90, "id": "a"}')).request

    assert request == PauseRequest(camera="door", seconds=90.0, id="a")
    assert read_command(said("snapshot", b'{"camera": "door"}')).request == SnapshotRequest(camera="door")


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
def test_a_payload_that_is_wrong_is_explained(payload, complaint):
    assert complaint in refusal(said("pause", payload))


def test_all_mistakes_are_named_at_once():
    assert refusal(said("pause", b'{"seconds": -1, "on": 3}')).count("Input should be") == 2


def test_a_command_that_the_broker_kept_is_not_obeyed_and_the_reason_is_said():
    assert "retained command is not obeyed" in refusal(said("pause", retain=True))


def test_a_payload_that_is_far_too_long_is_not_even_read():
    long = json.dumps({"id": "x" * LARGEST_REQUEST_BYTES}).encode()

    assert "more than the 4096" in refusal(said("pause", long))
    assert request_id(said("pause", long)) == ""


def test_an_unknown_command_is_told_the_known_ones():
    assert refusal(said("dance")) == "no such command; known are pause, resume, snapshot, reload, diagnostics"


@given(payload=some.binary(max_size=200), name=some.sampled_from([*REQUESTS, "dance", "", "+"]))
def test_nothing_that_comes_in_does_more_than_be_refused(payload, name):
    message = said(name, payload)
    with suppress(CommandError):
        read_command(message)
    for answer in answered(message, state="refused", reason="no"):
        json.loads(answer.payload)


def test_the_answer_goes_to_the_result_topic_with_the_id_of_the_request():
    (answer,) = answered(said("pause", b'{"id": "17", "camera": "door"}'), result={"cameras": ["door"]})

    assert answer.topic == f"maskwatch/{DEVICE}/commands/pause/result"
    assert not answer.retain
    assert json.loads(answer.payload) == {
        "schema": "maskwatch.result/1",
        "device": DEVICE,
        "command": "pause",
        "id": "17",
        "state": "done",
        "reason": "",
        "result": {"cameras": ["door"]},
        "when": "2025-01-31T12:00:00.123Z",
    }


def test_a_refused_request_is_answered_with_its_id_as_well():
    (answer,) = answered(said("pause", b'{"id": "17", "seconds": -1}'), state="refused", reason="no")

    assert json.loads(answer.payload)["id"] == "17"


def test_an_mqtt_5_request_is_answered_where_it_wants_with_what_it_carried():
    message = said("pause", response_topic="dashboard/answers", correlation_data=b"\x01\x02")

    result, response = answered(message)

    assert response.topic == "dashboard/answers"
    assert response.payload == result.payload
    assert response.correlation_data == result.correlation_data == b"\x01\x02"


@pytest.mark.parametrize(
    "topic",
    [
        f"maskwatch/{DEVICE}/alerts",
        f"maskwatch/{DEVICE}/commands/reload",
        "homeassistant/device/x/config",
        "$SYS/broker",
        "a/+/b",
        "#",
        "a\0b",
        "x" * 300,
    ],
)
def test_nobody_makes_the_device_speak_where_it_or_the_broker_speaks_for_itself(topic):
    assert [answer.topic for answer in answered(said("pause", response_topic=topic))] == [
        f"maskwatch/{DEVICE}/commands/pause/result"
    ]


def test_a_name_that_is_none_is_answered_only_where_its_sender_listens():
    (response,) = answered(said("dance", response_topic="here"), state="refused", reason="no such command")

    assert response.topic == "here"
    assert answered(said("dance"), state="refused", reason="no such command") == []


def schema(name):
    return jsonschema.Draft202012Validator(json.loads((DOCS / f"{name}.schema.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", list(REQUESTS))
def test_the_schema_of_commands_knows_exactly_what_each_may_carry(name):
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
def test_what_the_schema_of_commands_accepts_is_obeyed(name, payload):
    schema("command").evolve(schema={"$ref": f"#/$defs/{name}", "$defs": schema("command").schema["$defs"]}).validate(
        payload
    )
    read_command(said(name, json.dumps(payload).encode()))
