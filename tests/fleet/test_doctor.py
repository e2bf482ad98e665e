"""The fleet's doctor: problems of roll-outs, certificates and the database, one sentence each."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fleet.config import FleetConfig
from fleet.doctor import examine
from fleet.rollout.inspection import check_repository, check_stages
from tests.fleet.authority import Authority

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import psycopg

    from fleet.finding import Finding
    from tests.fleet.repository import Fleet


@pytest.fixture
def fleet(fleet: Fleet) -> Fleet:
    fleet.assign_signed("model-1")
    return fleet


def config_of(fleet: Fleet, **keys: object) -> FleetConfig:
    rollout = {"repository": str(fleet.repository.folder), "url": fleet.server.url}
    return FleetConfig.model_validate({"rollout": rollout, **keys})


def repository(fleet: Fleet, *, when: datetime | None = None) -> list[Finding]:
    return list(check_repository(config_of(fleet), when or fleet.now))


def problems(found: list[Finding]) -> list[tuple[str, str]]:
    """State and first word of each finding that is not ok."""
    return [(one.state, one.text.split()[0]) for one in found if one.state != "ok"]


def test_a_valid_and_served_repository_is_ok(fleet: Fleet):
    found = repository(fleet)

    assert [one.text.split()[0] for one in found] == [
        "root",
        "targets",
        "stages",
        "snapshot",
        "timestamp",
        fleet.server.url,
    ]
    assert problems(found) == []


def test_without_a_rollout_there_is_no_finding():
    assert list(check_repository(FleetConfig(), None)) == list(check_stages(FleetConfig(), None)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (2, [("warning", "stages"), ("warning", "snapshot"), ("warning", "timestamp")]),
        (4, [("failed", "stages"), ("failed", "snapshot"), ("failed", "timestamp")]),
    ],
)
def test_metadata_that_the_server_does_not_renew_is_reported(fleet: Fleet, days: int, expected: list[tuple[str, str]]):
    assert problems(repository(fleet, when=fleet.now + timedelta(days=days))) == expected


@pytest.mark.parametrize(("days", "state"), [(340, "warning"), (366, "failed")])
def test_metadata_to_be_signed_again_is_reported(fleet: Fleet, days: int, state: str):
    later = fleet.now + timedelta(days=days)
    fleet.repository.renew(fleet.signer("online"), when=later)

    assert problems(repository(fleet, when=later)) == [(state, "root"), (state, "targets")]


def test_staged_files_that_are_not_served_are_reported(fleet: Fleet):
    fleet.assign("model-2")

    assert problems(repository(fleet)) == [("warning", "targets")]


@pytest.mark.parametrize(
    ("answer", "word"), [(b"<!doctype html><title>Welcome</title>", "HTML"), (b"{}", "another"), (None, "404")]
)
def test_a_web_server_that_serves_something_else_is_named(fleet: Fleet, answer: bytes | None, word: str):
    if answer is None:
        fleet.server.folder = fleet.folder / "nothing"
    fleet.server.answer = lambda _: answer

    found = repository(fleet)[-1]

    assert found.state == "failed"
    assert word in found.text


def test_an_unreachable_web_server_is_named(fleet: Fleet):
    config = config_of(fleet)
    away = config.model_copy(update={"rollout": config.rollout.model_copy(update={"url": "http://127.0.0.1:9"})})

    assert [one.state for one in check_repository(away, fleet.now)][-1] == "failed"


def test_the_state_of_each_roll_out_is_reported(fleet: Fleet, conninfo: str, connection: psycopg.Connection):
    config = config_of(fleet, database={"conninfo": conninfo})

    def stage() -> tuple[str, str]:
        (found,) = check_stages(config, fleet.now)
        return found.state, found.text

    assert stage()[0] == "ok"

    telemetry = {"rollout": {"group": "default", "number": 1, "model": "model-1", "state": "rejected"}}
    connection.execute(
        "insert into devices (device, site, telemetry, telemetry_received) values ('hall-1', 'hall', %s, now())",
        [json.dumps(telemetry)],
    )
    progress = fleet.repository.stages().groups["default"]
    stopped = progress.model_copy(update={"is_paused": True, "reason": "many reject it"})
    fleet.advance(stopped)

    state, text = stage()
    assert state == "warning"
    assert "rejected by 1" in text
    assert "many reject it" in text


def test_an_expired_certificate_is_named(tmp_path: Path, fleet: Fleet):
    authority = Authority(tmp_path / "certificates")
    authority.device("worker", valid=-timedelta(days=1))
    files = {
        name: str(authority.folder / f"worker.{kind}") for name, kind in (("cert_file", "pem"), ("key_file", "key"))
    }
    config = FleetConfig.model_validate({"broker": {"tls": True, "ca_file": str(authority.folder / "ca.pem"), **files}})

    found = {one.text.partition(":")[0]: one for one in examine(config, when=fleet.now) if one.what == "certificates"}

    assert (found["broker.cert_file"].state, found["broker.ca_file"].state) == ("failed", "warning")
    assert "expired" in found["broker.cert_file"].text


def test_a_database_of_a_newer_schema_is_named(conninfo: str, connection: psycopg.Connection, fleet: Fleet):
    connection.execute("insert into schema_version values (99)")
    config = FleetConfig.model_validate(
        {"database": {"conninfo": conninfo}, "broker": {"hosts": ["127.0.0.1"], "management_port": 9}}
    )

    found = {one.what: one for one in examine(config, when=fleet.now)}

    assert found["database"].state == "failed"
    assert "schema 99" in found["database"].text


def test_the_doctor_needs_no_database_administrator(conninfo: str, connection: psycopg.Connection, fleet: Fleet):
    connection.execute("create role plain login")
    connection.execute("grant usage on schema maskwatch to plain")
    connection.execute("grant select on all tables in schema maskwatch to plain")
    config = FleetConfig.model_validate(
        {"database": {"conninfo": conninfo.replace("user=fleet", "user=plain")}, "broker": {"management_port": 9}}
    )

    found = [one.state for one in examine(config, when=fleet.now) if one.what == "database"]

    connection.execute("drop owned by plain")
    connection.execute("drop role plain")
    assert found
    assert "failed" not in found
