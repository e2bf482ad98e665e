"""JSON Schema and AsyncAPI documents of the messages. `make documents` writes them to docs/."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import TypeAdapter

from edge_agent.messages.alert import AlertMessage
from edge_agent.messages.command import REQUESTS
from edge_agent.messages.counts import CountsMessage
from edge_agent.messages.probe import ProbeMessage
from edge_agent.messages.resolved import ResolvedMessage
from edge_agent.messages.result import ResultMessage
from edge_agent.messages.status import StatusMessage
from edge_agent.messages.telemetry import TelemetryMessage
from edge_agent.messages.topics import Topics
from edge_agent.messages.violations import ViolationsMessage

if TYPE_CHECKING:
    from edge_agent.messages.message import Message

DRAFT = "https://json-schema.org/draft/2020-12/schema"
MESSAGES: dict[str, type[Message]] = {
    "alert": AlertMessage,
    "resolved": ResolvedMessage,
    "counts": CountsMessage,
    "status": StatusMessage,
    "telemetry": TelemetryMessage,
    "result": ResultMessage,
    "probe": ProbeMessage,
    "violations": ViolationsMessage,
}
TOPICS = Topics("maskwatch", "{device}")
PICTURE = "JPEG; if crops.encrypt_for is set, encrypted with age (application/octet-stream)"


def documents() -> dict[str, str]:
    """The content of each document by file name."""
    schemas = {f"{name}.schema.json": message_schema(name) for name in MESSAGES}
    schemas["command.schema.json"] = command_schema()
    written = {name: json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()}
    return {**written, "asyncapi.yaml": yaml.safe_dump(asyncapi(), sort_keys=False, width=120, allow_unicode=True)}


def message_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a published message."""
    model = MESSAGES[name]
    schema = _without_titles(model.model_json_schema(mode="serialization"))
    return {
        "$schema": DRAFT,
        "$id": f"urn:maskwatch:{name}:1",
        "title": model.model_config["title"],
        "description": schema.pop("description"),
        **schema,
    }


def command_schema() -> dict[str, Any]:
    """The JSON Schema of command payloads: one definition per command."""
    definitions = {name: _without_titles(TypeAdapter(model).json_schema()) for name, model in REQUESTS.items()}
    return {
        "$schema": DRAFT,
        "$id": "urn:maskwatch:command:1",
        "title": "The payload of a command, as published to <prefix>/<device>/commands/<name>",
        "description": "One definition per command. An empty payload means the defaults.",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in REQUESTS],
        "$defs": definitions,
    }


def asyncapi() -> dict[str, Any]:
    """The device's topics and messages as AsyncAPI 3."""
    alert, camera, snapshot, command = "{alert}", "{camera}", "{snapshot}", "{command}"
    channels = {
        "status": _channel(TOPICS.status, "status"),
        "alerts": _channel(TOPICS.alerts, "alert"),
        "resolved": _channel(TOPICS.of_kind("resolved"), "resolved"),
        "counts": _channel(TOPICS.of_kind("counts"), "counts"),
        "telemetry": _channel(TOPICS.of_kind("telemetry"), "telemetry"),
        "crops": _channel(TOPICS.crop(alert), "picture", alert={"description": "The id of the alert"}),
        "lastCrops": _channel(TOPICS.last_crop(camera), "picture", camera=_ref("parameters/camera")),
        "violations": _channel(TOPICS.violations(camera), "violations", camera=_ref("parameters/camera")),
        "snapshots": _channel(
            TOPICS.snapshot(snapshot), "picture", snapshot={"description": "The id in the result of the command"}
        ),
        "commands": _channel(TOPICS.command(command), "command", command=_ref("parameters/command")),
        "results": _channel(TOPICS.result(command), "result", command=_ref("parameters/command")),
    }
    operations = {
        "sendStatus": _send(
            "status", "At every change and connection; the broker publishes offline as last will", retain=True
        ),
        "sendAlert": _send("alerts", "Once per violation; delivered at least once"),
        "sendResolved": _send("resolved", "When the person of an alert has left or wears the mask"),
        "sendCounts": _send("counts", "After each hour and each day of the device's time zone"),
        "sendTelemetry": _send("telemetry", "Once a minute", qos=0),
        "sendCrop": _send("crops", "Before its alert, if mqtt.publish_crops is true"),
        "sendLastCrop": _send("lastCrops", "The same, for Home Assistant, unless the alert is historical"),
        "sendViolations": _send("violations", "When the number of people without a mask changes", retain=True),
        "sendSnapshot": _send("snapshots", "On the command snapshot, if mqtt.publish_crops is true"),
        "receiveCommand": {
            **_send("commands", "Retained commands are refused"),
            "action": "receive",
            "reply": {"channel": {"$ref": "#/channels/results"}},
        },
    }
    payloads = {name: {"payload": {"$ref": f"./{name}.schema.json"}} for name in (*MESSAGES, "command")}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "maskwatch",
            "version": version("maskwatch"),
            "description": "The MQTT messages of a device that detects missing face masks. mqtt.md in the same folder "
            "describes when and why they are sent.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": _server()},
        "channels": channels,
        "operations": operations,
        "components": {
            "parameters": {
                "device": {"description": "Name of the device (device.id, or its host name)"},
                "camera": {"description": "Name of the camera"},
                "command": {"description": "Name of the command", "enum": list(REQUESTS)},
            },
            "messages": {**payloads, "picture": {"contentType": "image/jpeg", "description": PICTURE}},
        },
    }


def _server() -> dict[str, Any]:
    will = {
        "topic": Topics(TOPICS.prefix, "<device>").status,
        "qos": 1,
        "retain": True,
        "message": "A status with the state offline",
    }
    return {
        "host": "broker.local:8883",
        "protocol": "mqtts",
        "protocolVersion": "5",
        "description": "Any broker of MQTT 5 or 3.1.1; see deploy/mosquitto for an example.",
        "bindings": {
            "mqtt": {"clientId": "maskwatch-<device>", "cleanSession": True, "keepAlive": 30, "lastWill": will}
        },
    }


def _channel(address: str, message: str, **parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": address,
        "parameters": {"device": _ref("parameters/device"), **parameters},
        "messages": {message: _ref(f"messages/{message}")},
    }


def _send(channel: str, summary: str, *, qos: int = 1, retain: bool = False) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "bindings": {"mqtt": {"qos": qos, "retain": retain}},
    }


def _ref(component: str) -> dict[str, Any]:
    return {"$ref": f"#/components/{component}"}


def _without_titles(schema: Any) -> Any:
    """Remove the titles that pydantic derives from key names."""
    if isinstance(schema, dict):
        return {
            key: _without_titles(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)
        }
    return [_without_titles(value) for value in schema] if isinstance(schema, list) else schema


def main(folder: Path) -> None:
    """Write every document into a folder."""
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
