"""Cameras in tests: read the next picture of a camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_agent.camera import Camera


def next_picture(camera: Camera) -> Any:
    """Wait for the next picture and convert it; None at the end."""
    return camera.retrieve() if camera.grab() else None
