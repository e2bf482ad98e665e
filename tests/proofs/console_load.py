"""How much does load on the console slow detection? Twenty viewers and fifty requests a second, alternating with none.

    python -m tests.proofs.console_load --folder FOLDER [--hostile]

A real agent analyses the example recording repeatedly, with a real broker: in real time, and then as fast as it can.
The console's process has the niceness of its unit. Phases with and without load alternate, so that other load on the
machine affects both. Prints the figures as one line of JSON, and exits with 1 if the load costs more than three percent
of the frame rate, or an alert.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from edge_agent.alerts.database import history_entry
from edge_agent.alerts.store import AlertStore
from edge_agent.alerts.timeline import Timeline, TimelinePoint
from edge_agent.messages.alert import AlertMessage
from tests.journeys.agent import EXAMPLE, AgentProcess, ConsoleProcess, wait_until
from tests.journeys.subscriber import Subscriber
from tests.mosquitto import Mosquitto, free_port
from tests.mqtt.samples import a_message

if TYPE_CHECKING:
    from collections.abc import Iterator

EMPTY_SECONDS = 3.0
"""Appended to the example, so that all tracks end (tracking.lost_timeout_seconds) before it repeats."""
LOOP_SECONDS = 9.2 + EMPTY_SECONDS
"""Duration of the example, which has two violations with one alert each."""
LONGEST_PAUSE_SECONDS = 10.5
"""Longest interval between two alerts if none is missing: they are 3.5 and 8.7 seconds apart."""
FLAT_OUT_TIMES = 8
"""120 frames a second: decoding leaves a second core free, and a desktop analyses a hundred."""
RATES = ("frames_per_second", "analysed_per_second")
LOOPS_A_TURN = 2
SETTLE_SECONDS = 10.0
"""Time for viewers to connect or disconnect, and for pending requests to complete."""
STARTS_WITHIN_SECONDS = 60.0
TIMEOUT_SECONDS = 5.0
"""Timeout for the last answers of a phase."""
ENTRIES_BEFORE = 500
"""History entries at the start, enough to fill a page of alerts."""
MOST_LOST_FRACTION = 0.03
NICENESS = 19
"""The niceness of deploy/maskwatch-console.service."""


@dataclass(slots=True)
class Phase:
    """What the agent did in one phase; a rate is frames a second."""

    is_crowded: bool
    began_when: datetime
    ended_when: datetime
    frames_per_second: float
    analysed_per_second: float
    crowd: dict[str, Any] = field(default_factory=dict)


def measure(
    folder: Path, *, turns: int, viewers: int, requests_per_second: float, is_hostile: bool, times_as_fast: int
) -> Any:
    """Alternate phases with and without load, and return the figures.

    In real time the recording leaves time between two frames, as most cameras do. `times_as_fast` as the agent can
    analyse, every frame takes time from the next one: any loss is fully visible, but alerts are meaningless.
    """
    port = free_port()
    phase_seconds = SETTLE_SECONDS + LOOPS_A_TURN * LOOP_SECONDS + TIMEOUT_SECONDS
    recording = _looped(
        EXAMPLE,
        into=folder / "looped.mp4",
        seconds=STARTS_WITHIN_SECONDS + 2 * turns * phase_seconds,
        times_as_fast=times_as_fast,
    )
    is_flat_out = times_as_fast > 1
    with Mosquitto(folder / "broker") as broker, Subscriber(broker) as subscriber:
        config = {
            "device": {"id": "crowded"},
            "cameras": {"door": {"source": str(recording), **({"detect_fps": 0} if is_flat_out else {})}},
            # The governor would halve the frame rate of a saturated agent.
            "governor": {"enabled": not is_flat_out},
            "mqtt": {"host": "127.0.0.1", "port": broker.port, "telemetry_seconds": 1.0},
            "console": {"port": port},
        }
        _fill_history(folder / "state" / "alerts.sqlite")
        with (
            AgentProcess(folder, config) as agent,
            _console(agent),
            _crowd(port, viewers, requests_per_second, is_hostile=is_hostile) as crowd,
        ):
            wait_until(lambda: (agent.notifications, _is_ready(port))[1], "the console of an agent that watches")
            phases = []
            for number in range(2 * turns):
                # Half of the pairs begin with load, so that a trend over time affects neither.
                is_crowded = number % 4 in (1, 2)
                phases.append(_run_phase(agent, subscriber, crowd, is_crowded=is_crowded))
            assert agent.process is not None
            assert agent.process.poll() is None, agent.log
        figures = _rates(phases)
        return figures if is_flat_out else {**figures, **_missing_alerts(phases, subscriber.alerts)}


def _looped(recording: Path, *, into: Path, seconds: float, times_as_fast: int) -> Path:
    """A recording that repeats another; the agent plays it in real time, like a camera."""
    into.parent.mkdir(parents=True, exist_ok=True)
    padded = into.with_name("padded.mp4")
    # High quality: if the encoder smoothed the noise away, a standing person would look like a picture.
    pad = ["-vf", f"tpad=stop_mode=clone:stop_duration={EMPTY_SECONDS}", "-crf", "8", "-preset", "fast"]
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", "-i", str(recording), *pad, str(padded)], check=True)
    command = ["ffmpeg", "-loglevel", "error", "-y", "-itsscale", str(1 / times_as_fast),
               "-stream_loop", str(times_as_fast * (round(seconds / LOOP_SECONDS) + 1)),
               "-i", str(padded), "-c", "copy", str(into)]  # fmt: skip
    subprocess.run(command, check=True)
    return into


def _fill_history(file: Path) -> None:
    points = tuple(TimelinePoint(-n / 5, 7 - n / 3, "without_mask", 0.9, 0.8) for n in range(20))
    timeline = Timeline(points, 6.8, -2.3, (20, 20, 60, 70))
    with closing(AlertStore(file, boot_id="before")) as store:
        for number in range(1, ENTRIES_BEFORE + 1):
            message = a_message("alert", sequence=number, id=f"01950000-0000-7000-8000-{number:012x}", camera="door")
            assert isinstance(message, AlertMessage)
            store.put(message, history_entry(message, timeline, now=message.when))
            store.remove(message.id)


@contextmanager
def _console(agent: AgentProcess) -> Iterator[None]:
    console = ConsoleProcess(agent.config_file, log_file=agent.folder / "console.log")
    console.start(niceness=NICENESS)
    try:
        yield
    finally:
        console.kill()


@contextmanager
def _crowd(port: int, viewers: int, requests_per_second: float, *, is_hostile: bool) -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable, "-m", "tests.proofs.crowd", f"http://127.0.0.1:{port}",
        "--viewers", str(viewers), "--requests-per-second", str(requests_per_second),
        *(["--hostile"] if is_hostile else []),
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        try:
            yield crowd
        finally:
            crowd.kill()


def _command(crowd: subprocess.Popen[str], word: str) -> None:
    assert crowd.stdin is not None
    crowd.stdin.write(f"{word}\n")
    crowd.stdin.flush()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5.0).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _run_phase(agent: AgentProcess, subscriber: Subscriber, crowd: subprocess.Popen[str], *, is_crowded: bool) -> Phase:
    if is_crowded:
        _command(crowd, "start")
    _wait(agent, SETTLE_SECONDS)
    began_when = datetime.now(timezone.utc)
    _wait(agent, LOOPS_A_TURN * LOOP_SECONDS)
    ended_when = datetime.now(timezone.utc)
    answers: dict[str, Any] = {}
    if is_crowded:
        _command(crowd, "stop")
        assert crowd.stdout is not None
        answers = json.loads(crowd.stdout.readline())
    figures = [
        message
        for topic, payload in tuple(subscriber.messages)
        if topic.endswith("/telemetry") and began_when <= _when(message := json.loads(payload)) <= ended_when
    ]
    first, last = figures[0], figures[-1]
    seconds = (_when(last) - _when(first)).total_seconds()
    frames, analysed = ((last["counts"][name] - first["counts"][name]) / seconds for name in ("frames", "analysed"))
    phase = Phase(is_crowded, began_when, ended_when, round(frames, 3), round(analysed, 3), answers)
    kind = "crowded" if is_crowded else "quiet"
    sys.stderr.write(f"{kind}: {frames:.2f} frames and {analysed:.2f} analysed frames a second {answers}\n")
    return phase


def _wait(agent: AgentProcess, seconds: float) -> None:
    """Wait, and receive the agent's notifications like the service manager: otherwise the agent blocks."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        assert agent.notifications
        time.sleep(min(0.5, left))


def _when(message: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(message["when"].replace("Z", "+00:00"))


def _rates(phases: list[Phase]) -> dict[str, Any]:
    figures: dict[str, Any] = {"turns_of_each_kind": len(phases) // 2}
    for name in RATES:
        quiet, crowded = (
            [getattr(phase, name) for phase in phases if phase.is_crowded is is_crowded] for is_crowded in (False, True)
        )
        ratio = statistics.mean(crowded) / statistics.mean(quiet)
        figures[name] = {"quiet": quiet, "crowded": crowded, "ratio": round(ratio, 4)}
    figures["crowd"] = [phase.crowd for phase in phases if phase.is_crowded]
    return figures


def _missing_alerts(phases: list[Phase], alerts: list[dict[str, Any]]) -> dict[str, Any]:
    """Find the gaps between alerts in which one is missing: those longer than LONGEST_PAUSE_SECONDS."""
    moments = sorted(_when(alert) for alert in {alert["id"]: alert for alert in alerts}.values())
    pauses = [pair for pair in pairwise(moments) if (pair[1] - pair[0]).total_seconds() > LONGEST_PAUSE_SECONDS]
    return {
        "alerts": len(moments),
        "alerts_missing": {
            kind: sum(_is_in(phases, *pause, is_crowded=is_crowded) for pause in pauses)
            for kind, is_crowded in (("quiet", False), ("crowded", True))
        },
    }


def _is_in(phases: list[Phase], began: datetime, ended: datetime, *, is_crowded: bool) -> bool:
    return any(
        phase.is_crowded is is_crowded and phase.began_when < ended and began < phase.ended_when for phase in phases
    )


def main() -> int:
    """Run all phases and judge the result."""
    parser = argparse.ArgumentParser(description="Measure how much load on the console slows detection.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=3, help="phases with load, and as many without")
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--requests-per-second", type=float, default=50.0)
    parser.add_argument("--hostile", action="store_true", help="requests that are expensive to answer")
    options = parser.parse_args()
    load = {
        "viewers": options.viewers,
        "requests_per_second": options.requests_per_second,
        "is_hostile": options.hostile,
    }
    figures = {
        name: measure(options.folder / name, turns=options.turns, times_as_fast=times_as_fast, **load)
        for name, times_as_fast in (("as_a_camera", 1), ("flat_out", FLAT_OUT_TIMES))
    }
    is_as_fast = min(found[name]["ratio"] for found in figures.values() for name in RATES) >= 1 - MOST_LOST_FRACTION
    holds = is_as_fast and not figures["as_a_camera"]["alerts_missing"]["crowded"]
    sys.stdout.write(json.dumps({**load, **figures, "holds": holds}) + "\n")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
