"""Topics: where at the broker does what go?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.config import MqttConfig


def status_topic(mqtt: MqttConfig, device: str) -> str:
    """Retained `online` or `offline`."""
    return f"{mqtt.topic}/{device}/status"


def alerts_topic(mqtt: MqttConfig, device: str) -> str:
    """Alerts as JSON; `+` as the device stands for all of them."""
    return f"{mqtt.topic}/{device}/alerts"


def crop_topic(mqtt: MqttConfig, device: str, alert_id: str) -> str:
    """The picture of one alert as JPEG."""
    return f"{mqtt.topic}/{device}/crops/{alert_id}"
