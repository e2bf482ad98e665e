"""Face detectors: from a training run to int8 networks with their card."""
