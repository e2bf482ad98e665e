"""Decode hostile pictures one after the other, and print what each cost: python -m tests.hostile.decoding [NAME...]."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import PictureError
from edge_agent.vision import decoder
from edge_agent.vision.images import decode_picture
from tests.hostile.pictures import HOSTILE, jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator

HONEST = jpeg()
MAX_PIXELS = 40_000_000
"""The default of console.largest_picture_pixels."""


def main() -> None:
    """Print a JSON line for each: seconds, what came of it, and how large the process was."""
    for name in sys.argv[1:] or HOSTILE:
        # What is measured is the picture, and not how long it takes to start a process.
        decode_picture(HONEST)
        (process,) = decoder._idle
        content = HOSTILE[name]()
        with watched(process._process.pid) as peak:
            began_at = time.monotonic()
            try:
                shape = decode_picture(content, max_pixels=MAX_PIXELS).shape
                outcome = f"{shape[1]}x{shape[0]}"
            except PictureError as error:
                outcome = str(error)
            seconds = time.monotonic() - began_at
        line = {
            "name": name,
            "bytes": len(content),
            "seconds": round(seconds, 2),
            "outcome": outcome,
            "peak_mb": max(peak) // 1024,
        }
        print(json.dumps(line), flush=True)


@contextmanager
def watched(process: int) -> Iterator[list[int]]:
    """Note the most resident memory of a process, in KiB, until it or the block ends."""
    peak, stop = [0], threading.Event()

    def watch() -> None:
        while True:
            with suppress(OSError):
                peak.extend(map(int, re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text("ascii"))))
            if stop.wait(0.01):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


if __name__ == "__main__":
    main()
