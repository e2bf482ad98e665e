"""Prometheus: formats counters and status of the device in the text exposition format."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

from edge_agent.console.exposition import exposition
from edge_agent.domain import COUNTED_AS
from edge_agent.metrics import STAGE_BUCKETS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from edge_agent.bridge.protocol import CameraStatus, DeviceStatus, MetricsReply
    from edge_agent.messages.telemetry import Figures


def metrics_text(answered: tuple[DeviceStatus, MetricsReply] | None, *, viewers: int, encoded: int) -> bytes:
    """All metrics of the device as text; None: the agent does not answer."""
    is_healthy = answered is not None and answered[0].is_watching
    own = [
        _gauge("maskwatch_console_viewers", "Open live pages and webcams", viewers),
        CounterMetricFamily("maskwatch_console_pictures_encoded", "Live pictures encoded", value=encoded),
        _gauge("maskwatch_healthy", "1 while frames move or a camera is being reopened", is_healthy),
    ]
    if answered is None:
        return exposition(own)
    status, metrics = answered
    return exposition([*_counted(metrics), *own, *_current(status)])


def _counted(metrics: MetricsReply) -> Iterator[Metric]:
    yield InfoMetricFamily("maskwatch_build", "Versions", value=metrics.versions)
    for name, key, documentation in (
        ("frames", "frames", "Frames that went through the pipeline"),
        ("frames_analysed", "analysed", "Frames in which faces were detected"),
        ("faces", "faces", "Faces detected, counted in every frame"),
        ("classifications", "readings", "Faces that were classified"),
    ):
        family = CounterMetricFamily(f"maskwatch_{name}", documentation, labels=["camera"])
        for camera, counts in metrics.cameras.items():
            family.add_metric([camera], getattr(counts, key))
        yield family
    alerts = CounterMetricFamily("maskwatch_alerts", "Alerts", labels=["camera", "label"])
    for camera, counts in metrics.cameras.items():
        for label, count in counts.alerts.items():
            alerts.add_metric([camera, label], count)
    yield alerts
    documentation = "Duration of a stage, if it had something to do"
    stages = HistogramMetricFamily("maskwatch_stage_duration_seconds", documentation, labels=["stage"])
    edges = [*map(str, STAGE_BUCKETS_SECONDS), "+Inf"]
    for name, stage in metrics.stages.items():
        buckets = list(zip(edges, accumulate(stage.counts), strict=True))
        stages.add_metric([name], buckets, sum_value=stage.total_seconds)
    yield stages


def _current(status: DeviceStatus) -> Iterator[Metric]:
    """Gauges, and counters that the status contains."""
    yield from _about_the_device(status)
    yield from _about_cameras(status.cameras)
    yield from _about_the_machine(status.telemetry)
    yield _people(status.telemetry)


def _about_the_device(status: DeviceStatus) -> Iterator[Metric]:
    documentation = "Number of reasons why the device is degraded, by code"
    reasons = GaugeMetricFamily("maskwatch_degraded_reason", documentation, labels=["code"])
    for code, count in sorted(Counter(reason.code for reason in status.reasons).items()):
        reasons.add_metric([code], count)
    yield reasons
    outbox = status.telemetry.outbox
    yield _gauge("maskwatch_broker_connected", "1 while the broker is connected", status.delivery.connected)
    yield _gauge("maskwatch_outbox_rows", "Messages pending delivery", outbox.rows)
    yield _gauge("maskwatch_outbox_bytes", "Bytes of the messages pending delivery", outbox.bytes)
    dropped = CounterMetricFamily(
        "maskwatch_outbox_dropped", "Messages dropped because the outbox was full", labels=["kind"]
    )
    for kind, count in outbox.dropped.items():
        dropped.add_metric([kind], count)
    yield dropped


def _about_cameras(cameras: Iterable[CameraStatus]) -> Iterator[Metric]:
    for kind, name, documentation, value in (
        (GaugeMetricFamily, "up", "1 while a camera is open", "is_open"),
        (GaugeMetricFamily, "paused", "1 while a camera is paused", "paused"),
        (CounterMetricFamily, "dropped", "Frames replaced by newer ones before they were processed", "dropped"),
        (CounterMetricFamily, "reopened", "How often a camera was reopened", "reopened"),
    ):
        family = kind(f"maskwatch_camera_{name}", documentation, labels=["camera"])
        for camera in cameras:
            family.add_metric([camera.name], float(getattr(camera, value)))
        yield family


def _people(telemetry: Figures) -> Metric:
    people = CounterMetricFamily("maskwatch_people", "People who have left", labels=["camera", "label"])
    for name, camera in telemetry.cameras.items():
        for label in COUNTED_AS:
            people.add_metric([name, label], getattr(camera.people, label))
    return people


def _about_the_machine(telemetry: Figures) -> Iterator[Metric]:
    yield _gauge("maskwatch_uptime_seconds", "Time since the start of the agent", telemetry.uptime_seconds)
    machine = telemetry.machine
    for key, documentation in (
        ("temperature_celsius", "Temperature of the processor"),
        ("memory_bytes", "Memory of the agent"),
        ("memory_available_bytes", "Memory available on the machine"),
        ("disk_free_bytes", "Free space on the disk of the crops"),
    ):
        if (value := getattr(machine, key)) is not None:
            yield _gauge(f"maskwatch_{key}", documentation, value)
    yield _gauge("maskwatch_throttled", "1 while the processor is throttled", bool(machine.throttling))


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=float(value))
