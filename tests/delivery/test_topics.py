from edge_agent.config import MqttConfig
from edge_agent.delivery.topics import (
    alerts_topic,
    command_topic,
    crop_topic,
    ended_topic,
    result_topic,
    snapshot_topic,
    status_topic,
    telemetry_topic,
)


def test_everything_lies_under_the_configured_topic_and_the_device():
    mqtt = MqttConfig(topic="site/maskwatch")

    assert status_topic(mqtt, "lobby") == "site/maskwatch/lobby/status"
    assert alerts_topic(mqtt, "+") == "site/maskwatch/+/alerts"
    assert crop_topic(mqtt, "lobby", "0190") == "site/maskwatch/lobby/crops/0190"
    assert ended_topic(mqtt, "lobby") == "site/maskwatch/lobby/ended"
    assert snapshot_topic(mqtt, "lobby", "0190") == "site/maskwatch/lobby/snapshots/0190"
    assert telemetry_topic(mqtt, "lobby") == "site/maskwatch/lobby/telemetry"
    assert command_topic(mqtt, "lobby", "+") == "site/maskwatch/lobby/commands/+"
    assert result_topic(mqtt, "lobby", "pause") == "site/maskwatch/lobby/commands/pause/result"
