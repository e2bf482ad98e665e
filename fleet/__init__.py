"""The fleet: what stores, shows and passes on what many devices report, and brings them new models? docs/fleet.md."""
