"""Fleet server: stores, displays and forwards the messages of many devices, and rolls out models. See docs/fleet.md."""
