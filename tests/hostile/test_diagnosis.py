"""Diagnosis changes nothing: files created by root in the state would be inaccessible to the agent."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress

import pytest

from edge_agent.alerts.store import AlertStore
from edge_agent.config.model import Config
from edge_agent.diagnosis.checks import checks_of
from edge_agent.errors import AgentError, UnavailableError
from tests.journeys.agent import run_command
from tests.mosquitto import free_port
from tests.mqtt.samples import BOOT_ID, put

SERVICE_USER = 12_345
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that is another user's")


def everything_in(folder):
    """Every path below a folder, with owner, mode, modification time and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        content = path.read_bytes() if path.is_file() else b""
        found[path.relative_to(folder)] = (status.st_uid, status.st_mode, status.st_mtime_ns, content)
    return found


def settings(folder):
    return [
        "--set", f"state_dir={folder / 'state'}", "--set", "cameras={door: {source: nowhere.mp4}}",
        "--set", f"mqtt.port={free_port()}",
    ]  # fmt: skip


@pytest.mark.parametrize("command", [("doctor",), ("outbox", "--purge", "alert", "--yes")], ids=" ".join)
def test_a_diagnosis_before_the_first_alert_creates_nothing(tmp_path, command):
    (tmp_path / "state").mkdir()

    done = run_command(*command, *settings(tmp_path))

    assert "Traceback" not in done.stderr
    assert list(tmp_path.rglob("*")) == [tmp_path / "state"]


@pytest.mark.parametrize("command", [("doctor", "--quick"), ("outbox", "--messages"), ("models",)], ids=" ".join)
def test_a_diagnosis_of_a_store_at_rest_changes_nothing(tmp_path, command):
    with closing(AlertStore(tmp_path / "state" / "alerts.sqlite", boot_id=BOOT_ID)) as store:
        put(store)
    before = everything_in(tmp_path)

    run_command(*command, *settings(tmp_path))

    assert everything_in(tmp_path) == before


def test_a_damaged_store_is_reported_and_left_to_the_agent(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "alerts.sqlite").write_bytes(b"this is no database " * 500)
    before = everything_in(tmp_path)

    config = Config.model_validate({"state_dir": str(tmp_path / "state")})
    checks = {check.name: check.run for check in checks_of(config)}
    with pytest.raises(UnavailableError):
        checks["outbox"]()
    with suppress(AgentError, sqlite3.Error):
        checks["history"]()

    assert everything_in(tmp_path) == before


@AS_ROOT
def test_a_crop_folder_owned_by_root_is_found(tmp_path):
    state = tmp_path / "state"
    (state / "crops").mkdir(parents=True)
    os.chown(state, SERVICE_USER, SERVICE_USER)
    config = Config.model_validate({"state_dir": str(state)})

    crops = next(check for check in checks_of(config) if check.name == "crops")
    with pytest.raises(UnavailableError, match="belongs to root"):
        crops.run()

    os.chown(state / "crops", SERVICE_USER, SERVICE_USER)
    assert "another user" in str(crops.run())
