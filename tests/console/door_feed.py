"""A camera at a door: repeats a recording and logs when each round began.

Between two rounds it shows its first picture, which has no people in it.

python -m tests.console.door_feed VIDEO LOG PAUSE_SECONDS    JPEG pictures to standard output, for a source 'pipe:'
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import cv2


def main(video: str, log: Path, pause_seconds: float) -> None:
    """Play until the reader is closed; each line of the log is the time of day of a round's first picture."""
    recording = cv2.VideoCapture(video)
    per_second = recording.get(cv2.CAP_PROP_FPS)
    pictures = []
    while (found := recording.read())[0]:
        pictures.append(_encoded(found[1]))
    empty = pictures[:1] * round(pause_seconds * per_second)
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
