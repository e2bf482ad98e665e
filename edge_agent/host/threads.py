"""Threads: how are those named that may hang in a call and be left behind at the end?"""

CAMERA_THREAD = "camera "
WORKER_THREAD = "worker "
"""How the names of these threads begin; the camera's name follows."""
