"""Real pictures for comparing the results of different machines.

    python -m tests.proofs.real_pictures FOLDER

Faces in the public domain, bare and masked, near and far, and pictures of the example recording; with ../shared also
photographs of streets.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from edge_agent.camera.replay import recorded_frames
from tests.faces import COLLINS, HOPPER, RECORDING, portrait, scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.domain import Image

HOUSE = Path(__file__).parents[2]
STREETS = HOUSE.parent / "shared" / "data" / "scenes"
STREETS_SHOWN = 8
"""Number of street pictures; each takes a second on an emulated CPU."""

EVERY_FRAME = 18
"""Every 18th of the 138 frames: each of the four people is in one of them, and two are partly outside."""

# Masked or not, and the scale: 1.0 is a face of 91 (Collins) and 185 px (Hopper).
NEAR_AND_FAR = {
    "both-near": ((COLLINS, True, 0.9, (-40, 0)), (HOPPER, False, 0.45, (340, 60))),
    "both-far": ((COLLINS, False, 0.4, (30, 120)), (HOPPER, True, 0.2, (320, 150))),
    "both-very-far": ((COLLINS, True, 0.25, (100, 200)), (HOPPER, False, 0.13, (400, 210))),
}


def real_pictures() -> Iterator[tuple[str, Image]]:
    """The pictures by file name, whose suffix gives the format."""
    for who, name in ((COLLINS, "collins"), (HOPPER, "hopper")):
        yield f"{name}-bare.png", portrait(who)
        # The format that cameras use.
        yield f"{name}-masked.jpg", portrait(who, masked=True)
    for name, people in NEAR_AND_FAR.items():
        yield f"{name}.png", scene(*people)[0]
    for frame in recorded_frames(RECORDING, camera="door"):
        if frame.index % EVERY_FRAME == 0:
            yield f"door-{frame.index:03}.png", frame.image


def main() -> int:
    """Write the pictures into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in real_pictures():
        if not cv2.imwrite(str(folder / name), picture):
            raise OSError(f"{folder / name}: cannot be written")
    annotations = STREETS / "annotations.json"
    if annotations.exists():
        images = json.loads(annotations.read_text(encoding="utf-8"))["images"]
        streets = [image["file_name"] for image in images if (image["source"], image["split"]) == ("street", "test")]
        for name in streets[:STREETS_SHOWN]:
            (folder / name.replace("/", "-")).write_bytes((STREETS / name).read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
