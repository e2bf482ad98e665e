"""Webhooks: alerts, resolutions and status by HTTP, beside MQTT and without waiting for it."""
