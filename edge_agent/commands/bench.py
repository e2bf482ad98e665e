"""`edge-agent bench`: how fast is this device, and with which runtime and threads is it fastest?"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_agent.camera.source import shown_source
from edge_agent.commands.options import accept_json, add_command, configured, print_json, with_progress
from edge_agent.config.model import shipped
from edge_agent.diagnosis.measurement import (
    frames_of_camera,
    frames_of_recording,
    measure_candidates,
    measure_whole_path,
    recommend,
)
from edge_agent.diagnosis.system import look_at_system
from edge_agent.errors import ConfigError
from edge_agent.host.stats import HostStats
from edge_agent.vision.tflite import PREFERENCE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from edge_agent.config.model import Config
    from edge_agent.diagnosis.measurement import Candidate, WholePath
    from edge_agent.domain import Frame

EXAMPLE = "street_door.mp4"
MEGABYTE = 1_000_000
SIDE_BY_SIDE_PICTURES = 40
"""Frames that every candidate analyses; the median of so many hardly changes from one run to the next."""


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "bench",
        bench,
        summary="measure each stage on this device, compare runtimes and thread counts, and recommend settings",
        example="edge-agent bench --json > raspberry-pi-4.json",
    )
    parser.add_argument("--camera", help="take the pictures with this configured camera (default: the example)")
    parser.add_argument("--frames", type=int, default=150, metavar="N", help="frames through the path (default: 150)")
    accept_json(parser)


def bench(options: argparse.Namespace) -> int:
    """Measure the whole path as configured, then the candidates; print both and what to write into config.yaml."""
    config = configured(options)
    if options.frames < 1:
        raise ConfigError(f"--frames {options.frames}: at least 1 is needed")
    source, frames = _frames(config, options)
    # First, and alone: the models of the candidates would count as its memory.
    path = measure_whole_path(config, frames, with_progress=partial(with_progress, unit="frames"))
    chosen = frames[:: max(1, len(frames) // SIDE_BY_SIDE_PICTURES)][:SIDE_BY_SIDE_PICTURES]
    candidates = measure_candidates(
        config, [frame.image for frame in chosen], with_progress=partial(with_progress, unit="pictures side by side")
    )
    best = recommend(candidates)
    if options.json:
        print_json(_as_json(config, source, path, candidates, best))
    else:
        _print(config, source, path, candidates, best)
    return 0


def _frames(config: Config, options: argparse.Namespace) -> tuple[str, list[Frame]]:
    """The pictures to measure with, and where they are from."""
    if options.camera is None:
        return f"the example {EXAMPLE}", frames_of_recording(shipped("examples") / EXAMPLE, count=options.frames)
    if options.camera not in config.cameras:
        raise ConfigError(f"--camera {options.camera}: not configured; known are {', '.join(config.cameras)}")
    shown = f"camera {options.camera} ({shown_source(config.cameras[options.camera].source)})"
    return shown, frames_of_camera(config, options.camera, count=options.frames)


def _as_json(
    config: Config, source: str, path: WholePath, candidates: Sequence[Candidate], best: Candidate
) -> dict[str, Any]:
    machine = HostStats(config.state).look()
    return {
        "schema": "maskwatch.bench/1",
        "system": asdict(look_at_system()),
        "temperature_celsius": machine.temperature_celsius,
        "throttling": machine.throttling,
        "source": source,
        "faces": config.faces.detector,
        "configured": {"runtime": config.runtime, "threads": config.threads, **asdict(path)},
        "candidates": [{**asdict(candidate), "frame_ms": round(candidate.frame_ms, 3)} for candidate in candidates],
        "recommended": {"runtime": best.runtime, "threads": best.threads},
    }


def _print(config: Config, source: str, path: WholePath, candidates: Sequence[Candidate], best: Candidate) -> None:
    machine = HostStats(config.state).look()
    print(look_at_system().line)
    memory = f", {path.memory_bytes / MEGABYTE:.0f} MB of memory" if path.memory_bytes else ""
    print(
        f"\nthe whole path on {source}, as configured (runtime: {config.runtime}, threads: {config.threads}):\n"
        f"{path.frames} frames at {path.frames_per_second} frames/s{memory}\n"
    )
    print("stage        median ms   p95 ms")
    for stage, spread in path.stages_ms.items():
        print(f"{stage:<12} {spread.p50:>9.2f} {spread.p95:>8.2f}")
    print("\nside by side    threads   faces ms   p95 ms   masks ms   p95 ms   frames/s with one face")
    for one in candidates:
        mark = "  <- recommended" if one is best else ""
        print(
            f"{one.runtime:<15} {one.threads:>7} {one.faces_ms.p50:>10.2f} {one.faces_ms.p95:>8.2f} "
            f"{one.masks_ms.p50:>10.2f} {one.masks_ms.p95:>8.2f} {1000 / one.frame_ms:>10.1f}{mark}"
        )
    if machine.throttling:
        print(f"\nthe processor was slowed down meanwhile: {', '.join(machine.throttling)}; see 'edge-agent doctor'")
    is_automatic = best.runtime == next(name for name in PREFERENCE if any(one.runtime == name for one in candidates))
    print(f"\nfor config.yaml:\nruntime: {'auto' if is_automatic else best.runtime}\nthreads: {best.threads}")
