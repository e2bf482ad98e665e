"""Does the dashboard for Grafana ask for figures that a device tells?"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.console.served import OVERVIEW, jpeg, served

if TYPE_CHECKING:
    from collections.abc import Iterator

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
# `instance` and `job` are Prometheus' own words for who was asked.
ADDED_LABELS = {"instance", "job"}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    return dict(json.loads((GRAFANA / "maskwatch.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Iterator[dict[str, set[str]]]:
    """The labels of every figure that a device tells whose machine tells everything."""
    with served(tmp_path_factory.mktemp("console")) as console, console.client() as client:
        machine = {**OVERVIEW["telemetry"]["machine"], "memory_available_bytes": 10**9}
        console.overview["telemetry"] = {**OVERVIEW["telemetry"], "machine": machine}
        console.keep_alert(crop=jpeg())
        families = text_string_to_metric_families(client.get("/metrics").text)
        labels: dict[str, set[str]] = {}
        for sample in (sample for family in families for sample in family.samples):
            labels.setdefault(sample.name, set()).update(sample.labels)
        yield labels


def asked(dashboard: dict[str, Any]) -> list[str]:
    """Every query, of panels and of the choices above them."""
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return panels + [choice["definition"] for choice in dashboard["templating"]["list"]]


def test_every_figure_that_is_asked_for_is_told(dashboard, told):
    names = {name for query in asked(dashboard) for name in re.findall(r"\bmaskwatch_\w+", query)}

    assert names <= told.keys()
    assert len(names) > 20


def test_every_label_that_is_asked_for_is_told(dashboard, told):
    for query in asked(dashboard):
        known = ADDED_LABELS.union(*(told[name] for name in re.findall(r"\bmaskwatch_\w+", query)))
        chosen = set(re.findall(r'(\w+)=~?"', query))
        grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", query) for label in group.split(",")}

        assert chosen | grouped <= known, query


def test_every_panel_lies_beside_the_others_and_has_a_number_of_its_own(dashboard):
    panels = dashboard["panels"]
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]

    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_dashboard_names_no_data_source_of_ours(dashboard):
    sources = {panel["datasource"]["uid"] for panel in dashboard["panels"] if "datasource" in panel}

    assert sources == {"${DS_PROMETHEUS}"}
    assert [needed["name"] for needed in dashboard["__inputs"]] == ["DS_PROMETHEUS"]
