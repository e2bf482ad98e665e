"""`edge-agent bench`: measures speed and memory of this device, and compares runtimes and threads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edge_agent.command_line import number
from edge_agent.commands.options import accept_json, add_command, configured, print_json
from edge_agent.config.model import shipped
from edge_agent.config.redaction import shown_source
from edge_agent.diagnosis.measurement import (
    frames_of_camera,
    frames_of_recording,
    measure_cameras,
    measure_candidates,
    measure_whole_path,
    recommend,
)
from edge_agent.diagnosis.process import measure_start
from edge_agent.diagnosis.system import read_system
from edge_agent.errors import ConfigError
from edge_agent.host.stats import HostStats
from edge_agent.vision.tflite import PREFERENCE

if TYPE_CHECKING:
    import argparse

    from edge_agent.config.model import Config
    from edge_agent.diagnosis.measurement import Candidate, SideBySide, WholePath
    from edge_agent.diagnosis.process import Start
    from edge_agent.domain import Frame

EXAMPLE = "street_door.mp4"
MEGABYTE = 1_000_000
DEFAULT_CAMERAS = 4
MAX_CAMERAS = 32
WATCH_SECONDS = 10.0
"""By then memory no longer grows: the example shows four people."""
SIDE_BY_SIDE_PICTURES = 40
"""Frames that every candidate analyses; enough for a stable median."""


@dataclass(frozen=True, slots=True)
class _Measured:
    source: str
    path: WholePath
    together: SideBySide
    start: Start
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate:
        """The recommended candidate."""
        return recommend(self.candidates)


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "bench",
        bench,
        summary="measure speed, memory and startup time on this device, compare runtimes, and recommend settings",
        example="edge-agent bench --json > raspberry-pi-4.json",
    )
    parser.add_argument("--camera", help="capture frames from this configured camera (default: the example recording)")
    parser.add_argument(
        "--frames",
        type=number(least=1, kind=int),
        default=150,
        metavar="N",
        help="frames to run through the pipeline (default: 150)",
    )
    parser.add_argument(
        "--cameras",
        type=number(least=1, most=MAX_CAMERAS, kind=int),
        default=DEFAULT_CAMERAS,
        metavar="N",
        help="number of parallel cameras (default: 4)",
    )
    accept_json(parser)


def bench(options: argparse.Namespace) -> int:
    """Measure the pipeline as configured and all candidates; prints the results and the recommended settings."""
    config = configured(options)
    source, frames, decoding_seconds = _frames(config, options)
    # First, because the models of the candidates would count as its memory.
    path = measure_whole_path(config, frames, decoding_seconds=decoding_seconds)
    together = measure_cameras(config, frames, cameras=options.cameras)
    start = measure_start(config, shipped("examples") / EXAMPLE, watch_seconds=WATCH_SECONDS)
    chosen = frames[:: max(1, len(frames) // SIDE_BY_SIDE_PICTURES)][:SIDE_BY_SIDE_PICTURES]
    candidates = measure_candidates(config, [frame.image for frame in chosen])
    measured = _Measured(source, path, together, start, tuple(candidates))
    if options.json:
        print_json(_as_json(config, measured))
    else:
        _print(config, measured)
    return 0


def _frames(config: Config, options: argparse.Namespace) -> tuple[str, list[Frame], float]:
    """A description of the source of the frames, the frames, and the seconds that decoding them took, if known."""
    if options.camera is None:
        return f"the example {EXAMPLE}", *frames_of_recording(shipped("examples") / EXAMPLE, count=options.frames)
    if options.camera not in config.cameras:
        raise ConfigError(f"--camera {options.camera}: not configured; known: {', '.join(config.cameras)}")
    shown = f"camera {options.camera} ({shown_source(config.cameras[options.camera].source)})"
    return shown, frames_of_camera(config, options.camera, count=options.frames), 0.0


def _as_json(config: Config, measured: _Measured) -> dict[str, Any]:
    machine = HostStats(config.state).read()
    return {
        "schema": "maskwatch.bench/1",
        "system": asdict(read_system()),
        "temperature_celsius": machine.temperature_celsius,
        "throttling": machine.throttling,
        "source": measured.source,
        "faces": config.faces.detector,
        "configured": {"runtime": config.runtime, "threads": config.threads, **asdict(measured.path)},
        "side_by_side": asdict(measured.together),
        "start": asdict(measured.start),
        "candidates": [
            {**asdict(candidate), "frame_ms": round(candidate.frame_ms, 3)} for candidate in measured.candidates
        ],
        "recommended": {"runtime": measured.best.runtime, "threads": measured.best.threads},
    }


def _print(config: Config, measured: _Measured) -> None:
    path, together, start, best = measured.path, measured.together, measured.start, measured.best
    machine = HostStats(config.state).read()
    print(read_system().line)
    memory = f", {path.memory_bytes / MEGABYTE:.0f} MB of memory" if path.memory_bytes else ""
    print(
        f"\nwhole pipeline on {measured.source}, as configured "
        f"(runtime: {config.runtime}, threads: {config.threads}):\n"
        f"{path.frames} frames at {path.frames_per_second} frames/s{memory}\n"
    )
    print("stage        median ms   p95 ms")
    for stage, spread in path.stages_ms.items():
        print(f"{stage:<12} {spread.p50:>9.2f} {spread.p95:>8.2f}")
    if path.limit_share is not None:
        print(f"\ndecoding and the models alone account for {path.limit_share:.0%} of the time, decoding included")
    print(
        f"\n{together.cameras} parallel cameras: {together.frames_per_second} frames/s in total, "
        f"{together.factor} times a single camera\n"
        f"edge-agent run is ready after {start.ready_seconds} s, with {start.ready_cpu_seconds} s of CPU time "
        f"(edge-agent --version: {start.version_cpu_seconds} s), and uses "
        f"at most {start.peak_memory_bytes / MEGABYTE:.0f} MB of memory within {start.watched_seconds:.0f} s"
    )
    print("\nside by side    threads   faces ms   p95 ms   masks ms   p95 ms   frames/s with one face")
    for candidate in measured.candidates:
        mark = "  <- recommended" if candidate == best else ""
        faces, masks = candidate.faces_ms, candidate.masks_ms
        print(
            f"{candidate.runtime:<15} {candidate.threads:>7} {faces.p50:>10.2f} {faces.p95:>8.2f} "
            f"{masks.p50:>10.2f} {masks.p95:>8.2f} {1000 / candidate.frame_ms:>10.1f}{mark}"
        )
    if machine.throttling:
        print(f"\nthe processor was throttled: {', '.join(machine.throttling)}; see 'edge-agent doctor'")
    is_automatic = best.runtime == next(
        name for name in PREFERENCE if any(candidate.runtime == name for candidate in measured.candidates)
    )
    print(f"\nfor config.yaml:\nruntime: {'auto' if is_automatic else best.runtime}\nthreads: {best.threads}")
