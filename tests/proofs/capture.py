"""How much CPU time does a network camera take up to the scaled detector input, compared with cv2.VideoCapture?

    python -m tests.proofs.capture --folder FOLDER

A real RTSP server sends 1080p25, H.264 with and without B-frames. A separate process reads it alternately with
`cv2.VideoCapture.read`, with the agent's camera, and with the agent's camera while paused. Ten frames a second are
scaled down. Prints CPU milliseconds per sent frame, medians of all rounds with the ratio to OpenCV, and the same as one
line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.camera.feed import CameraFeed
from edge_agent.config.model import CameraConfig
from edge_agent.vision.frame_rate import FrameRate
from edge_agent.vision.images import halved
from edge_agent.worker import PAUSED_SECONDS
from tests.journeys.agent import EXAMPLE
from tests.recordings import ffmpeg
from tests.rtsp_server import RtspServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.domain import Picture

FRAMES_PER_SECOND = 25
DETECT_FPS = 10.0
DETECTOR_WIDTH_PX, DETECTOR_HEIGHT_PX = 640, 360
SETTLE_SECONDS = 2.0
"""Wait after the first picture, so that the cost of opening is not counted."""
MEASURED_SECONDS = 12.0
SENT_SECONDS = 25
ENOUGH_FRACTION = 0.9
"""Share of the sent frames that must be received for a valid result."""
STREAMS = {"with B-frames": 3, "without": 0}
LAUNCH = "( filesrc location={} ! matroskademux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1 )"


def made(file: Path, *, b_frames: int) -> Path:
    """Encode the recording, 1080p25 at 4 Mbit/s with a key frame every two seconds."""
    file.parent.mkdir(parents=True, exist_ok=True)
    coding = ("-c:v", "libx264", "-preset", "veryfast", "-b:v", "4M", "-g", 2 * FRAMES_PER_SECOND, "-bf", b_frames)
    scaled = ("-vf", f"fps={FRAMES_PER_SECOND},scale=1920:1080")
    ffmpeg("-stream_loop", -1, "-t", SENT_SECONDS, "-i", EXAMPLE, *scaled, *coding, file)
    return file


def cost_ms(take: Callable[[], object]) -> float:
    """CPU milliseconds per frame sent during the measurement, with pictures taken by calling `take`."""
    take()
    until = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < until:
        take()
    began_at, began_cpu = time.monotonic(), time.process_time()
    while time.monotonic() < began_at + MEASURED_SECONDS:
        take()
    frames = (time.monotonic() - began_at) * FRAMES_PER_SECOND
    return (time.process_time() - began_cpu) / frames * 1000


def scale(picture: Picture) -> None:
    """Scale a picture down as far as the detector does by halving."""
    halved(picture, width_px=DETECTOR_WIDTH_PX, height_px=DETECTOR_HEIGHT_PX)


def with_opencv(address: str) -> float:
    """Read every frame; exits if the machine is too busy for that."""
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG)
    began_at, frames = time.monotonic(), 0
    rate = FrameRate(DETECT_FPS)

    def take() -> None:
        nonlocal frames
        is_read, image = capture.read()
        frames += is_read
        if is_read and rate.wants(time.monotonic()):
            scale(np.asarray(image, np.uint8))

    try:
        cost = cost_ms(take)
    finally:
        capture.release()
    sent = (time.monotonic() - began_at) * FRAMES_PER_SECOND
    if frames < ENOUGH_FRACTION * sent:
        sys.exit(f"the machine is too busy to measure: {frames} of {sent:.0f} frames were read")
    return cost


def with_the_agent(address: str) -> float:
    """Take the pictures that are due for analysis, as the agent does."""
    rate = FrameRate(DETECT_FPS)
    with closing(CameraFeed("door", CameraConfig(source=address, detect_fps=DETECT_FPS))) as feed:
        feed.convert_only_what_is_due(lambda: rate.due_at)
        feed.start()

        def take() -> None:
            frame = feed.wait(1.0)
            if frame is not None and rate.wants(frame.taken_at):
                scale(frame.picture)

        return cost_ms(take)


def with_the_agent_paused(address: str) -> float:
    """Follow the camera and occasionally take a picture as a sign of life, as the agent does."""
    due_at = float("-inf")
    with closing(CameraFeed("door", CameraConfig(source=address, detect_fps=DETECT_FPS))) as feed:
        feed.convert_only_what_is_due(lambda: due_at)
        feed.start()

        def take() -> None:
            nonlocal due_at
            frame = feed.wait(0.1)
            if frame is not None:
                due_at = frame.taken_at + PAUSED_SECONDS

        return cost_ms(take)


WAYS = {"cv2": with_opencv, "agent": with_the_agent, "agent paused": with_the_agent_paused}


def measure(recording: Path, way: str) -> float:
    """Play the recording to a process that reads it in this way."""
    with RtspServer(launch=LAUNCH.format(recording)) as server:
        command = [sys.executable, "-m", "tests.proofs.capture", "--way", way, server.address()]
        return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    """Run all rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        way, address = options.way
        # As the agent does.
        cv2.setNumThreads(1)
        sys.stdout.write(f"{WAYS[way](address)}\n")
        return
    if options.folder is None:
        parser.error("--folder is missing")
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name, b_frames in STREAMS.items():
        recording = made(options.folder / f"{b_frames}.mkv", b_frames=b_frames)
        turns = [{way: measure(recording, way) for way in WAYS} for _ in range(options.rounds)]
        medians = {way: statistics.median(turn[way] for turn in turns) for way in WAYS}
        figures[name] = {
            way: {"ms_a_frame": round(median, 2), "ratio": round(median / medians["cv2"], 2)}
            for way, median in medians.items()
        }
        for way, found in figures[name].items():
            sys.stdout.write(f"{name:14} {way:13} {found['ms_a_frame']:6.2f} ms a frame  {found['ratio']:.2f}\n")
            sys.stdout.flush()
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
