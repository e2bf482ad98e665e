"""Prometheus: formats counters and status of the device in the text exposition format."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

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
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from edge_agent.bridge.protocol import MetricsReply


def metrics_text(status: Mapping[str, Any], metrics: MetricsReply | None, *, viewers: int, encoded: int) -> bytes:
    """All metrics of the device as text; `status` is empty and `metrics` None if the agent does not answer."""
    own = [
        _gauge("maskwatch_console_viewers", "Open live pages and webcams", viewers),
        CounterMetricFamily("maskwatch_console_pictures_encoded", "Live pictures encoded", value=encoded),
    ]
    counted = _counted(metrics) if metrics is not None else ()
    return exposition([*counted, *own, *_current(status)])


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


def _current(status: Mapping[str, Any]) -> Iterator[Metric]:
    """Gauges, and counters that the status contains."""
    is_healthy = bool(status.get("is_watching"))
    yield _gauge("maskwatch_healthy", "1 while frames move or a camera is being reopened", is_healthy)
    if status:
        yield from _about_the_device(status)
        yield from _about_cameras(status["cameras"])
        yield from _about_the_machine(status["telemetry"])
        yield _people(status["telemetry"]["cameras"])


def _about_the_device(status: Mapping[str, Any]) -> Iterator[Metric]:
    documentation = "Number of reasons why the device is degraded, by code"
    reasons = GaugeMetricFamily("maskwatch_degraded_reason", documentation, labels=["code"])
    codes = [reason["code"] for reason in status["reasons"]]
    for code in sorted(set(codes)):
        reasons.add_metric([code], codes.count(code))
    yield reasons
    delivery, outbox = status["delivery"], status["telemetry"]["outbox"]
    yield _gauge("maskwatch_broker_connected", "1 while the broker is connected", delivery["connected"])
    yield _gauge("maskwatch_outbox_rows", "Messages pending delivery", outbox["rows"])
    yield _gauge("maskwatch_outbox_bytes", "Bytes of the messages pending delivery", outbox["bytes"])
    dropped = CounterMetricFamily(
        "maskwatch_outbox_dropped", "Messages dropped because the outbox was full", labels=["kind"]
    )
    for kind, count in outbox["dropped"].items():
        dropped.add_metric([kind], count)
    yield dropped


def _about_cameras(cameras: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {
        "is_open": GaugeMetricFamily("maskwatch_camera_up", "1 while a camera is open", labels=["camera"]),
        "paused": GaugeMetricFamily("maskwatch_camera_paused", "1 while a camera is paused", labels=["camera"]),
        "dropped": CounterMetricFamily(
            "maskwatch_camera_dropped", "Frames replaced by newer ones before they were processed", labels=["camera"]
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


def _people(cameras: Mapping[str, Mapping[str, Any]]) -> Metric:
    people = CounterMetricFamily("maskwatch_people", "People who have left", labels=["camera", "label"])
    for name, camera in cameras.items():
        for label in COUNTED_AS:
            people.add_metric([name, label], camera["people"][label])
    return people


def _about_the_machine(telemetry: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge("maskwatch_uptime_seconds", "Time since the start of the agent", telemetry["uptime_seconds"])
    machine = telemetry["machine"]
    for key, name, documentation in (
        ("temperature_celsius", "maskwatch_temperature_celsius", "Temperature of the processor"),
        ("memory_bytes", "maskwatch_memory_bytes", "Memory of the agent"),
        ("memory_available_bytes", "maskwatch_memory_available_bytes", "Memory available on the machine"),
        ("disk_free_bytes", "maskwatch_disk_free_bytes", "Free space on the disk of the crops"),
    ):
        if machine.get(key) is not None:
            yield _gauge(name, documentation, machine[key])
    yield _gauge("maskwatch_throttled", "1 while the processor is throttled", bool(machine.get("throttling")))


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=float(value))
