"""Pixels to readings: motion detection, face detection and mask classification."""
