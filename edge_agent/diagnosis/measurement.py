"""The measurement: how fast is this device, stage by stage, and with which runtime and threads is it fastest?"""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.camera import open_camera
from edge_agent.camera.replay import recorded_frames
from edge_agent.camera.source import shown_source
from edge_agent.domain import Box, Frame
from edge_agent.errors import CameraError, UnavailableError
from edge_agent.health import Health
from edge_agent.host.stats import HostStats
from edge_agent.vision.card import model_bytes
from edge_agent.vision.tflite import probe_runtimes
from edge_agent.wiring import build_pipeline, is_at_work, open_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from edge_agent.config.model import Config
    from edge_agent.domain import Image
    from edge_agent.health import Latency
    from edge_agent.vision.classifier import MaskClassifier
    from edge_agent.vision.detector import FaceDetector
    from edge_agent.vision.tflite import RuntimeName

MOST_THREADS = 16
"""As many as the configuration takes."""
WORTH_FRACTION = 0.9
"""More threads have to bring a time down to this, for they take cores from the camera and make heat."""
FIRST_PICTURES = 5
"""A camera that was just opened still finds its exposure."""
MIDDLE_FRACTION = 0.25
"""Where no face was found, a part of the picture so large is read: a reading costs the same whatever it shows."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds of something that was done many times."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one runtime with so many threads takes for a look for faces, and for a reading of one."""

    runtime: RuntimeName
    threads: int
    faces_ms: Spread
    masks_ms: Spread

    @property
    def frame_ms(self) -> float:
        """A frame with one face, which is what a door sees."""
        return self.faces_ms.p50 + self.masks_ms.p50


@dataclass(frozen=True, slots=True)
class WholePath:
    """Every frame through every stage as configured; times of a stage are of those frames that gave it work.

    `memory_bytes` is what the process held at its end, without the frames that were kept ready.
    """

    frames: int
    frames_per_second: float
    memory_bytes: int | None
    stages_ms: Mapping[str, Spread]


def frames_of_camera(config: Config, name: str, *, count: int) -> list[Frame]:
    """Take pictures with a configured camera.

    Raises:
        CameraError: it cannot be opened or stops.
        UnavailableError: an agent is at work, and has the camera.
    """
    camera = config.cameras[name]
    if is_at_work(config.state):
        raise UnavailableError(
            f"{shown_source(camera.source)}: an agent is at work and has the camera; stop it first "
            "('sudo systemctl stop edge-agent'), or measure without --camera"
        )
    with closing(open_camera(camera)) as opened:
        images = [opened.retrieve() for _ in range(FIRST_PICTURES + count) if opened.grab()]
    if not images:
        raise CameraError(f"{shown_source(camera.source)}: gives no picture; 'edge-agent doctor' says more")
    when = datetime.now(timezone.utc)
    return [Frame(name, index, image, float(index), when) for index, image in enumerate(images[-count:])]


def frames_of_recording(path: Path, *, count: int) -> list[Frame]:
    """Take the first frames of a recording.

    Raises:
        CameraError: it cannot be read.
    """
    return list(islice(recorded_frames(path, camera=path.stem), count))


def measure_whole_path(
    config: Config, frames: Sequence[Frame], *, with_progress: Callable[[Sequence[Frame]], Iterable[Frame]]
) -> WholePath:
    """Run every frame through the path of the first camera, at the rate at which it manages.

    Raises:
        ModelError: a model or its card is missing or does not fit.
    """
    name, camera = next(iter(config.cameras.items()))
    hurried = config.model_copy(update={"cameras": {name: camera.model_copy(update={"detect_fps": 0.0})}})
    pipeline = build_pipeline(hurried, name, *open_models(hurried))
    health = Health(read_timeout_seconds=0.0)
    began = time.perf_counter()
    for frame in with_progress(frames):
        health.record_frame(name, pipeline.process(frame), at=frame.taken_at)
    seconds = time.perf_counter() - began
    held_bytes = HostStats(config.state).look().memory_bytes
    return WholePath(
        frames=health.frames,
        frames_per_second=round(health.frames / seconds, 1),
        memory_bytes=None if held_bytes is None else held_bytes - sum(frame.image.nbytes for frame in frames),
        stages_ms={stage: _rounded(latency) for stage, latency in health.latencies().items()},
    )


def measure_candidates(
    config: Config,
    images: Sequence[Image],
    *,
    with_progress: Callable[[Sequence[Image]], Iterable[Image]],
) -> list[Candidate]:
    """Time each runtime that works with 1 thread to as many as there are cores, side by side on the same pictures.

    Raises:
        ModelError: a model or its card is missing or does not fit.
    """
    runtimes = [probe.runtime for probe in probe_runtimes(model_bytes(config.mask_model)) if probe.works]
    cores = min(len(os.sched_getaffinity(0)), MOST_THREADS)
    models = {
        (runtime, threads): open_models(config.model_copy(update={"runtime": runtime, "threads": threads}))
        for runtime in runtimes
        for threads in range(1, cores + 1)
    }
    times: dict[tuple[RuntimeName, int], list[tuple[float, float]]] = {key: [] for key in models}
    for detector, classifier in models.values():
        _look(images[0], detector, classifier)  # The first run of a model also prepares it.
    order = list(models)
    for image in with_progress(images):
        # Heat and other programs meet all alike, and none always comes behind the same other.
        order = [*order[1:], order[0]]
        for key in order:
            times[key].append(_look(image, *models[key]))
    return [
        Candidate(*key, *(_spread([1000 * pair[part] for pair in measured]) for part in (0, 1)))
        for key, measured in times.items()
    ]


def recommend(candidates: Sequence[Candidate]) -> Candidate:
    """Choose the fewest threads that are nearly as fast as any; of equals, the runtime that is preferred."""
    fastest_ms = min(candidate.frame_ms for candidate in candidates)
    nearly = [candidate for candidate in candidates if WORTH_FRACTION * candidate.frame_ms <= fastest_ms]
    fewest = min(candidate.threads for candidate in nearly)
    return next(candidate for candidate in nearly if candidate.threads == fewest)


def _look(image: Image, detector: FaceDetector, classifier: MaskClassifier) -> tuple[float, float]:
    """Seconds of a look for faces, and of one reading."""
    began = time.perf_counter()
    faces = detector.detect(image)
    found = time.perf_counter()
    classifier.classify(image, faces[0].box if faces else _middle(image))
    return found - began, time.perf_counter() - found


def _middle(image: Image) -> Box:
    height, width = image.shape[:2]
    side = MIDDLE_FRACTION * min(height, width)
    return Box((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)


def _spread(milliseconds: Sequence[float]) -> Spread:
    p50, p95 = np.percentile(milliseconds, (50, 95))
    return Spread(round(float(p50), 3), round(float(p95), 3))


def _rounded(latency: Latency) -> Spread:
    return Spread(latency.p50_ms, latency.p95_ms)
