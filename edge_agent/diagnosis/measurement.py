"""Measurement: speed of each stage, and the fastest runtime and thread count."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.camera import first_pictures
from edge_agent.camera.replay import recorded_frames
from edge_agent.command_line import with_progress
from edge_agent.config.redaction import shown_source
from edge_agent.domain import Box, Frame
from edge_agent.errors import CameraError, UnavailableError
from edge_agent.host.stats import HostStats
from edge_agent.metrics import Metrics
from edge_agent.vision.card import model_bytes, read_detector_card
from edge_agent.vision.detector.tflite import choose_input
from edge_agent.vision.tflite import open_interpreter, probe_runtimes
from edge_agent.wiring import build_pipeline, is_at_work, open_models

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from edge_agent.config.model import Config
    from edge_agent.domain import Image
    from edge_agent.pipeline import Pipeline
    from edge_agent.vision.classifier import MaskClassifier
    from edge_agent.vision.detector import FaceDetector
    from edge_agent.vision.tflite import RuntimeName

MAX_THREADS = 16
"""Limit of the configuration."""
WORTH_FRACTION = 0.9
"""More threads must reduce the time to this fraction, as they take cores from the cameras and produce heat."""
FIRST_PICTURES = 5
"""Skipped while a camera adjusts its exposure."""
BARE_RUNS = 30
WARM_UP_FRAMES = 10
MIDDLE_FRACTION = 0.25
"""Size of the region that is classified if no face was detected; the time of a reading does not depend on content."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of repeated measurements in milliseconds."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """Times of one detection and one reading with a runtime and number of threads."""

    runtime: RuntimeName
    threads: int
    faces_ms: Spread
    masks_ms: Spread

    @property
    def frame_ms(self) -> float:
        """Time of a frame with one face, typical at a door."""
        return self.faces_ms.p50 + self.masks_ms.p50


@dataclass(frozen=True, slots=True)
class WholePath:
    """Results of the whole pipeline as configured; the times of a stage are of the frames in which it ran.

    `memory_bytes` is the memory of the process at the end, without the frames held for the measurement. `limit_share`
    is the time of decoding and the bare networks relative to that of decoding and the pipeline, 0..1; None if the
    detector is not a TFLite file.
    """

    frames: int
    frames_per_second: float
    memory_bytes: int | None
    stages_ms: Mapping[str, Spread]
    limit_share: float | None


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Total rate of cameras that run in parallel, every frame analysed; `factor` is relative to a single one."""

    cameras: int
    frames_per_second: float
    factor: float


def frames_of_camera(config: Config, name: str, *, count: int) -> list[Frame]:
    """Capture frames of a configured camera.

    Raises:
        CameraError: it cannot be opened or delivers no picture.
        UnavailableError: a running agent uses the camera.
    """
    camera = config.cameras[name]
    if is_at_work(config.state):
        raise UnavailableError(
            f"{shown_source(camera.source)}: a running agent uses the camera; stop it first "
            "('sudo systemctl stop edge-agent'), or measure without --camera"
        )
    images = first_pictures(camera, count=FIRST_PICTURES + count)
    if not images:
        raise CameraError(f"{shown_source(camera.source)}: delivers no picture; see 'edge-agent doctor'")
    when = datetime.now(timezone.utc)
    return [Frame(name, index, image, float(index), when) for index, image in enumerate(images[-count:])]


def frames_of_recording(path: Path, *, count: int) -> tuple[list[Frame], float]:
    """The first frames of a recording, and the seconds that decoding them took.

    Raises:
        CameraError: it cannot be read.
    """
    began = time.perf_counter()
    frames = list(islice(recorded_frames(path, camera=path.stem), count))
    return frames, time.perf_counter() - began


def measure_whole_path(config: Config, frames: Sequence[Frame], *, decoding_seconds: float) -> WholePath:
    """Run every frame through the pipeline of the first camera, as fast as possible.

    `decoding_seconds` is the time that decoding the frames took; 0: unknown, as with a live camera.
    """
    name, pipeline = _fast_pipeline(config, *open_models(config))
    metrics = Metrics([name])
    began = time.perf_counter()
    for frame in with_progress(frames, unit="frames"):
        metrics.record(name, pipeline.process(frame))
    seconds = time.perf_counter() - began
    counts = metrics.totals()
    bare_seconds = _bare_seconds(config, frames[0].image, detections=counts.analysed, readings=counts.readings)
    held_bytes = HostStats(config.state).read().memory_bytes
    return WholePath(
        frames=counts.frames,
        frames_per_second=round(counts.frames / seconds, 1),
        memory_bytes=None if held_bytes is None else held_bytes - sum(frame.picture.nbytes for frame in frames),
        stages_ms={stage: Spread(latency.p50, latency.p95) for stage, latency in metrics.latencies().items()},
        limit_share=None
        if bare_seconds is None
        else round((decoding_seconds + bare_seconds) / (decoding_seconds + seconds), 3),
    )


def measure_cameras(config: Config, frames: Sequence[Frame], *, cameras: int) -> SideBySide:
    """Run the frames through one pipeline, then through `cameras` pipelines in parallel, each in its own thread."""
    detector, classifier = open_models(config, users=cameras)
    pipelines = [_fast_pipeline(config, detector, classifier)[1] for _ in range(cameras + 1)]
    # Detectors open the network that fits these pictures when they first need it.
    _seconds_of_all([_fast_pipeline(config, detector, classifier)[1] for _ in range(cameras)], frames[:WARM_UP_FRAMES])
    alone = _seconds_of_all(pipelines[:1], frames)
    together = _seconds_of_all(pipelines[1:], frames)
    return SideBySide(cameras, round(cameras * len(frames) / together, 1), round(cameras * alone / together, 2))


def _fast_pipeline(config: Config, detector: FaceDetector, classifier: MaskClassifier) -> tuple[str, Pipeline]:
    """The name and the pipeline of the first camera, with no limit of its rate."""
    name, camera = next(iter(config.cameras.items()))
    fast = config.model_copy(update={"cameras": {name: camera.model_copy(update={"detect_fps": 0.0})}})
    return name, build_pipeline(fast, name, detector, classifier)


def _seconds_of_all(pipelines: Sequence[Pipeline], frames: Sequence[Frame]) -> float:
    is_over = threading.Event()

    def watch(pipeline: Pipeline) -> None:
        for frame in frames:
            if is_over.is_set():
                return
            pipeline.process(frame)

    with ThreadPoolExecutor(len(pipelines)) as threads:
        began = time.perf_counter()
        try:
            list(threads.map(watch, pipelines))
            return time.perf_counter() - began
        finally:
            # After Ctrl-C the pool would wait for all frames.
            is_over.set()


def _bare_seconds(config: Config, image: Image, *, detections: int, readings: int) -> float | None:
    """Time of this many inferences of both networks alone; None if the detector is not a TFLite file."""
    if config.faces.detector != "tflite":
        return None
    card, contents, _ = read_detector_card(config.faces.card)
    sizes = [(file.input.width, file.input.height) for file in card.files]
    chosen = choose_input(sizes, (image.shape[1], image.shape[0]), card.smallest_px / config.faces.min_face_px)
    return detections * _bare_run_seconds(config, contents[chosen]) + readings * _bare_run_seconds(
        config, model_bytes(config.mask_model)
    )


def _bare_run_seconds(config: Config, content: bytes) -> float:
    """Median inference time on an empty input, in seconds."""
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


def measure_candidates(config: Config, images: Sequence[Image]) -> list[Candidate]:
    """Time each working runtime with 1 thread up to the number of cores, alternating on the same pictures."""
    runtimes = [probe.runtime for probe in probe_runtimes(model_bytes(config.mask_model)) if probe.works]
    cores = min(len(os.sched_getaffinity(0)), MAX_THREADS)
    models = {
        (runtime, threads): open_models(config.model_copy(update={"runtime": runtime, "threads": threads}))
        for runtime in runtimes
        for threads in range(1, cores + 1)
    }
    times: dict[tuple[RuntimeName, int], list[tuple[float, float]]] = {key: [] for key in models}
    for detector, classifier in models.values():
        _timed(images[0], detector, classifier)  # The first run of a model also prepares it.
    order = list(models)
    for image in with_progress(images, unit="pictures side by side"):
        # Rotate the order, so that heat, caches and other programs affect all candidates alike.
        order = [*order[1:], order[0]]
        for key in order:
            times[key].append(_timed(image, *models[key]))
    return [
        Candidate(*key, *(_spread([1000 * pair[part] for pair in measured]) for part in (0, 1)))
        for key, measured in times.items()
    ]


def recommend(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate with the fewest threads among the nearly fastest; the preferred runtime among equals."""
    fastest_ms = min(candidate.frame_ms for candidate in candidates)
    nearly = [candidate for candidate in candidates if WORTH_FRACTION * candidate.frame_ms <= fastest_ms]
    fewest = min(candidate.threads for candidate in nearly)
    return next(candidate for candidate in nearly if candidate.threads == fewest)


def _timed(image: Image, detector: FaceDetector, classifier: MaskClassifier) -> tuple[float, float]:
    """Seconds of one detection, and of one reading."""
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
