"""Alerts go out: durable on disk first, then over MQTT, and off the disk when the broker has them."""
