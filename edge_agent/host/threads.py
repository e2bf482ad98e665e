"""Threads: names of threads that may hang in a call and are abandoned at exit."""

CAMERA_THREAD = "camera "
WORKER_THREAD = "worker "
"""Prefixes of thread names; the camera's name follows."""
