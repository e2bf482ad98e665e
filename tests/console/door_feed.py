"""A camera at a door: a recording again and again, with an empty scene in between, that notes when each round began.

python -m tests.console.door_feed VIDEO LOG PAUSE_SECONDS    JPEG pictures to standard output, for a source 'pipe:'
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def main(video: str, log: Path, pause_seconds: float) -> None:
    """Play until the reader has gone; each line of the log is the time of day of a round's first picture."""
    recording = cv2.VideoCapture(video)
    per_second = recording.get(cv2.CAP_PROP_FPS)
    pictures = []
    while (found := recording.read())[0]:
        pictures.append(_encoded(found[1]))
    size = round(recording.get(cv2.CAP_PROP_FRAME_HEIGHT)), round(recording.get(cv2.CAP_PROP_FRAME_WIDTH)), 3
    empty = [_encoded(np.full(size, 96, np.uint8))] * round(pause_seconds * per_second)
    at = time.monotonic()
    while True:
        for number, picture in enumerate([*empty, *pictures]):
            time.sleep(max(0.0, at - time.monotonic()))
            if number == len(empty):
                with log.open("a") as lines:
                    lines.write(f"{time.time()}\n")  # noqa: TID251  (the browser's clock)
            sys.stdout.buffer.write(picture)
            sys.stdout.buffer.flush()
            at += 1 / per_second


def _encoded(image: Any) -> bytes:
    content: bytes = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    return content


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
