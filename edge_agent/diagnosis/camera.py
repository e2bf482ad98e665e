"""Camera checks: whether a camera opens and its picture has content."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.camera import first_pictures
from edge_agent.camera.health import NOTHING_LEVELS, contrast_levels
from edge_agent.config.redaction import shown_source
from edge_agent.diagnosis.finding import Finding
from edge_agent.diagnosis.groups import device_files
from edge_agent.domain import Frame
from edge_agent.errors import CameraError
from edge_agent.vision.detector import open_detector
from edge_agent.vision.motion import MotionGate
from edge_agent.wiring import is_at_work

if TYPE_CHECKING:
    from edge_agent.config.model import Config
    from edge_agent.domain import Image

# Long enough to see movement; the doctor spends no more on each camera.
CAPTURE_SECONDS = 1.0
# Sensors need some frames to adjust their exposure; a recording needs no more.
MAX_PICTURES = 30


def check_camera(config: Config, name: str, *, root: Path = Path("/")) -> Finding:
    """Open a camera for a second and describe its picture; a warning if nothing is visible.

    Raises:
        CameraError: it cannot be opened, or delivers no picture.
        ModelError: the face detector cannot be loaded.
    """
    camera = config.cameras[name]
    check, shown = f"camera {name}", shown_source(camera.source)
    if any(device_files(camera.source, root)) and is_at_work(config.state):
        # A V4L2 device or CSI camera gives its pictures to one program at a time.
        return Finding(
            check, "ok", f"{shown}: not opened, because an agent is running; see 'systemctl status edge-agent'"
        )
    images = [np.asarray(one) for one in first_pictures(camera, count=MAX_PICTURES, seconds=CAPTURE_SECONDS)]
    if not images:
        raise CameraError(f"{shown}: opens, but contains no picture")
    image = images[-1]
    levels = contrast_levels(image)
    faces = len(open_detector(config.faces, runtime=config.runtime, threads=config.threads).detect(image))
    digest = (
        f"{shown}: {image.shape[1]}x{image.shape[0]}, brightness {image.mean():.0f} and contrast {levels:.0f} of 255, "
        f"{'moving' if _moves(config, images) else 'still'}, {faces or 'no'} {'face' if faces == 1 else 'faces'}"
    )
    if levels < NOTHING_LEVELS:
        return Finding(check, "warning", f"{digest}: nothing is visible", "uncover the lens, or light the room")
    return Finding(check, "ok", digest)


def _moves(config: Config, images: list[Image]) -> bool:
    gate = MotionGate(config.motion.model_copy(update={"enabled": True}))
    when = datetime.now(timezone.utc)
    seen = [gate.sees_change(Frame("", index, image, float(index), when)) for index, image in enumerate(images)]
    # The first always counts as change.
    return any(seen[1:])
