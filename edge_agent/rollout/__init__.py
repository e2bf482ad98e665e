"""Roll-out of fleet models to this device, with automatic roll-back."""
