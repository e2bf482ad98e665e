"""The soak: does the agent's memory stay constant over two hours of video?

    python -m tests.scenes.soak --hours 2

The whole agent analyses scripted scenes and the reference recordings repeatedly, with continuous timestamps, as fast as
it can: crops go to disk, alerts through an outbox to a real broker that is stopped and started meanwhile. The last line
on stdout is JSON; exits with 1 if memory grew by more than 5 MB in the second half.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2

from edge_agent.camera.feed import FeedState
from edge_agent.camera.replay import recorded_frames
from edge_agent.config.load import load_config
from edge_agent.domain import Frame
from edge_agent.host.allocator import share_arenas
from edge_agent.host.clock import boot_id
from edge_agent.host.systemd import Notifier
from edge_agent.mqtt.kept_connection import KeptConnection
from edge_agent.pauses import Pauses
from edge_agent.wiring import open_agent
from tests.mosquitto import Mosquitto
from tests.scenes.__main__ import write_recording
from tests.scenes.casts import PUBLIC, REHEARSAL
from tests.scenes.figures import SHARED
from tests.scenes.playing import BEGUN_WHEN, RECORDINGS
from tests.scenes.scripts import scripts_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge_agent.camera.cameras import Cameras

LARGEST_GROWTH_BYTES = 5_000_000
PAUSE_SECONDS = 3.0
"""Pause between two recordings, so that tracks end before the next one."""
TOLD_EVERY_SECONDS = 60.0
STRETCH_SECONDS = 300.0
"""Seconds of video with a broker, and then as many without one."""


def main() -> int:
    """Run the soak and print the memory use."""
    share_arenas()
    parser = argparse.ArgumentParser(prog="python -m tests.scenes.soak", description="Watch the agent's memory.")
    parser.add_argument("--hours", type=float, default=2.0, help="of video (default: 2)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set one key of the configuration"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(
            _recordings(Path(folder)), folder=Path(folder), seconds=options.hours * 3600, settings=options.set
        )
    print(json.dumps(result))
    return 0 if result["growth_bytes"] < LARGEST_GROWTH_BYTES else 1


def soak(recordings: Sequence[Path], *, folder: Path, seconds: float, settings: Sequence[str]) -> dict[str, float]:
    """Play recordings to an agent for this many seconds of video; memory is in bytes."""
    broker = Mosquitto(folder / "broker")
    show = _Show(recordings, broker, seconds=seconds)
    config = load_config(
        None,
        overrides=[
            f"cameras.camera.source={recordings[0]}",
            # As many frames as a device analyses, of recordings that have more.
            "cameras.camera.detect_fps=10",
            f"state_dir={folder / 'state'}",
            f"mqtt.port={broker.port}",
            "mqtt.publish_crops=true",
            # A minute of video is analysed in a few seconds.
            "mqtt.telemetry_seconds=2",
            *settings,
        ],
    )
    try:
        # The show replaces the cameras; its frames are as far apart in time as those of the recordings.
        with (
            KeptConnection() as kept,
            open_agent(
                config,
                Notifier(),
                cameras=cast("Cameras", show),
                kept=kept,
                pauses=Pauses(boot_id=boot_id()),
                reload=lambda: None,
            ) as agent,
        ):
            agent.run(threading.Event())
            counts, link, last_bytes = agent.metrics.totals(), agent.publisher.state, resident_bytes()
    finally:
        broker.stop()
    return {
        "video_seconds": round(show.at, 1),
        "frames": counts.frames,
        "analysed": counts.analysed,
        "alerts": counts.alerts,
        "sent": link.sent,
        "waiting": link.waiting,
        "outages": show.outages,
        "settled_bytes": show.settled_bytes,
        "last_bytes": last_bytes,
        "growth_bytes": last_bytes - show.settled_bytes,
    }


class _Show:
    """A camera that plays recordings, and meanwhile measures memory and turns the broker off and on."""

    def __init__(self, recordings: Sequence[Path], broker: Mosquitto, *, seconds: float) -> None:
        self._recordings, self._broker, self._seconds = recordings, broker, seconds
        self.at = 0.0
        self.settled_bytes = 0
        self.outages = 0
        self._frames = 0
        self._broker_is_up = False
        self._is_over = False
        self._shown = self._frames_shown()

    @property
    def feeds(self) -> dict[str, _Show]:
        return {"camera": self}

    def follow(self, _configs: object) -> None:
        """Do nothing: it is followed already."""

    def convert_only_what_is_due(self, _due_at: object) -> None:
        """Do nothing: frames are converted already."""

    def wait(self, _timeout_seconds: float) -> Frame | None:
        """The next frame; None at the end."""
        frame = next(self._shown, None)
        self._is_over = frame is None
        return frame

    def state(self) -> FeedState:
        return FeedState("camera", is_open=True, reason="", finished=self._is_over)

    def _frames_shown(self) -> Iterator[Frame]:
        told_at = time.monotonic()
        for frame in _on_one_clock(self._recordings):
            self.at, self._frames = frame.taken_at, frame.index
            self._turn_broker()
            yield frame
            # In the first half each buffer grows to its final size; on a busy machine that takes most of an hour.
            if not self.settled_bytes and self.at >= self._seconds / 2:
                self.settled_bytes = resident_bytes()
            if time.monotonic() - told_at >= TOLD_EVERY_SECONDS:
                told_at = time.monotonic()
                shown = f"{self.at / 60:.0f} min of video, {self._frames} frames, {resident_bytes() / 1e6:.1f} MB"
                print(shown, file=sys.stderr)
            if self.at >= self._seconds:
                return

    def states(self) -> tuple[FeedState, ...]:
        return (self.state(),)

    def _turn_broker(self) -> None:
        """Alternate periods with and without a broker, beginning with one that has it."""
        wanted = int(self.at / STRETCH_SECONDS) % 2 == 0
        if wanted and not self._broker_is_up:
            self._broker.start()
        elif self._broker_is_up and not wanted:
            self._broker.stop()
            self.outages += 1
        self._broker_is_up = wanted


def resident_bytes() -> int:
    """Current resident memory of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError("VmRSS is not in /proc/self/status")


def _recordings(folder: Path) -> list[Path]:
    """Write every scene as a recording, and add the real recordings."""
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
    """Every frame of every recording, repeatedly, each later than the one before."""
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
