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

from edge_agent.console.exposition import exposition, gauge, labelled
from edge_agent.domain import COUNTED_AS
from edge_agent.metrics import STAGE_BUCKETS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from edge_agent.bridge.protocol import DeviceStatus, MetricsReply


def metrics_text(answered: tuple[DeviceStatus, MetricsReply] | None, *, viewers: int, encoded: int) -> bytes:
    """All metrics of the device as text; None: the agent does not answer."""
    is_healthy = answered is not None and answered[0].is_watching
    own = [
        gauge("maskwatch_console_viewers", "Open live pages and webcams", viewers),
        CounterMetricFamily("maskwatch_console_pictures_encoded", "Live pictures encoded", value=encoded),
        gauge("maskwatch_healthy", "1 while frames move or a camera is being reopened", is_healthy),
    ]
    if answered is None:
        return exposition(own)
    status, metrics = answered
    return exposition([*_counted(metrics), *own, *_current(status), *_about_the_machine(status)])


def _counted(metrics: MetricsReply) -> Iterator[Metric]:
    yield InfoMetricFamily("maskwatch_build", "Versions", value=metrics.versions)
    cameras = metrics.cameras.items()
    for name, key, documentation in (
        ("frames", "frames", "Frames that went through the pipeline"),
        ("frames_analysed", "analysed", "Frames in which faces were detected"),
        ("faces", "faces", "Faces detected, counted in every frame"),
        ("classifications", "readings", "Faces that were classified"),
    ):
        values = {(camera,): getattr(counts, key) for camera, counts in cameras}
        yield labelled(CounterMetricFamily, f"maskwatch_{name}", documentation, values, "camera")
    alerts = {(camera, label): count for camera, counts in cameras for label, count in counts.alerts.items()}
    yield labelled(CounterMetricFamily, "maskwatch_alerts", "Alerts", alerts, "camera", "label")
    documentation = "Duration of a stage, if it had something to do"
    stages = HistogramMetricFamily("maskwatch_stage_duration_seconds", documentation, labels=["stage"])
    edges = [*map(str, STAGE_BUCKETS_SECONDS), "+Inf"]
    for name, stage in metrics.stages.items():
        buckets = list(zip(edges, accumulate(stage.counts), strict=True))
        stages.add_metric([name], buckets, sum_value=stage.total_seconds)
    yield stages


def _current(status: DeviceStatus) -> Iterator[Metric]:
    """Gauges, and counters that the status contains."""
    documentation = "Number of reasons why the device is degraded, by code"
    reasons = {(code,): count for code, count in sorted(Counter(reason.code for reason in status.reasons).items())}
    yield labelled(GaugeMetricFamily, "maskwatch_degraded_reason", documentation, reasons, "code")
    outbox = status.telemetry.outbox
    yield gauge("maskwatch_broker_connected", "1 while the broker is connected", status.delivery.connected)
    yield gauge("maskwatch_outbox_rows", "Messages pending delivery", outbox.rows)
    yield gauge("maskwatch_outbox_bytes", "Bytes of the messages pending delivery", outbox.bytes)
    documentation = "Messages dropped because the outbox was full"
    dropped = {(kind,): count for kind, count in outbox.dropped.items()}
    yield labelled(CounterMetricFamily, "maskwatch_outbox_dropped", documentation, dropped, "kind")
    for family, name, documentation, value in (
        (GaugeMetricFamily, "up", "1 while a camera is open", "is_open"),
        (GaugeMetricFamily, "paused", "1 while a camera is paused", "paused"),
        (CounterMetricFamily, "dropped", "Frames replaced by newer ones before they were processed", "dropped"),
        (CounterMetricFamily, "reopened", "How often a camera was reopened", "reopened"),
    ):
        values = {(camera.name,): getattr(camera, value) for camera in status.cameras}
        yield labelled(family, f"maskwatch_camera_{name}", documentation, values, "camera")
    people = {
        (name, label): getattr(camera.people, label)
        for name, camera in status.telemetry.cameras.items()
        for label in COUNTED_AS
    }
    yield labelled(CounterMetricFamily, "maskwatch_people", "People who have left", people, "camera", "label")


def _about_the_machine(status: DeviceStatus) -> Iterator[Metric]:
    telemetry, machine = status.telemetry, status.telemetry.machine
    yield gauge("maskwatch_uptime_seconds", "Time since the start of the agent", telemetry.uptime_seconds)
    for key, documentation in (
        ("temperature_celsius", "Temperature of the processor"),
        ("memory_bytes", "Memory of the agent"),
        ("memory_available_bytes", "Memory available on the machine"),
        ("disk_free_bytes", "Free space on the disk of the crops"),
    ):
        if (value := getattr(machine, key)) is not None:
            yield gauge(f"maskwatch_{key}", documentation, value)
    yield gauge("maskwatch_throttled", "1 while the processor is throttled", bool(machine.throttling))
