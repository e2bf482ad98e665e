"""`edge-convert bench`: what does a reading cost, in each runtime, side by side?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.candidates import TFLITE_SUFFIX
from converter.commands.options import add_command
from converter.measuring import Cost
from converter.progress import with_progress
from edge_agent.errors import ConfigError, ModelError
from edge_agent.vision.tflite import PREFERENCE

if TYPE_CHECKING:
    import argparse

MEASURED_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One model in one runtime; `cost` is None where that failed, and `failure` says why."""

    path: Path
    runtime: str
    threads: int
    cost: Cost | None
    failure: str


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "bench",
        bench,
        summary="measure latency, load time and memory of models in each runtime, each in a process of its own",
        example="edge-convert bench models/masks.tflite mask_detector.model",
    )
    parser.add_argument(
        "models", type=Path, nargs="+", metavar="MODEL", help=".tflite files, and Keras models, measured by predict"
    )
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=sorted({1, min(2, os.cpu_count() or 1)}),
        metavar="N",
        help="threads of the TFLite runtimes (default: 1 and, with a second core, 2)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=MEASURED_SECONDS,
        metavar="S",
        help="of each measurement (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")


def bench(options: argparse.Namespace) -> int:
    """Measure one after the other; a second process would only disturb the first."""
    for path in options.models:
        if not path.exists():
            raise ConfigError(f"{path}: no such model")
    plan = [(path, runtime, threads) for path in options.models for runtime, threads in _ways(path, options.threads)]
    measured = [
        _measured(path, runtime, threads, seconds=options.seconds)
        for path, runtime, threads in with_progress(plan, total=len(plan), what="measuring")
    ]
    if options.json:
        print(json.dumps({"measured": [asdict(one) | {"path": str(one.path)} for one in measured]}))
    else:
        _print_table(measured)
    if not any(one.cost for one in measured):
        raise ModelError("nothing could be measured; the table says why")
    return 0


def _ways(path: Path, threads: list[int]) -> list[tuple[str, int]]:
    if path.suffix != TFLITE_SUFFIX:
        return [("keras", 0)]
    return [(runtime, count) for runtime in PREFERENCE for count in threads]


def _measured(path: Path, runtime: str, threads: int, *, seconds: float) -> Measured:
    command = [sys.executable, "-m", "converter.measuring", str(path), "--runtime", runtime]
    command += ["--threads", str(max(1, threads)), "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own module)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        return Measured(path, runtime, threads, None, lines[-1])
    return Measured(path, runtime, threads, Cost(**json.loads(done.stdout)), "")


def _print_table(measured: list[Measured]) -> None:
    keras = [one.cost.p50_ms for one in measured if one.runtime == "keras" and one.cost]
    width = max(len(str(one.path)) for one in measured)
    print(f"{'model':{width}}  runtime         threads  p50 ms  p95 ms  load ms  MiB    against Keras predict")
    for one in measured:
        start = f"{one.path!s:{width}}  {one.runtime:14}  {one.threads or '-':>7}"
        if one.cost is None:
            print(f"{start}  {one.failure}")
            continue
        cost = one.cost
        times = f"1/{max(keras) / cost.p50_ms:.0f}" if keras and one.runtime != "keras" else ""
        print(f"{start}  {cost.p50_ms:6.2f}  {cost.p95_ms:6.2f}  {cost.load_ms:7.1f}  {cost.memory_mib:5.0f}  {times}")
