"""Decode hostile pictures one after the other, and print what each cost: python -m tests.hostile.decoding [NAME...]."""

from __future__ import annotations

import json
import resource
import sys
import time

from edge_agent.errors import PictureError
from edge_agent.vision.decoder import close_decoders
from edge_agent.vision.images import decode_picture
from tests.hostile.pictures import HOSTILE, jpeg

HONEST = jpeg()
MAX_PIXELS = 40_000_000
"""The default of console.largest_picture_pixels."""


def main() -> None:
    """Print a JSON line for each: seconds, what came of it, and the largest process so far."""
    for name in sys.argv[1:] or HOSTILE:
        # What is measured is the picture, and not how long it takes to start a process; nor the memory of this one,
        # which a process counts as its own until it is begun.
        decode_picture(HONEST)
        content = HOSTILE[name]()
        began_at = time.monotonic()
        try:
            shape = decode_picture(content, max_pixels=MAX_PIXELS).shape
            outcome = f"{shape[1]}x{shape[0]}"
        except PictureError as error:
            outcome = str(error)
        seconds = time.monotonic() - began_at
        # Only a process that has ended is counted.
        close_decoders()
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        line = {
            "name": name,
            "bytes": len(content),
            "seconds": round(seconds, 2),
            "outcome": outcome,
            "peak_mb": peak_mb,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
