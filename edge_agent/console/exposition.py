"""Exposition: writes metric families in Prometheus' text format 0.0.4."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.metrics_core import Metric

Labels = TypeVar("Labels", bound="tuple[str, ...]")

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
"""The format that prometheus_client writes unless OpenMetrics is requested."""


def gauge(name: str, documentation: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(name, documentation, value=float(value))


def labelled(
    kind: type[CounterMetricFamily | GaugeMetricFamily],
    name: str,
    documentation: str,
    values: Mapping[Labels, float],
    *labels: str,
) -> Metric:
    """Counters or gauges with these labels, by their values."""
    family = kind(name, documentation, labels=labels)
    for of_labels, value in values.items():
        family.add_metric(of_labels, float(value))
    return family


def exposition(families: Iterable[Metric]) -> bytes:
    """The body of a response to a scrape."""
    return generate_latest(_Families(families))


class _Families(Collector):
    """Adapter of metric families to a collector."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
