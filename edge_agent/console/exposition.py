"""Exposition: writes metric families in Prometheus' text format 0.0.4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import generate_latest
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
"""The format that prometheus_client writes unless OpenMetrics is requested."""


def exposition(families: Iterable[Metric]) -> bytes:
    """The body of a response to a scrape."""
    return generate_latest(_Families(families))


class _Families(Collector):
    """Adapter of metric families to a collector."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
