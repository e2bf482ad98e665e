"""MQTT: delivers messages to the broker and receives commands."""
