"""The contract: what does a device say over MQTT, and what does it listen to? docs/mqtt.md explains it to people."""
