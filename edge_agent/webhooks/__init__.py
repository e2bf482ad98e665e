"""Webhooks: posts alerts, resolutions and status over HTTP, independently of MQTT."""
