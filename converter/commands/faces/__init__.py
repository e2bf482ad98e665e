"""Commands for face detectors."""
