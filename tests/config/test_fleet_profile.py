"""Fleet profile: a device only publishes, at a limited rate."""

import pytest
from pydantic import ValidationError

from edge_agent.config.load import load_config
from edge_agent.config.model import Config
from edge_agent.config.render import as_yaml
from edge_agent.errors import ConfigError
from edge_agent.wiring import subscribed_topics

FLEET = {"device": {"id": "hall-1"}, "mqtt": {"profile": "fleet"}}


def test_a_device_of_a_fleet_subscribes_to_nothing_and_is_paced():
    config = Config.model_validate(FLEET)

    assert subscribed_topics(config) == []
    assert (config.mqtt.messages_per_second, config.mqtt.reconnect_spread_seconds) == (2.0, 30.0)


def test_given_keys_override_the_profile():
    config = Config.model_validate({**FLEET, "mqtt": {"profile": "fleet", "messages_per_second": 5}})

    assert config.mqtt.messages_per_second == 5.0


def test_the_effective_configuration_of_a_fleet_is_valid(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(as_yaml(Config.model_validate(FLEET)))

    assert load_config(file).mqtt == Config.model_validate(FLEET).mqtt


@pytest.mark.parametrize(
    "keys",
    [
        {"mqtt": {"profile": "fleet", "accept_commands": True}},
        {"mqtt": {"profile": "fleet", "home_assistant": {"enabled": True}}},
        {"mqtt": {"profile": "fleet", "home_assistant": {"prefix": "ha"}}},
        {"mqtt": {"profile": "fleet", "topic_prefix": "a.b"}},
        {"device": {"id": "hall.1"}, "mqtt": {"profile": "fleet"}},
    ],
)
def test_keys_that_contradict_the_profile_are_rejected(keys):
    with pytest.raises(ValidationError, match=r"fleet|RabbitMQ"):
        Config.model_validate({**FLEET, **keys})


def test_a_dot_in_the_id_is_refused_with_its_key(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("device: {id: hall.1}\nmqtt: {profile: fleet}\n")

    with pytest.raises(ConfigError, match=r"device\.id 'hall\.1'"):
        load_config(file)
