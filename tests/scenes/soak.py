"""The soak: does the agent's memory stay as it is over two hours of video?

    python -m tests.scenes.soak --hours 2

One pipeline watches scripted scenes and the reference recordings over and over, on one clock that never goes back, as
fast as it can. The last line on stdout is JSON; ends with 1 where memory grew by more than is promised.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from edge_agent.camera.replay import recorded_frames
from edge_agent.domain import Frame
from tests.scenes.__main__ import write_recording
from tests.scenes.casts import PUBLIC, REHEARSAL
from tests.scenes.figures import SHARED
from tests.scenes.playing import BEGUN_WHEN, RECORDINGS, Player
from tests.scenes.scripts import scripts_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LARGEST_GROWTH_BYTES = 5_000_000
SETTLED_SECONDS = 600.0
"""Of video: after these first minutes every buffer has been as large as it gets."""
PAUSE_SECONDS = 3.0
"""Between two recordings, so that the people of the one have left before the next begins."""
TOLD_EVERY_SECONDS = 60.0


def main() -> int:
    """Soak, and say how memory went."""
    parser = argparse.ArgumentParser(prog="python -m tests.scenes.soak", description="Watch the agent's memory.")
    parser.add_argument("--hours", type=float, default=2.0, help="of video (default: 2)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set one key of the configuration"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(_recordings(Path(folder)), seconds=options.hours * 3600, settings=options.set)
    print(json.dumps(result))
    return 0 if result["growth_bytes"] < LARGEST_GROWTH_BYTES else 1


def soak(recordings: Sequence[Path], *, seconds: float, settings: Sequence[str]) -> dict[str, float]:
    """Show recordings to one pipeline until so many seconds of video are over; memory is in bytes."""
    # As many frames a second as a device looks at, of recordings that have more.
    player = Player("cameras.camera.frames_per_second=10", *settings)
    pipeline = player.a_pipeline()
    frames = looked = alerts = 0
    settled = 0
    at, told_at = 0.0, time.monotonic()
    for frame in _on_one_clock(recordings):
        outcome = pipeline.process(frame)
        at = frame.taken_at
        frames, looked, alerts = frames + 1, looked + outcome.looked, alerts + len(outcome.alerts)
        if not settled and at >= min(SETTLED_SECONDS, seconds / 2):
            settled = resident_bytes()
        if time.monotonic() - told_at >= TOLD_EVERY_SECONDS:
            told_at = time.monotonic()
            print(f"{at / 60:.0f} min of video, {frames} frames, {resident_bytes() / 1e6:.1f} MB", file=sys.stderr)
        if at >= seconds:
            break
    last = resident_bytes()
    return {
        "video_seconds": round(at, 1),
        "frames": frames,
        "looked": looked,
        "alerts": alerts,
        "settled_bytes": settled,
        "last_bytes": last,
        "growth_bytes": last - settled,
    }


def resident_bytes() -> int:
    """What this process holds in memory now."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError("VmRSS is not in /proc/self/status")


def _recordings(folder: Path) -> list[Path]:
    """Write every scene as a recording, and add the real ones."""
    cast = REHEARSAL if SHARED.is_dir() else PUBLIC
    paths = []
    for script in scripts_for(cast):
        path = folder / f"{script.__name__}.mp4"
        write_recording(path, script(cast))
        paths.append(path)
    print(f"{len(paths)} scenes are written", file=sys.stderr)
    real = [SHARED / "videos" / recorded.file for recorded in RECORDINGS]
    return paths + [path for path in real if path.exists()]


def _on_one_clock(recordings: Sequence[Path]) -> Iterator[Frame]:
    """Every frame of every recording, over and over, each later than the one before."""
    begins_at, index = 0.0, 0
    for path in cycle(recordings):
        at = begins_at
        for frame in recorded_frames(path, camera="camera"):
            at = begins_at + frame.taken_at
            yield Frame("camera", index, frame.image, at, BEGUN_WHEN + timedelta(seconds=at))
            index += 1
        begins_at = at + PAUSE_SECONDS


if __name__ == "__main__":
    cv2.setNumThreads(1)
    sys.exit(main())
