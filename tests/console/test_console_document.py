"""docs/console.md says what there is: every figure, every path, and the limits by their true numbers."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from edge_agent.config import ConsoleConfig
from edge_agent.console import LEAST_CHARACTERS, door, limits, live, server, sessions, uploads
from edge_agent.console.figures import Figures
from tests.console.served import OVERVIEW, VERSIONS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "console.md").read_text(encoding="utf-8")
SUFFIX = {"counter": "_total", "info": "_info"}


def test_every_figure_is_in_the_table_with_its_labels_and_no_other():
    machine = {"temperature_celsius": 50.0, "memory_bytes": 1, "memory_available_bytes": 1, "disk_free_bytes": 1}
    overview = {**OVERVIEW, "telemetry": {**OVERVIEW["telemetry"], "machine": machine}}
    text = Figures(["door"], versions=VERSIONS).text(overview, viewers=0, encoded=0).decode()
    told = {
        family.name + SUFFIX.get(family.type, ""): {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in text_string_to_metric_families(text)
    }

    rows = re.findall(r"^\| (`maskwatch_[^|]+)\|([^|]*)\|", DOCUMENT, re.MULTILINE)
    said = {
        name: {label.strip() for label in labels.split(",")} - {""}
        for names, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert said == told


def test_every_path_of_the_api_is_shown(ask):
    paths = ask.get("/openapi.json").json()["paths"]
    # As in the examples: $D/alerts/01a1fa24-.../crop.
    shown = re.sub(r"/alerts/01a1[-0-9a-f.]*", "/alerts/{alert_id}", DOCUMENT)
    shown = shown.replace("/cameras/entrance/", "/cameras/{name}/").replace("/commands/pause", "/commands/{name}")

    assert [path for path in paths if path.removeprefix("/api/v1") not in shown] == []


def test_the_numbers_are_the_true_ones():
    for sentence in (
        f"{LEAST_CHARACTERS} characters at least",
        f"another try every {server.AGAIN_SECONDS:.0f} s",
        f"at most {live.MOST_PER_SECOND} a second",
        f"At most `viewers` + {server.MOST_BESIDE_VIEWERS}",
        f"longer than {door.HEAD_SECONDS:.0f} s for a\nhandshake or a header",
        f"pauses for {door.BODY_SILENCE_SECONDS:.0f} s in a body ({door.BODY_SECONDS:.0f} s in all)",
        f"reads nothing of an answer for {door.UNREAD_SECONDS:.0f} s",
        f"closed\nafter {server.PING_SECONDS + server.PONG_SECONDS:.0f} s without an answer",
        f"after {sessions.IDLE_SECONDS / 3600:.0f} hours without a request",
        f"after {sessions.LONGEST_SECONDS / 86_400:.0f} days in any case",
        f"up to {limits.LONGEST_PAUSE_SECONDS / 60:.0f} minutes",
        f"make {limits.MISTAKES_OF_ALL:.0f} mistakes at once and then one in {limits.ONE_MORE_SECONDS:.0f} s",
    ):
        assert sentence in DOCUMENT, sentence
    assert door.HANDSHAKE_SECONDS == door.HEAD_SECONDS
    assert limits.FREE_MISTAKES == uploads.MOST_HELD == 3, "'after three mistakes', 'three pictures'"


def test_every_key_of_the_section_is_named():
    assert [key for key in ConsoleConfig.model_fields if key not in DOCUMENT] == []
