"""What the commands do with face detectors."""
