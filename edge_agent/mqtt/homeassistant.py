"""Home Assistant: MQTT discovery of the device and its entities.

One retained message describes the device and all its entities (MQTT device discovery), which use the regular topics.
Pure: no clock, no I/O. Keys as in https://www.home-assistant.io/integrations/mqtt/.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from edge_agent.domain import LABELS
from edge_agent.messages.alert import AlertMessage
from edge_agent.messages.message import schema_of
from edge_agent.messages.telemetry import TelemetryMessage
from edge_agent.messages.topics import Topics
from edge_agent.messages.violations import ViolationsMessage
from edge_agent.mqtt.publication import JPEG, Publication

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.config.model import Config
    from edge_agent.messages.message import Message
    from edge_agent.mqtt.client import Message as Received

# Published by Home Assistant on `<prefix>/status` at its start; discovery messages must then be sent again.
BIRTH = b"online"
# One telemetry message may be late and one lost before the entities become unavailable.
MISSED_TELEMETRY = 3
# What the entities of the device and of a camera have in common.
PEOPLE_TODAY = {"icon": "mdi:account-multiple", "state_class": "total_increasing"}
FRAME_RATE = {
    "icon": "mdi:speedometer",
    "unit_of_measurement": "fps",
    "state_class": "measurement",
    "entity_category": "diagnostic",
}
LAST_CROP = {"platform": "image", "content_type": JPEG}
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  (compared with, and not listened at)
NOT_IN_AN_OBJECT_ID = re.compile(r"[^a-zA-Z0-9_-]")


def birth_topic(config: Config) -> str:
    """Topic of Home Assistant's birth message."""
    return f"{config.mqtt.home_assistant.prefix}/status"


def is_birth(config: Config, message: Received) -> bool:
    """Whether a message says that Home Assistant has just started; a retained one does not."""
    return message.topic == birth_topic(config) and message.payload == BIRTH and not message.retain


def discovery_topic(config: Config) -> str:
    """Topic of the retained discovery message of this device."""
    return f"{config.mqtt.home_assistant.prefix}/device/{_object_id(config.device.name)}/config"


def discovery(
    config: Config, *, version: str, has_temperature: bool, removed_cameras: Iterable[str] = ()
) -> Publication:
    """The discovery message; entities of `removed_cameras` are removed from Home Assistant."""
    device = config.device.name
    object_id = _object_id(device)
    content = {
        "device": {
            "identifiers": [object_id],
            "name": config.device_title,
            "manufacturer": "maskwatch",
            "model": "Face mask monitor",
            "sw_version": version,
            **_page(config),
        },
        "origin": {"name": "maskwatch", "sw_version": version},
        "qos": 1,
        "components": {
            key: {"unique_id": f"{object_id}_{key}", **entity, **_availability(config, key)}
            if len(entity) > 1
            else entity
            for key, entity in _entities(
                config, has_temperature=has_temperature, removed_cameras=removed_cameras
            ).items()
        },
    }
    return Publication(discovery_topic(config), json.dumps(content).encode(), retain=True)


def _availability(config: Config, key: str) -> dict[str, str]:
    """Availability by device status, for all entities but the status itself: that one shows `offline`, and why."""
    if key == "condition":
        return {}
    return {
        "availability_topic": Topics(config.mqtt.topic_prefix, config.device.name).status,
        "availability_template": "{{ 'offline' if value_json.state == 'offline' else 'online' }}",
    }


def _page(config: Config) -> dict[str, str]:
    """URL of the console, unless it listens on loopback only or on all addresses."""
    console = config.console
    if console.is_loopback or console.host in ANY_ADDRESS:
        return {}
    return {"configuration_url": f"{console.url}/"}


def _object_id(device: str) -> str:
    """A valid object id that is unique to the device: a.b and a_b are different devices."""
    plain = NOT_IN_AN_OBJECT_ID.sub("_", device)
    suffix = "" if plain == device else f"_{hashlib.sha256(device.encode()).hexdigest()[:6]}"
    return f"maskwatch_{plain}{suffix}"


def _of(message: type[Message], template: str, *, otherwise: str = "") -> str:
    """A template for these messages only: the doctor's probes lack its keys."""
    # The empty payload that clears a retained message is not JSON.
    is_one = f"value_json is defined and value_json.schema == '{schema_of(message)}'"
    return f"{{% if {is_one} %}}{template}{{% else %}}{otherwise}{{% endif %}}"


def _entities(config: Config, *, has_temperature: bool, removed_cameras: Iterable[str]) -> dict[str, dict[str, Any]]:
    """All entities by key. An unavailable entity has only its platform, which removes an older one."""
    mqtt, topics = config.mqtt, Topics(config.mqtt.topic_prefix, config.device.name)
    status, telemetry = topics.status, topics.of_kind("telemetry")
    figure = {
        "platform": "sensor",
        "state_topic": telemetry,
        "expire_after": round(MISSED_TELEMETRY * mqtt.telemetry_seconds),
    }
    entities: dict[str, dict[str, Any]] = {
        "alert": {
            "platform": "event",
            "name": "Alert",
            "icon": "mdi:face-mask-outline",
            "state_topic": topics.alerts,
            "event_types": list(LABELS),
            "value_template": _of(
                AlertMessage,
                "{{ {'event_type': value_json.label, 'camera': value_json.camera, "
                "'camera_title': value_json.camera_title | default(value_json.camera), 'score': value_json.score, "
                "'alert_id': value_json.id, 'when': value_json.when, 'historical': value_json.historical} | to_json }}",
            ),
        },
        "condition": {
            "platform": "sensor",
            "name": "Condition",
            "device_class": "enum",
            "options": ["starting", "online", "degraded", "offline"],
            "state_topic": status,
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": status,
            "entity_category": "diagnostic",
        },
        "alerts_today": {
            **figure,
            "name": "Alerts today",
            "icon": "mdi:counter",
            "state_class": "total_increasing",
            "value_template": _of(TelemetryMessage, "{{ value_json.alerts_today }}"),
        },
        "people_today": {
            **figure,
            **PEOPLE_TODAY,
            "name": "People today",
            "value_template": _of(TelemetryMessage, "{{ value_json.people_today }}"),
            "json_attributes_topic": telemetry,
            "json_attributes_template": _of(
                TelemetryMessage,
                "{% set all = namespace(people={}) %}{% for name, camera in value_json.cameras.items() %}"
                "{% set all.people = dict(all.people, **{name: camera.people_today}) %}{% endfor %}"
                "{{ all.people | to_json }}",
                otherwise="{}",
            ),
        },
        "compliance_today": {
            **figure,
            "name": "Compliance today",
            "icon": "mdi:percent",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            # Unknown instead of 0 % without decided people.
            "value_template": _of(
                TelemetryMessage,
                "{% if value_json.compliance_today is none %}{{ None }}"
                "{% else %}{{ (value_json.compliance_today * 100) | round(1) }}{% endif %}",
            ),
        },
        "frame_rate": {
            **figure,
            **FRAME_RATE,
            "name": "Frame rate",
            "value_template": _of(TelemetryMessage, "{{ value_json.frames_per_second }}"),
            # Per camera, with its other metrics: configured, allowed by the governor, reached.
            "json_attributes_topic": telemetry,
            "json_attributes_template": _of(TelemetryMessage, "{{ value_json.cameras | to_json }}", otherwise="{}"),
        },
        "temperature": {
            **figure,
            "name": "Temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_class": "measurement",
            "entity_category": "diagnostic",
            "value_template": _of(TelemetryMessage, "{{ value_json.machine.temperature_celsius }}"),
        },
        "last_crop": {**LAST_CROP, "name": "Last crop", "image_topic": topics.crop("+")},
        "pause": _pause(topics, {}, name="Pause", is_on="value_json.paused"),
    }
    absent: list[str] = []
    if not mqtt.telemetry_seconds:
        absent += ["alerts_today", "people_today", "compliance_today", "frame_rate"]
    if not mqtt.telemetry_seconds or not has_temperature:
        absent.append("temperature")
    if not mqtt.publish_crops or config.crops.picture == "none" or config.crops.encrypt_for:
        absent.append("last_crop")
    if not mqtt.accept_commands:
        absent.append("pause")
    removed = list(removed_cameras)
    for camera in [*config.cameras, *removed]:
        title = config.camera_titles.get(camera, camera)
        of_camera = _entities_of_camera(topics, camera, title=title, figure=figure)
        entities |= {_key_of(camera, key): entity for key, entity in of_camera.items()}
        absent += [_key_of(camera, key) for key in of_camera if key in absent or camera in removed]
    return entities | {key: {"platform": entities[key]["platform"]} for key in absent}


def _key_of(camera: str, key: str) -> str:
    return f"camera_{camera}_{key}"


def _entities_of_camera(
    topics: Topics, camera: str, *, title: str, figure: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """The entities of each camera, with the device's keys where both have them."""
    name = json.dumps(camera)
    return {
        "violations": {
            "platform": "binary_sensor",
            "name": f"No mask at {title}",
            "icon": "mdi:account-alert",
            "state_topic": topics.violations(camera),
            "value_template": _of(ViolationsMessage, "{{ 'ON' if value_json.violations else 'OFF' }}"),
            "json_attributes_topic": topics.violations(camera),
            "json_attributes_template": _of(ViolationsMessage, "{{ value_json | to_json }}", otherwise="{}"),
        },
        "last_crop": {**LAST_CROP, "name": f"Last crop at {title}", "image_topic": topics.last_crop(camera)},
        "people_today": {
            **figure,
            **PEOPLE_TODAY,
            "name": f"People today at {title}",
            "value_template": _of(
                TelemetryMessage,
                f"{{% set people = value_json.cameras[{name}].people_today %}}"
                "{{ people.with_mask + people.without_mask + people.mask_worn_incorrectly + people.undecided }}",
            ),
        },
        "frame_rate": {
            **figure,
            **FRAME_RATE,
            "name": f"Frame rate of {title}",
            "value_template": _of(TelemetryMessage, f"{{{{ value_json.cameras[{name}].frames_per_second.reached }}}}"),
        },
        "pause": _pause(topics, {"camera": camera}, name=f"Pause {title}", is_on=f"{name} in value_json.paused"),
    }


def _pause(topics: Topics, request: dict[str, str], *, name: str, is_on: str) -> dict[str, Any]:
    """The switch of a pause; `is_on` is a template's condition."""
    return {
        "platform": "switch",
        "name": name,
        "icon": "mdi:pause-circle",
        "command_topic": topics.command("pause"),
        "payload_on": json.dumps({**request, "on": True}),
        "payload_off": json.dumps({**request, "on": False}),
        "state_topic": topics.status,
        "value_template": f"{{{{ 'ON' if {is_on} else 'OFF' }}}}",
        "state_on": "ON",
        "state_off": "OFF",
    }
