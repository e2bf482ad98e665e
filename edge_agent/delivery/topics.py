"""Topics: where at the broker does what go?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.config import MqttConfig


def status_topic(mqtt: MqttConfig, device: str) -> str:
    """How the device does, retained: online, degraded with reasons, or offline."""
    return f"{mqtt.topic}/{device}/status"


def alerts_topic(mqtt: MqttConfig, device: str) -> str:
    """Alerts as JSON; `+` as the device stands for all of them."""
    return f"{mqtt.topic}/{device}/alerts"


def ended_topic(mqtt: MqttConfig, device: str) -> str:
    """What became of alerts: the person has left or wears the mask."""
    return f"{mqtt.topic}/{device}/ended"


def crop_topic(mqtt: MqttConfig, device: str, alert_id: str) -> str:
    """The picture of one alert; `+` as the id stands for all of them."""
    return f"{mqtt.topic}/{device}/crops/{alert_id}"


def snapshot_topic(mqtt: MqttConfig, device: str, snapshot_id: str) -> str:
    """A picture that was asked for by a command."""
    return f"{mqtt.topic}/{device}/snapshots/{snapshot_id}"


def telemetry_topic(mqtt: MqttConfig, device: str) -> str:
    """Counts, times and temperatures, once a minute."""
    return f"{mqtt.topic}/{device}/telemetry"


def command_topic(mqtt: MqttConfig, device: str, name: str) -> str:
    """Where a command is given; `+` as the name stands for all of them."""
    return f"{mqtt.topic}/{device}/commands/{name}"


def result_topic(mqtt: MqttConfig, device: str, name: str) -> str:
    """What came of a command."""
    return f"{command_topic(mqtt, device, name)}/result"
