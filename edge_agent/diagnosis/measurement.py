"""Measurement: speed of each stage, and the fastest runtime and thread count."""

from __future__ import annotations

import os
import threading
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
from edge_agent.vision.card import model_bytes, read_detector_card
from edge_agent.vision.detector.tflite import choose_input
from edge_agent.vision.tflite import open_interpreter, probe_runtimes
from edge_agent.wiring import build_pipeline, is_at_work, open_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from edge_agent.config.model import Config
    from edge_agent.domain import Image
    from edge_agent.health import Latency
    from edge_agent.pipeline import Pipeline
    from edge_agent.vision.classifier import MaskClassifier
    from edge_agent.vision.detector import FaceDetector
    from edge_agent.vision.tflite import RuntimeName

MOST_THREADS = 16
"""As many as the configuration takes."""
WORTH_FRACTION = 0.9
"""More threads have to bring a time down to this, for they take cores from the camera and make heat."""
FIRST_PICTURES = 5
"""A camera that was just opened still finds its exposure."""
BARE_RUNS = 30
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

    `memory_bytes` is what the process held at its end, without the frames that were kept ready. `limit_share` is the
    time of the bare models for the same looks and readings, by the time of the path: 1 where all else costs nothing;
    None for a detector whose network cannot be run by itself.
    """

    frames: int
    frames_per_second: float
    memory_bytes: int | None
    stages_ms: Mapping[str, Spread]
    limit_share: float | None


@dataclass(frozen=True, slots=True)
class SideBySide:
    """So many cameras, each on a thread of its own, every frame analysed; `factor` is against one of them alone."""

    cameras: int
    frames_per_second: float
    factor: float


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
    name, pipeline = _hurried_pipeline(config)
    health = Health(read_timeout_seconds=0.0)
    looks = readings = 0
    began = time.perf_counter()
    for frame in with_progress(frames):
        outcome = pipeline.process(frame)
        looks, readings = looks + outcome.analysed, readings + len(outcome.readings)
        health.record_frame(name, outcome, at=frame.taken_at)
    seconds = time.perf_counter() - began
    bare_seconds = _bare_seconds(config, frames[0].image, looks=looks, readings=readings)
    held_bytes = HostStats(config.state).look().memory_bytes
    return WholePath(
        frames=health.frames,
        frames_per_second=round(health.frames / seconds, 1),
        memory_bytes=None if held_bytes is None else held_bytes - sum(frame.image.nbytes for frame in frames),
        stages_ms={stage: _rounded(latency) for stage, latency in health.latencies().items()},
        limit_share=None if bare_seconds is None else round(bare_seconds / seconds, 3),
    )


def measure_cameras(config: Config, frames: Sequence[Frame], *, cameras: int) -> SideBySide:
    """Run the frames through the path once, then through as many paths at once, each on a thread of its own.

    Raises:
        ModelError: a model or its card is missing or does not fit.
    """
    pipelines = [_hurried_pipeline(config)[1] for _ in range(cameras + 1)]
    for pipeline in pipelines:
        # The first look opens the network that fits these pictures.
        pipeline.detector.detect(frames[0].image)
    alone = _seconds_of_all(pipelines[:1], frames)
    together = _seconds_of_all(pipelines[1:], frames)
    return SideBySide(cameras, round(cameras * len(frames) / together, 1), round(cameras * alone / together, 2))


def _hurried_pipeline(config: Config) -> tuple[str, Pipeline]:
    """The name and the path of the first camera, at the rate at which it manages."""
    name, camera = next(iter(config.cameras.items()))
    hurried = config.model_copy(update={"cameras": {name: camera.model_copy(update={"detect_fps": 0.0})}})
    return name, build_pipeline(hurried, name, *open_models(hurried))


def _seconds_of_all(pipelines: Sequence[Pipeline], frames: Sequence[Frame]) -> float:
    def watch(pipeline: Pipeline) -> None:
        for frame in frames:
            pipeline.process(frame)

    threads = [threading.Thread(target=watch, args=(pipeline,), daemon=True) for pipeline in pipelines]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def _bare_seconds(config: Config, image: Image, *, looks: int, readings: int) -> float | None:
    """What so many runs of both networks take with nothing around them; None where the detector is no TFLite file."""
    if config.faces.detector != "tflite":
        return None
    card, contents = read_detector_card(config.faces.card)
    sizes = [(file.input.width, file.input.height) for file in card.files]
    chosen = choose_input(sizes, (image.shape[1], image.shape[0]), card.smallest_px / config.faces.min_face_px)
    return looks * _bare_run_seconds(config, contents[chosen]) + readings * _bare_run_seconds(
        config, model_bytes(config.mask_model)
    )


def _bare_run_seconds(config: Config, content: bytes) -> float:
    """The median time of a network on an empty input."""
    interpreter = open_interpreter(content, name="bench", runtime=config.runtime, threads=config.threads)
    taken = interpreter.inputs[0]
    value = np.zeros(taken.shape, taken.dtype)
    interpreter.run(value)  # The first run also prepares it.
    times = []
    for _ in range(BARE_RUNS):
        began = time.perf_counter()
        interpreter.run(value)
        times.append(time.perf_counter() - began)
    return float(np.median(times))


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
