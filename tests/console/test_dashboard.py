"""The Grafana dashboard uses metrics that a device exports."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.console.served import jpeg, served
from tests.values import a_machine, on_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
PROMETHEUS = GRAFANA.parent / "prometheus"
# Prometheus adds `instance` and `job`, which identify the scraped target.
ADDED_LABELS = {"instance", "job"}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    return dict(json.loads((GRAFANA / "maskwatch.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def exposition(tmp_path_factory) -> Iterator[str]:
    """The metrics of a device that exports all of them."""
    with served(tmp_path_factory.mktemp("console")) as console, console.client() as client:
        console.status = on_machine(console.status, a_machine(memory_available_bytes=10**9))
        console.keep_alert(crop=jpeg())
        yield client.get("/metrics").text


@pytest.fixture(scope="module")
def exported_labels(exposition) -> dict[str, set[str]]:
    """The labels of each metric."""
    families = text_string_to_metric_families(exposition)
    labels: dict[str, set[str]] = {}
    for sample in (sample for family in families for sample in family.samples):
        labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def queries(dashboard: dict[str, Any]) -> list[str]:
    """Every query of the panels and of the variables."""
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return panels + [choice["definition"] for choice in dashboard["templating"]["list"]]


def test_every_queried_metric_is_exported(dashboard, exported_labels):
    names = {name for query in queries(dashboard) for name in re.findall(r"\bmaskwatch_\w+", query)}

    assert names <= exported_labels.keys()
    assert len(names) > 20


def test_every_queried_label_is_exported(dashboard, exported_labels):
    for query in queries(dashboard):
        known = ADDED_LABELS.union(*(exported_labels[name] for name in re.findall(r"\bmaskwatch_\w+", query)))
        chosen = set(re.findall(r'(\w+)=~?"', query))
        grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", query) for label in group.split(",")}

        assert chosen | grouped <= known, query


def test_panels_do_not_overlap_and_have_unique_ids(dashboard):
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


def test_the_dashboard_uses_the_data_source_chosen_on_import(dashboard):
    sources = {panel["datasource"]["uid"] for panel in dashboard["panels"] if "datasource" in panel}

    assert sources == {"${DS_PROMETHEUS}"}
    assert [needed["name"] for needed in dashboard["__inputs"]] == ["DS_PROMETHEUS"]


def test_time_series_panels_have_a_minimum_interval_of_four_scrapes(dashboard):
    over_time = [panel for panel in dashboard["panels"] if panel["type"] in {"timeseries", "state-timeline"}]

    assert {panel["interval"] for panel in over_time} <= {"1m", "5m"}
    assert "scrape_interval: 15s" in (GRAFANA / "README.md").read_text(encoding="utf-8")


def promtool(*arguments: str | Path, text: str = "") -> str:
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_metrics_follow_the_conventions_of_prometheus(exposition):
    assert promtool("check", "metrics", text=exposition) == ""


@pytest.mark.parametrize(
    ("figures", "shown"),
    [
        ({"maskwatch_healthy": 1, "maskwatch_broker_connected": 1}, (1, 1, 1, 0)),
        ({"up": 0}, (0, 0, 0, 1)),
        ({"maskwatch_healthy": 0}, (0, 0, 0, 0)),
        ({"maskwatch_healthy": 1, "maskwatch_degraded_reason": 1, "maskwatch_broker_connected": 0}, (1, 0, 0, 0)),
    ],
    ids=["well", "switched off", "a console without an agent", "degraded without a broker"],
)
def test_the_current_panels_are_right_for_a_dead_device_too(dashboard, tmp_path, figures, shown):
    """The panels must not show the values of another, healthy device."""
    another = {"maskwatch_healthy": 1, "maskwatch_broker_connected": 1}
    values = [
        {"series": f'{name}{{job="maskwatch",instance="{instance}"}}', "values": f"{value}x20"}
        for instance, of_instance in (("one", figures), ("another", another))
        for name, value in ({"up": 1} | of_instance).items()
    ]
    titles = ("Healthy", "Not degraded", "Broker connected", "Cameras away or devices down")
    panels = {panel["title"]: panel["targets"][0]["expr"] for panel in dashboard["panels"] if panel["title"] in titles}
    expected = [
        {
            "expr": panels[title].replace("$instance", ".*").replace("$camera", ".*"),
            "eval_time": "2m",
            "exp_samples": [{"labels": "{}", "value": value}],
        }
        for title, value in zip(titles, shown, strict=True)
    ]
    file = tmp_path / "panels.yaml"
    tests = [{"interval": "15s", "input_series": values, "promql_expr_test": expected}]
    file.write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": tests}))

    assert promtool("test", "rules", file) == ""


def test_the_alerting_rules_fire_when_they_should():
    assert promtool("check", "rules", PROMETHEUS / "maskwatch.rules.yaml") == ""
    assert promtool("test", "rules", PROMETHEUS / "maskwatch.rules.test.yaml") == ""


def test_the_alerting_rules_query_exported_metrics_and_are_tested(exported_labels):
    rules = yaml.safe_load((PROMETHEUS / "maskwatch.rules.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    names = {name for rule in rules for name in re.findall(r"\bmaskwatch_\w+", rule["expr"])}
    tests = (PROMETHEUS / "maskwatch.rules.test.yaml").read_text(encoding="utf-8")

    assert names <= exported_labels.keys()
    assert [rule["alert"] for rule in rules if f"alertname: {rule['alert']}\n        exp_alerts" not in tests] == []
