"""`edge-agent counts`: people by day, hour or camera, as a table, CSV and JSON."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime, timedelta, timezone

import pytest

from edge_agent.alerts.store import AlertStore
from edge_agent.cli import build_parser
from edge_agent.domain import Person
from edge_agent.errors import ConfigError

NOON = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)


@pytest.fixture
def counts(tmp_path, capsys):
    """Run the command on a store with four people and return its output."""
    with closing(AlertStore(tmp_path / "alerts.sqlite", boot_id="boot")) as store:
        for person in (
            Person("door", "with_mask", False, NOON),
            Person("door", "without_mask", True, NOON),
            Person("door", "with_mask", False, NOON + timedelta(days=10)),
            Person("back", "undecided", False, NOON),
        ):
            store.count_person(person)

    def run(*arguments: str) -> str:
        options = build_parser(["counts"]).parse_args(["counts", "--set", f"state_dir={tmp_path}", *arguments])
        assert options.action(options) == 0
        printed: str = capsys.readouterr().out
        return printed

    return run


def test_the_period_and_the_camera_are_chosen(counts):
    rows = [json.loads(line) for line in counts("--since", "2026-03-01", "--by", "camera", "--json").splitlines()]
    assert [(row["camera"], row["people"], row["compliance"]) for row in rows] == [
        ("back", 1, None),
        ("door", 3, 0.6667),
    ]

    one_day = json.loads(counts("--since", "2026-03-02", "--until", "2026-03-02", "--camera", "door", "--json"))
    assert (one_day["people"], one_day["changed"]) == (2, 1)


def test_csv_and_a_table_hold_the_same_people(counts):
    csv = counts("--since", "2026-03-01", "--camera", "door", "--csv").splitlines()
    table = counts("--since", "2026-03-01", "--camera", "door").splitlines()

    assert csv[0] == "day,people,with_mask,without_mask,mask_worn_incorrectly,undecided,changed,compliance"
    assert [line.split(",")[1] for line in csv[1:]] == [line.split()[1] for line in table[1:]] == ["2", "1"]


def test_the_default_period_ends_today(counts):
    assert counts("--csv").splitlines()[1:] == []


@pytest.mark.parametrize(("until", "people"), [("2026-03-02", "3"), ("2026-03-31", "3"), ("2026-04-01", None)])
def test_the_default_period_has_30_days_up_to_the_last(counts, until, people):
    days = {line.split(",")[0]: line.split(",")[1] for line in counts("--until", until, "--csv").splitlines()}

    assert days.get("2026-03-02") == people


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-31", "9999-12-31", "2026-02-30", "yesterday"])
def test_a_day_out_of_range_is_rejected(counts, day):
    for option in ("--since", "--until"):
        with pytest.raises(SystemExit):
            counts(option, day)


def test_a_period_that_ends_before_it_begins_is_rejected(counts):
    with pytest.raises(ConfigError, match=r"--since .* --until "):
        counts("--since", "2026-03-03", "--until", "2026-03-02", "--csv")
