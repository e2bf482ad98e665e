"""Home Assistant: discovery messages, checked against the fields of its documentation."""

import json
import re
from pathlib import Path

import jinja2
import pytest
import yaml

from edge_agent.config.model import Config
from edge_agent.messages.alert import AlertMessage
from edge_agent.messages.counts import PeopleCounts
from edge_agent.messages.message import schema_of
from edge_agent.messages.topics import Topics
from edge_agent.mqtt.homeassistant import discovery
from edge_agent.mqtt.retained import MAX_NAMES, RetainedNames, removed_cameras

# https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload, and the page of each platform.
DEVICE_KEYS = {"identifiers", "name", "manufacturer", "model", "sw_version"}
ORIGIN_KEYS = {"name", "sw_version", "support_url"}
SHARED_KEYS = {"device", "origin", "components", "qos"}
AVAILABILITY = {"availability_topic", "availability_template"}
ENTITY_KEYS = {"platform", "unique_id", "name", "icon", "entity_category", *AVAILABILITY}
PLATFORM_KEYS = {
    "event": {"state_topic", "event_types", "value_template"},
    "sensor": {
        "state_topic",
        "value_template",
        "device_class",
        "state_class",
        "unit_of_measurement",
        "expire_after",
        "options",
        "json_attributes_topic",
        "json_attributes_template",
    },
    "binary_sensor": {"state_topic", "value_template", "json_attributes_topic", "json_attributes_template"},
    "image": {"image_topic", "content_type"},
    "switch": {
        "command_topic",
        "payload_on",
        "payload_off",
        "state_topic",
        "value_template",
        "state_on",
        "state_off",
    },
}


def described(device="front-door", *, has_temperature=True, **sections):
    config = Config.model_validate({"device": {"id": device}, **sections})
    publication = discovery(config, version="0.1.0", has_temperature=has_temperature)
    return publication, json.loads(publication.payload)


def entities(**sections):
    return described(**sections)[1]["components"]


def is_absent(entity):
    """A component with only a platform removes the entity that an older message described."""
    return set(entity) == {"platform"}


def test_discovery_is_one_retained_message_on_a_valid_topic():
    publication, _ = described()

    assert publication.retain
    assert publication.topic == "homeassistant/device/maskwatch_front-door/config"


def test_names_with_characters_home_assistant_rejects_stay_distinct():
    dotted, underlined = described("front.door"), described("front_door")

    assert re.fullmatch(r"homeassistant/device/maskwatch_front_door_[0-9a-f]{6}/config", dotted[0].topic)
    assert underlined[0].topic == "homeassistant/device/maskwatch_front_door/config"
    assert dotted[1]["device"]["identifiers"] != underlined[1]["device"]["identifiers"]


def test_the_device_title_is_shown_and_the_identifier_unchanged():
    publication, content = described(device="door-3")
    config = Config.model_validate({"device": {"id": "door-3", "title": "Library, front door"}})
    titled = discovery(config, version="0.1.0", has_temperature=True)

    assert content["device"]["name"] == "door-3"
    assert titled.topic == publication.topic
    named = json.loads(titled.payload)
    assert named["device"] == {**content["device"], "name": "Library, front door"}
    assert named["components"] == content["components"]


def test_the_discovery_prefix_is_configurable():
    publication, _ = described(mqtt={"home_assistant": {"prefix": "ha"}})

    assert publication.topic.startswith("ha/device/")


def test_only_documented_keys_are_used():
    _, content = described(mqtt={"publish_crops": True})

    assert set(content) == SHARED_KEYS
    assert set(content["device"]) == DEVICE_KEYS
    assert set(content["origin"]) <= ORIGIN_KEYS
    for entity in content["components"].values():
        assert set(entity) - ENTITY_KEYS <= PLATFORM_KEYS[entity["platform"]]
        assert {"unique_id", "name"} <= set(entity)


def test_every_entity_has_a_unique_id():
    ids = [entity["unique_id"] for entity in entities(mqtt={"publish_crops": True}).values()]

    assert len(set(ids)) == len(ids)
    assert all(one.startswith("maskwatch_front-door_") for one in ids)


def test_only_the_condition_is_available_while_the_device_is_offline():
    found = entities(mqtt={"publish_crops": True})
    condition = found.pop("condition")

    assert not AVAILABILITY & set(condition)
    assert {"starting", "offline"} < set(condition["options"])
    for entity in found.values():
        assert entity["availability_topic"] == "maskwatch/front-door/status"
        assert entity["availability_template"] == "{{ 'offline' if value_json.state == 'offline' else 'online' }}"


@pytest.mark.parametrize(
    ("console", "address"),
    [
        ({}, None),
        ({"host": "::", "token_file": "token"}, None),
        ({"host": "10.0.0.7", "token_file": "token"}, "http://10.0.0.7:8080/"),
        (
            {"host": "fd00::7", "port": 443, "token_file": "token", "cert_file": "c", "key_file": "k"},
            "https://[fd00::7]:443/",
        ),
    ],
)
def test_the_configuration_url_is_set_if_the_console_is_reachable(console, address):
    assert described(console=console)[1]["device"].get("configuration_url") == address


def test_the_blueprint_triggers_on_new_alerts_only():
    class Loader(yaml.SafeLoader):
        """Loads the tags that Home Assistant's blueprints add to YAML."""

    Loader.add_constructor("!input", lambda loader, node: f"!input {node.value}")
    file = Path(__file__).parents[2] / "deploy" / "homeassistant" / "maskwatch_alert.yaml"
    blueprint = yaml.load(file.read_text(), Loader)  # noqa: S506  (a safe loader with one more tag)

    inputs = blueprint["blueprint"]["input"]
    assert inputs["topic"]["default"] == Topics("maskwatch", "+").alerts
    assert blueprint["triggers"] == [{"trigger": "mqtt", "topic": "!input topic", "qos": 1}]
    (condition,) = blueprint["conditions"]
    for part in (schema_of(AlertMessage), "not trigger.payload_json.historical", "wanted_camera"):
        assert part in condition["value_template"]
    assert blueprint["mode"] == "queued"
    assert set(re.findall(r"!input (\w+)", file.read_text())) == set(inputs)


def test_the_event_lists_every_label_as_a_type():
    alert = entities()["alert"]

    assert alert["platform"] == "event"
    assert set(alert["event_types"]) == {"with_mask", "without_mask", "mask_worn_incorrectly"}
    assert "'event_type': value_json.label" in alert["value_template"]


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"mqtt": {"publish_crops": True}, "crops": {"picture": "none"}},
        {"mqtt": {"publish_crops": True}, "crops": {"encrypt_for": ["age1x"]}},
    ],
)
def test_the_last_crop_is_an_image_entity_only_if_published_and_unencrypted(sections):
    assert is_absent(entities(**sections)["last_crop"])
    assert entities(mqtt={"publish_crops": True})["last_crop"]["image_topic"] == "maskwatch/front-door/crops/+"


def test_telemetry_entities_exist_only_if_telemetry_is_enabled():
    figures = ("alerts_today", "frame_rate", "temperature")

    assert all(is_absent(entities(mqtt={"telemetry_seconds": 0})[key]) for key in figures)
    assert all(entities(mqtt={"telemetry_seconds": 20})[key]["expire_after"] == 60 for key in figures)


def test_the_frame_rate_has_the_target_and_actual_rate_of_each_camera():
    frame_rate = entities()["frame_rate"]

    assert frame_rate["json_attributes_topic"] == frame_rate["state_topic"] == "maskwatch/front-door/telemetry"
    assert "value_json.cameras" in frame_rate["json_attributes_template"]


def test_the_pause_is_a_switch_only_if_commands_are_accepted():
    assert is_absent(entities(mqtt={"accept_commands": False})["pause"])
    pause = entities()["pause"]
    assert json.loads(pause["payload_on"]) == {"on": True}
    assert json.loads(pause["payload_off"]) == {"on": False}
    assert pause["command_topic"] == "maskwatch/front-door/commands/pause"


def test_missing_hardware_has_no_entity():
    found = described(has_temperature=False)[1]["components"]

    assert is_absent(found["temperature"])
    assert not is_absent(found["frame_rate"])


def test_every_camera_has_its_own_entities():
    cameras: dict[str, dict[str, str]] = {"door": {}, "yard.2": {}}
    found = entities(cameras=cameras, mqtt={"publish_crops": True})

    for camera in cameras:
        pause = found[f"camera_{camera}_pause"]
        assert json.loads(pause["payload_on"]) == {"camera": camera, "on": True}
        assert json.loads(pause["payload_off"]) == {"camera": camera, "on": False}
        assert pause["state_topic"] == "maskwatch/front-door/status"
        # One fixed topic, without a wildcard.
        assert found[f"camera_{camera}_last_crop"]["image_topic"] == f"maskwatch/front-door/cameras/{camera}/crop"
        assert (
            found[f"camera_{camera}_violations"]["state_topic"] == f"maskwatch/front-door/cameras/{camera}/violations"
        )
        assert found[f"camera_{camera}_frame_rate"]["state_topic"] == "maskwatch/front-door/telemetry"
    less = entities(cameras=cameras, mqtt={"accept_commands": False, "telemetry_seconds": 0})
    assert all(is_absent(less[f"camera_door_{key}"]) for key in ("pause", "last_crop", "frame_rate", "people_today"))
    assert not is_absent(less["camera_door_violations"])


def test_entities_of_removed_cameras_are_removed_unless_the_camera_is_added_again(tmp_path):
    file = tmp_path / "state" / "cameras.json"
    for cameras in (["door", "yard"], ["door"], ["gate"]):
        RetainedNames(file, current=cameras)
    config = Config.model_validate({"cameras": {"yard": {}, "gate": {}}})

    removed = removed_cameras(file, current=config.cameras)
    publication = discovery(config, version="0.1.0", has_temperature=True, removed_cameras=removed)
    found = json.loads(publication.payload)["components"]

    assert removed == ["door"]
    of_camera = {camera: {key for key in found if key.startswith(f"camera_{camera}_")} for camera in ("door", "yard")}
    assert {key.removeprefix("camera_door_") for key in of_camera["door"]} == {
        key.removeprefix("camera_yard_") for key in of_camera["yard"]
    }
    assert all(is_absent(found[key]) for key in of_camera["door"])
    assert not is_absent(found["camera_yard_violations"])


def test_the_list_of_known_cameras_is_bounded_and_keeps_the_newest(tmp_path):
    file = tmp_path / "cameras.json"
    for number in range(MAX_NAMES + 5):
        RetainedNames(file, current=[f"camera-{number}"])

    removed = removed_cameras(file, current=[])
    assert len(removed) == MAX_NAMES
    assert removed[0] == f"camera-{MAX_NAMES + 4}"


@pytest.mark.parametrize("content", [b"", b"{", b"[1, null]", b'{"a": 1}'])
def test_a_damaged_list_of_cameras_is_treated_as_empty_and_rewritten(tmp_path, content):
    file = tmp_path / "cameras.json"
    file.write_bytes(content)

    assert removed_cameras(file, current=["door"]) == []
    RetainedNames(file, current=["door"])
    assert removed_cameras(file, current=[]) == ["door"]


def test_entities_of_a_camera_are_named_after_its_title():
    found = entities(cameras={"door": {"title": "Main entrance"}}, mqtt={"publish_crops": True})

    of_camera = {key.removeprefix("camera_door_"): one["name"] for key, one in found.items() if "camera_door" in key}
    assert set(of_camera) == {"violations", "last_crop", "people_today", "frame_rate", "pause"}
    assert all("Main entrance" in name for name in of_camera.values())


def test_the_people_entity_sums_all_who_left_the_camera():
    template = entities(cameras={"door": {}})["camera_door_people_today"]["value_template"]
    counts = PeopleCounts(with_mask=58, without_mask=4, mask_worn_incorrectly=2, undecided=3, changed=1)
    telemetry = {"schema": "maskwatch.telemetry/1", "cameras": {"door": {"people_today": counts.model_dump()}}}

    assert jinja2.Template(template).render(value_json=telemetry) == str(counts.people)


def test_a_probe_message_of_the_doctor_changes_no_entity():
    """Each template of a topic that also carries probe messages checks the schema first."""
    for entity in entities(mqtt={"publish_crops": True}).values():
        if entity.get("state_topic", "").endswith(("/alerts", "/telemetry", "/violations")):
            assert entity["value_template"].startswith(
                "{% if value_json is defined and value_json.schema == 'maskwatch."
            )
            assert entity.get("json_attributes_template", "{% if value_json is defined").startswith(
                "{% if value_json is defined"
            )
