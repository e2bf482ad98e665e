"""docs/console.md, metrics.md and reverse-proxy.md list every metric, path and key with its actual value."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from edge_agent.bridge import protocol
from edge_agent.bridge import server as bridge
from edge_agent.bridge.protocol import MetricsReply
from edge_agent.config.model import ConsoleConfig
from edge_agent.config.secrets import MIN_CHARACTERS
from edge_agent.console import connection_limits, limits, live, server, sessions, uploads
from edge_agent.console.prometheus import metrics_text
from edge_agent.metrics import Metrics
from tests.values import VERSIONS, a_machine, a_status, on_machine

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = "\n".join(
    (DOCS / page).read_text(encoding="utf-8") for page in ("console.md", "metrics.md", "reverse-proxy.md")
)
SUFFIX = {"counter": "_total", "info": "_info"}


def test_the_table_lists_every_metric_with_its_labels_and_no_other():
    status = on_machine(a_status(), a_machine(memory_available_bytes=1))
    metrics = Metrics(["door"])
    reply = MetricsReply(cameras=metrics.cameras, stages=metrics.stages, versions=VERSIONS)
    text = metrics_text((status, reply), viewers=0, encoded=0).decode()
    exported = {
        family.name + SUFFIX.get(family.type, ""): {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in text_string_to_metric_families(text)
    }

    rows = re.findall(r"^\| (`maskwatch_[^|]+)\|([^|]*)\|", DOCUMENT, re.MULTILINE)
    documented = {
        name: {label.strip() for label in labels.split(",")} - {""}
        for names, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert documented == exported


def test_every_path_of_the_api_has_an_example(client):
    paths = client.get("/openapi.json").json()["paths"]
    # Examples contain real values: $D/alerts/01a1fa24-.../crop.
    shown = re.sub(r"/alerts/01a1[-0-9a-f.]*", "/alerts/{alert_id}", DOCUMENT)
    shown = shown.replace("/cameras/entrance/", "/cameras/{name}/").replace("/commands/pause", "/commands/{name}")

    assert [path for path in paths if path.removeprefix("/api/v1") not in shown] == []


def test_the_documented_limits_are_those_of_the_code():
    text = " ".join(DOCUMENT.split())
    for number in (
        f"{MIN_CHARACTERS} characters",
        f"at most {live.MAX_FPS} a second",
        f"`max_viewers` + {server.OTHER_CONNECTIONS}",
        f"longer than {connection_limits.HEAD_SECONDS:.0f} s",
        f"for {connection_limits.BODY_SILENCE_SECONDS:.0f} s in a body ({connection_limits.BODY_SECONDS:.0f} s",
        f"of a response for {connection_limits.UNREAD_SECONDS:.0f} s",
        f"a ping within {server.PING_SECONDS + server.PONG_SECONDS:.0f} s",
        f"after {sessions.IDLE_SECONDS / 3600:.0f} hours",
        f"after {sessions.MAX_AGE_SECONDS / 86_400:.0f} days",
        f"up to {limits.MAX_PAUSE_SECONDS / 60:.0f} minutes",
        f"{limits.FAILURES_OF_ALL:.0f} failures at once and then one in {limits.ONE_MORE_SECONDS:.0f} s",
        f"replies beyond {bridge.MAX_REPLIES}",
        f"{protocol.MAX_REQUEST_BYTES // 1024} KB",
        f"queued commands to {bridge.MAX_COMMANDS}",
    ):
        assert number in text, number
    assert connection_limits.HANDSHAKE_SECONDS == connection_limits.HEAD_SECONDS
    assert limits.FREE_FAILURES == uploads.MAX_HELD == 3, "'after three failures', 'three pictures'"


def test_the_documented_priority_is_that_of_the_unit():
    unit = (DOCS.parent / "deploy" / "maskwatch-console.service").read_text(encoding="utf-8")
    for line in ("CPUWeight=3", "Nice=19"):
        assert f"\n{line}\n" in unit
        assert f"`{line}`" in DOCUMENT
    assert "`nice -n 19`" in DOCUMENT


def test_every_key_of_the_section_is_named():
    assert [key for key in ConsoleConfig.model_fields if key not in DOCUMENT] == []
