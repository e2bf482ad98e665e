"""Face detectors: converts a training run to int8 networks with their card."""
