"""`edge-agent replay`: reports the alerts that a recording would have raised."""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.alerts.crops import Crops
from edge_agent.camera.replay import recorded_frames
from edge_agent.commands.explanation import Explanation
from edge_agent.commands.options import accept_json, add_command, alert_line, configured, distinct, named, print_json
from edge_agent.errors import CameraError, ConfigError, CropError
from edge_agent.foreign_text import safe_lines
from edge_agent.metrics import Metrics
from edge_agent.wiring import build_pipeline, open_models, sender_of

if TYPE_CHECKING:
    import argparse

    from edge_agent.domain import Alert
    from edge_agent.messages.sender import Sender


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "replay",
        replay,
        summary="run the whole pipeline on recordings, with their own timestamps",
        example="edge-agent replay --json door.mp4",
    )
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="recording, or folder of pictures")
    parser.add_argument("--camera", help="use the settings of this configured camera (default: the first)")
    parser.add_argument("--crops", type=Path, metavar="FOLDER", help="keep the crop of each alert in this folder")
    parser.add_argument(
        "--explain", type=Path, metavar="FOLDER", help="write the evidence of each track over time to this folder"
    )
    accept_json(parser)


def replay(options: argparse.Namespace) -> int:
    """Replay the recordings one after the other; prints the alerts and a summary."""
    config = configured(options)
    name = options.camera or next(iter(config.cameras))
    if name not in config.cameras:
        raise ConfigError(f"--camera {name}: not configured; known: {', '.join(config.cameras)}")
    detector, classifier = open_models(config)
    crops = Crops(options.crops, config.crops) if options.crops else None
    numbers = itertools.count(1)
    sender = sender_of(config, classifier, next_sequence=lambda _kind: next(numbers))
    names = distinct(named(video).stem for video in options.videos)
    metrics = Metrics(names)
    status = 0
    began = time.perf_counter()
    for video, called in zip(options.videos, names, strict=True):
        # A new pipeline, as tracks must not continue from one recording to the next.
        pipeline = build_pipeline(config, name, detector, classifier, called=called)
        explanation = Explanation(pipeline.sequential_test) if options.explain else None
        try:
            for frame in recorded_frames(video, camera=called):
                outcome = pipeline.process(frame)
                metrics.record(called, outcome)
                if explanation is not None:
                    explanation.observe(outcome, at=frame.taken_at)
                for alert in outcome.alerts:
                    _print_alert(alert, sender, crops, at_seconds=frame.taken_at, as_json=options.json)
        except CameraError as error:
            print(safe_lines(f"edge-agent: {error}"), file=sys.stderr)
            status = error.exit_code
        if explanation is not None:
            explanation.save(options.explain, name=called)
    _print_summary(metrics, time.perf_counter() - began, as_json=options.json)
    return status


def _print_alert(alert: Alert, sender: Sender, crops: Crops | None, *, at_seconds: float, as_json: bool) -> None:
    """Print an alert as it would be published, with its time in the recording."""
    crop, crop_error = None, "replayed without --crops"
    if crops is not None:
        try:
            crop, crop_error = crops.keep_reading(alert.id, alert.verdict.best), ""
        except CropError as error:
            crop_error = str(error)
    described = sender.alert(alert, crop=crop, crop_error=crop_error)
    message = {**described.as_json(), "at_seconds": round(at_seconds, 3)}
    if as_json:
        print_json(message)
    else:
        print(alert_line(message) + f", {at_seconds:.1f} s into the recording", flush=True)


def _print_summary(metrics: Metrics, seconds: float, *, as_json: bool) -> None:
    counts, stages_ms = metrics.totals(), metrics.stages_ms()
    summary = {
        "frames": counts.frames,
        "fps": round(counts.frames / seconds, 1),
        "alerts": counts.alerts,
        "analysed": counts.analysed,
        "faces": counts.faces,
        "readings": counts.readings,
        "faces_per_reading": round(counts.faces / counts.readings, 1) if counts.readings else None,
        "stages_ms": {stage: round(value, 3) for stage, value in stages_ms.items()},
    }
    if as_json:
        print_json({"summary": summary})
        return
    stages = ", ".join(f"{stage} {value:.1f} ms" for stage, value in stages_ms.items())
    alerts = "1 alert" if counts.alerts == 1 else f"{counts.alerts} alerts"
    per_frame = f"; per frame: {stages}" if stages else ""
    print(f"{counts.frames} frames at {summary['fps']} frames/s, {alerts}{per_frame}")
