"""Measurement: latency and memory of one model in this process.

As a program it measures one model in one runtime per process, so that memory and threads of other measurements do not
count: `python -m converter.measurement MODEL --runtime litert --threads 1` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from converter.drawn_faces import drawn_faces
from converter.faces.candidates import DEFAULT_LONGER_SIDE_PX, DEFAULT_MIN_SCORE
from converter.faces.files import detector_card_of
from edge_agent.errors import AgentError, ModelError
from edge_agent.vision.card import model_bytes, read_detector_card
from edge_agent.vision.detector.tflite import TfliteDetector
from edge_agent.vision.tflite import Interpreter
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_agent.domain import Image
    from edge_agent.vision.tflite import RuntimeName

WARM_UP_RUNS = 5
MIN_RUNS = 20


@dataclass(frozen=True, slots=True)
class Cost:
    """Median and 95th percentile per face, load time, and peak memory of the process."""

    p50_ms: float
    p95_ms: float
    load_ms: float
    memory_mib: float
    readings: int


def measure_in_subprocess(
    path: Path, *, runtime: str, threads: int, seconds: float, longer_side_px: int = DEFAULT_LONGER_SIDE_PX
) -> Cost:
    """Measure one model in one runtime, in a separate process.

    Raises:
        ModelError: the runtime is missing, or cannot run the model.
    """
    command = [sys.executable, "-m", "converter.measurement", str(path), "--runtime", runtime]
    command += ["--threads", str(max(1, threads)), "--seconds", str(seconds), "--longer-side", str(longer_side_px)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own module)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise ModelError(lines[-1])
    return Cost(**json.loads(done.stdout))


def _open(options: argparse.Namespace) -> Callable[[], object]:
    """Load the model; the function that is returned runs it once: a detector from picture to faces, others on a face.

    Raises:
        ModelError: the model is missing or damaged, or cannot be measured in this runtime.
    """
    path = options.model
    match options.runtime:
        case "keras":
            return _open_keras(path)
        case "opencv":
            return _open_yunet(path, longer_side_px=options.longer_side, threads=options.threads)
        case runtime:
            if card_file := detector_card_of(path):
                return _open_detector(card_file, path.name, runtime=runtime, threads=options.threads)
            interpreter = Interpreter(path.read_bytes(), runtime=runtime, threads=options.threads)
            tensor = interpreter.inputs[0]
            face = np.zeros(tensor.shape, tensor.dtype)
            return lambda: interpreter.run(face)


def _open_detector(card_file: Path, network: str, *, runtime: RuntimeName, threads: int) -> Callable[[], object]:
    """One network of a detector.

    Raises:
        ModelError: the card does not list this network.
    """
    card, contents, _ = read_detector_card(card_file)
    listed = [pair for pair in zip(card.files, contents, strict=True) if pair[0].file == network]
    if not listed:
        raise ModelError(f"{card_file}: names no network {network}")
    ((file, content),) = listed
    interpreter = Interpreter(content, runtime=runtime, threads=threads)
    detector = TfliteDetector(
        card.model_copy(update={"files": (file,)}),
        [lambda: interpreter],
        name=card.name,
        min_score=card.min_score,
        min_face_px=1,
    )
    return partial(detector.detect, synthetic_picture())


def _open_yunet(path: Path, *, longer_side_px: int, threads: int) -> Callable[[], object]:
    """OpenCV's YuNet."""
    import cv2

    from edge_agent.vision.detector.yunet import YuNetDetector

    cv2.setNumThreads(threads)
    detector = YuNetDetector(
        model_bytes(path), name=str(path), min_score=DEFAULT_MIN_SCORE, min_face_px=1, longer_side_px=longer_side_px
    )
    return partial(detector.detect, synthetic_picture())


def _open_keras(path: Path) -> Callable[[], object]:
    """A Keras model's `predict`, which public projects call for every face.

    Raises:
        ModelError: it is a SavedModel without Keras metadata, which has no `predict`.
    """
    from converter.masks.loading import load_model

    loaded = load_model(path)
    if not hasattr(loaded.owner, "predict"):
        raise ModelError(f"{path}: has no predict; give the Keras file that it was exported from")
    face = np.zeros([side or (1 if index == 0 else 224) for index, side in enumerate(loaded.shape)], np.float32)

    def predict() -> None:
        with quiet_tensorflow():
            loaded.owner.predict(face, verbose=0)

    return predict


def synthetic_picture() -> Image:
    """A camera picture of 640x480 with eight drawn faces on a noisy background."""
    import cv2

    ground = np.random.default_rng(1).integers(60, 200, (60, 80, 3), np.uint8)
    picture = np.asarray(cv2.resize(ground, (640, 480), interpolation=cv2.INTER_CUBIC), np.uint8)
    for number, face in enumerate(drawn_faces()[:8]):
        row, column = divmod(number, 4)
        large = cv2.resize(face, (80, 80), interpolation=cv2.INTER_CUBIC)
        picture[100 + 180 * row :, 40 + 150 * column :][:80, :80] = large
    return picture


def _measure(options: argparse.Namespace) -> Cost:
    started = time.perf_counter()
    run = _open(options)
    load_ms = (time.perf_counter() - started) * 1000
    for _ in range(WARM_UP_RUNS):
        run()
    elapsed_ms: list[float] = []
    began = time.perf_counter()
    while len(elapsed_ms) < MIN_RUNS or time.perf_counter() - began < options.seconds:
        before = time.perf_counter()
        run()
        elapsed_ms.append((time.perf_counter() - before) * 1000)
    p50, p95 = np.percentile(elapsed_ms, [50, 95])
    return Cost(
        round(float(p50), 3), round(float(p95), 3), round(load_ms, 1), round(_peak_memory_mib(), 1), len(elapsed_ms)
    )


def _peak_memory_mib() -> float:
    """Peak memory of this process. getrusage is unsuitable: its peak starts at that of the parent process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure once and print the cost as JSON."""
    parser = argparse.ArgumentParser(description="Measure one model in one runtime.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--runtime", choices=("litert", "tflite-runtime", "keras", "opencv"), required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--longer-side", type=int, default=DEFAULT_LONGER_SIDE_PX)
    options = parser.parse_args(arguments)
    try:
        cost = _measure(options)
    except (AgentError, ImportError, ValueError, RuntimeError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    print(json.dumps(asdict(cost)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
