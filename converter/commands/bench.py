"""`edge-convert bench`: compares the latency of models across runtimes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.faces.candidates import DEFAULT_LONGER_SIDE_PX
from converter.faces.files import detector_card_of, networks_of
from converter.measurement import Cost, measure_in_subprocess
from converter.model_kind import ONNX_SUFFIX, TFLITE_SUFFIX
from converter.progress import with_progress
from edge_agent.command_line import add_command, number
from edge_agent.errors import ConfigError, ModelError
from edge_agent.foreign_text import safe
from edge_agent.vision.tflite import PREFERENCE

if TYPE_CHECKING:
    import argparse

MEASURED_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One model in one runtime; if measuring failed, `cost` is None and `failure` is the reason."""

    path: Path
    runtime: str
    threads: int
    cost: Cost | None
    failure: str


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "bench",
        bench,
        summary="measure latency, load time and memory of models in each runtime, each in a separate process",
        example="edge-convert bench models/faces.json face_detection_yunet_2023mar.onnx --threads 1",
    )
    parser.add_argument(
        "models",
        type=Path,
        nargs="+",
        metavar="MODEL",
        help=".tflite files; Keras models, measured with predict; cards (.json) of face detectors and YuNet "
        "files (.onnx), measured end to end on a 640x480 picture",
    )
    parser.add_argument(
        "--threads",
        type=number(least=1, kind=int),
        nargs="+",
        default=sorted({1, min(2, os.cpu_count() or 1)}),
        metavar="N",
        help="threads of the TFLite runtimes (default: 1 and, with a second core, 2)",
    )
    parser.add_argument(
        "--seconds",
        type=number(least=0),
        default=MEASURED_SECONDS,
        metavar="S",
        help="duration of each measurement (default: %(default)g)",
    )
    parser.add_argument(
        "--longer-side",
        type=number(least=32, kind=int),
        default=DEFAULT_LONGER_SIDE_PX,
        metavar="PX",
        help="longer side to which pictures are scaled for YuNet (default: %(default)d)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")


def bench(options: argparse.Namespace) -> int:
    """Measure one model after the other, as parallel processes would disturb each other."""
    for path in options.models:
        if not path.exists():
            raise ConfigError(f"{path}: no such model")
    networks = [network for path in options.models for network in networks_of(path)]
    plan = [(path, runtime, threads) for path in networks for runtime, threads in _runtimes_of(path, options.threads)]
    measured = [
        _measure(path, runtime, threads, options)
        for path, runtime, threads in with_progress(plan, total=len(plan), what="measuring")
    ]
    if options.json:
        print(json.dumps({"measured": [asdict(row) | {"path": str(row.path)} for row in measured]}))
    else:
        _print_table(measured)
    if not any(row.cost for row in measured):
        raise ModelError("nothing could be measured; the table shows why")
    return 0


def _runtimes_of(path: Path, threads: list[int]) -> list[tuple[str, int]]:
    if path.suffix == ONNX_SUFFIX:
        return [("opencv", count) for count in threads]
    if path.suffix != TFLITE_SUFFIX:
        return [("keras", 0)]
    return [(runtime, count) for runtime in PREFERENCE for count in threads]


def _measure(path: Path, runtime: str, threads: int, options: argparse.Namespace) -> Measured:
    try:
        cost = measure_in_subprocess(
            path, runtime=runtime, threads=threads, seconds=options.seconds, longer_side_px=options.longer_side
        )
    except ModelError as error:
        return Measured(path, runtime, threads, None, str(error))
    return Measured(path, runtime, threads, cost, "")


def _print_table(measured: list[Measured]) -> None:
    names = [safe(str(row.path)) for row in measured]
    width = max(map(len, names))
    print(f"{'model':{width}}  runtime         threads  p50 ms  p95 ms  load ms  MiB    against")
    for name, row in zip(names, measured, strict=True):
        start = f"{name:{width}}  {row.runtime:14}  {row.threads or '-':>7}"
        if row.cost is None:
            print(f"{start}  {safe(row.failure)}")
            continue
        cost = row.cost
        costs = f"{cost.p50_ms:6.2f}  {cost.p95_ms:6.2f}  {cost.load_ms:7.1f}  {cost.memory_mib:5.0f}"
        print(f"{start}  {costs}  {_against(row, cost, measured)}")


def _against(row: Measured, cost: Cost, measured: list[Measured]) -> str:
    """Latency relative to the slowest Keras predict or, for detectors, to the first YuNet with one thread."""
    if row.runtime in {"keras", "opencv"}:
        return ""
    yunet = [other.cost.p50_ms for other in measured if other.runtime == "opencv" and other.cost and other.threads == 1]
    if yunet and detector_card_of(row.path):
        return f"{cost.p50_ms / yunet[0]:.2f} of YuNet"
    keras = [other.cost.p50_ms for other in measured if other.runtime == "keras" and other.cost]
    return f"1/{max(keras) / cost.p50_ms:.0f} of Keras predict" if keras and not detector_card_of(row.path) else ""
