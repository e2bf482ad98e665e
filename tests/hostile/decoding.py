"""Decode hostile pictures one after the other, and print what each cost: python -m tests.hostile.decoding [NAME...]."""

from __future__ import annotations

import json
import os
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
    """Print a JSON line for each picture: wall and CPU seconds, the result, and the size of the process."""
    for name in sys.argv[1:] or HOSTILE:
        # Measure the picture without the time to start a process.
        decode_picture(HONEST)
        (process,) = decoder._idle
        content = HOSTILE[name]()
        with watched(process._process.pid) as (peak, cpu):
            began_at, cpu_began_at = time.monotonic(), time.process_time()
            try:
                shape = decode_picture(content, max_pixels=MAX_PIXELS).shape
                outcome = f"{shape[1]}x{shape[0]}"
            except PictureError as error:
                outcome = str(error)
            seconds, cpu_seconds = time.monotonic() - began_at, time.process_time() - cpu_began_at
        line = {
            "name": name,
            "bytes": len(content),
            "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu_seconds + max(cpu) - min(cpu), 2),
            "outcome": outcome,
            "peak_mb": max(peak) // 1024,
        }
        print(json.dumps(line), flush=True)


@contextmanager
def watched(process: int) -> Iterator[tuple[list[int], list[float]]]:
    """Record the peak resident memory of a process, in KiB, and its CPU seconds, until it or the block ends."""
    peak, stop = [0], threading.Event()
    cpu = [cpu_seconds(process)]

    def watch() -> None:
        while True:
            with suppress(OSError):
                cpu.append(cpu_seconds(process))
                peak.extend(map(int, re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text("ascii"))))
            if stop.wait(0.01):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak, cpu
    finally:
        stop.set()
        watcher.join()


def cpu_seconds(process: int) -> float:
    """CPU seconds of a process: utime and stime of proc(5), which are in clock ticks."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
