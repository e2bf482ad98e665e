"""Schemas of the MQTT messages that a device sends and receives; documented in docs/mqtt.md."""
