"""Figures: what has each camera's path done so far, counted for Prometheus?"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

from edge_agent.domain import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from edge_agent.domain import Frame, Outcome

STAGES = ("motion", "faces", "masks", "decision")
STAGE_BUCKETS_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""From a stage of a desktop to the finder of a Raspberry Pi that is hot."""
SKIPPED_SECONDS = 20e-6
"""A stage that had nothing to do takes a microsecond or two; it must not make the others look quick."""


@dataclass(slots=True)
class _CameraCounts:
    frames: int = 0
    looked: int = 0
    faces: int = 0
    readings: int = 0
    alerts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LABELS, 0))


@dataclass(slots=True)
class _StageTimes:
    counts: list[int] = field(default_factory=lambda: [0] * (len(STAGE_BUCKETS_SECONDS) + 1))
    """One for each bucket, and one for what is slower than all."""
    total_seconds: float = 0.0


class Figures:
    """Counts frames as they pass. The agent's thread counts, another reads; plain numbers, so that none waits."""

    def __init__(self, cameras: Iterable[str], *, versions: Mapping[str, str]) -> None:
        """Every camera is there from the start, with zeros: a rate can be made of them at once."""
        self._cameras = {camera: _CameraCounts() for camera in cameras}
        self._stages = {stage: _StageTimes() for stage in STAGES}
        self._versions = dict(versions)

    def saw(self, frame: Frame, outcome: Outcome) -> None:
        """Count a frame."""
        counts = self._cameras[frame.camera]
        counts.frames += 1
        counts.looked += outcome.analysed
        counts.faces += len(outcome.tracks)
        counts.readings += len(outcome.readings)
        for alert in outcome.alerts:
            counts.alerts[alert.verdict.label] += 1
        for stage, seconds in outcome.stage_seconds.items():
            if seconds >= SKIPPED_SECONDS:
                times = self._stages[stage]
                times.counts[bisect_left(STAGE_BUCKETS_SECONDS, seconds)] += 1
                times.total_seconds += seconds

    def text(self, overview: Mapping[str, Any], *, viewers: int, encoded: int) -> bytes:
        """Everything in Prometheus' text format; `overview` is empty where the watching does not answer."""
        registry = CollectorRegistry(auto_describe=False)
        now = [
            InfoMetricFamily("maskwatch_build", "Versions", value=self._versions),
            _gauge("maskwatch_console_viewers", "Live pages and webcams that are served", viewers),
            CounterMetricFamily("maskwatch_console_pictures_encoded", "Live pictures encoded", value=encoded),
        ]
        registry.register(_Families([*self._counted(), *now, *_looked_up(overview)]))
        return generate_latest(registry)

    def _counted(self) -> Iterator[Metric]:
        for key, said in (
            ("frames", "Frames that went through the whole path"),
            ("looked", "Frames in which faces were looked for"),
            ("faces", "Faces found, every frame anew"),
            ("readings", "Faces whose mask was read"),
        ):
            family = CounterMetricFamily(f"maskwatch_{key}", said, labels=["camera"])
            for camera, counts in self._cameras.items():
                family.add_metric([camera], getattr(counts, key))
            yield family
        alerts = CounterMetricFamily("maskwatch_alerts", "Alerts", labels=["camera", "label"])
        for camera, counts in self._cameras.items():
            for label, count in counts.alerts.items():
                alerts.add_metric([camera, label], count)
        yield alerts
        said = "How long a stage took, where it had something to do"
        stages = HistogramMetricFamily("maskwatch_stage_seconds", said, labels=["stage"])
        for stage, times in self._stages.items():
            upto = list(accumulate(times.counts))
            edges = [*map(str, STAGE_BUCKETS_SECONDS), "+Inf"]
            stages.add_metric([stage], list(zip(edges, upto, strict=True)), sum_value=times.total_seconds)
        yield stages


class _Families:
    """What was gathered, as Prometheus' registry takes it."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _looked_up(overview: Mapping[str, Any]) -> Iterator[Metric]:
    """What is not counted but true just now."""
    is_watching = bool(overview.get("is_watching"))
    yield _gauge("maskwatch_watching", "1 while frames move or a camera is being reopened", is_watching)
    if overview:
        yield from _about_the_device(overview)
        yield from _about_cameras(overview["cameras"])
        yield from _about_the_machine(overview["telemetry"])


def _about_the_device(overview: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge(
        "maskwatch_degraded", "1 where something keeps the device from its whole job", bool(overview["reasons"])
    )
    reasons = GaugeMetricFamily("maskwatch_reason", "Why the device is degraded: how many of each", labels=["code"])
    codes = [reason["code"] for reason in overview["reasons"]]
    for code in sorted(set(codes)):
        reasons.add_metric([code], codes.count(code))
    yield reasons
    delivery, outbox = overview["delivery"], overview["telemetry"]["outbox"]
    yield _gauge("maskwatch_broker_connected", "1 while the broker is connected", delivery["connected"])
    yield _gauge("maskwatch_outbox_rows", "Messages that wait for the broker", outbox["rows"])
    yield _gauge("maskwatch_outbox_bytes", "Bytes of the messages that wait", outbox["bytes"])
    dropped = CounterMetricFamily("maskwatch_outbox_dropped", "Messages dropped for lack of room", labels=["kind"])
    for kind, count in outbox["dropped"].items():
        dropped.add_metric([kind], count)
    yield dropped


def _about_cameras(cameras: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {
        "is_open": GaugeMetricFamily("maskwatch_camera_up", "1 while a camera is open", labels=["camera"]),
        "paused": GaugeMetricFamily("maskwatch_camera_paused", "1 while a camera is paused", labels=["camera"]),
        "frames_per_second": GaugeMetricFamily(
            "maskwatch_camera_frames_per_second", "Frames of a camera that are looked at", labels=["camera"]
        ),
        "dropped": CounterMetricFamily(
            "maskwatch_camera_dropped", "Pictures replaced by newer ones before anybody looked", labels=["camera"]
        ),
        "reopened": CounterMetricFamily(
            "maskwatch_camera_reopened", "How often a camera was reopened", labels=["camera"]
        ),
    }
    for camera in cameras:
        for key, family in families.items():
            if camera.get(key) is not None:
                family.add_metric([camera["name"]], float(camera[key]))
    yield from families.values()


def _about_the_machine(telemetry: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge("maskwatch_uptime_seconds", "Since the agent's start", telemetry["uptime_seconds"])
    yield _gauge("maskwatch_alerts_today", "Alerts since midnight", telemetry["alerts_today"])
    machine = telemetry["machine"]
    for key, name, said in (
        ("temperature_celsius", "maskwatch_temperature_celsius", "Of the processor"),
        ("memory_bytes", "maskwatch_memory_bytes", "Memory of the agent"),
        ("memory_available_bytes", "maskwatch_memory_available_bytes", "Memory that the machine has left"),
        ("disk_free_bytes", "maskwatch_disk_free_bytes", "Free on the disk of the crops"),
    ):
        if machine.get(key) is not None:
            yield _gauge(name, said, machine[key])
    yield _gauge("maskwatch_throttled", "1 while the processor is slowed down", bool(machine.get("throttling")))


def _gauge(name: str, said: str, value: float) -> Metric:
    return GaugeMetricFamily(name, said, value=float(value))
