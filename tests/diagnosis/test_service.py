"""Service checks: properties of the unit, with a fake systemctl."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config.model import Config
from edge_agent.diagnosis.service import check_service, last_journal_lines, query_systemd, with_state_of

RUNNING = {
    "LoadState": "loaded", "ActiveState": "active", "SubState": "running", "UnitFileState": "enabled",
    "Result": "success", "ExecMainStatus": "0", "NRestarts": "0", "StateDirectory": "maskwatch",
    "StatusText": "watching 1 camera",
}  # fmt: skip


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """Function that installs a fake systemctl, which prints these properties."""

    def install(**properties: str) -> None:
        said = "\n".join(f"{key}={value}" for key, value in {**RUNNING, **properties}.items())
        a_program(tmp_path, "systemctl", f"cat <<'END'\n{said}\nEND\n")
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return install


def a_program(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)


def test_a_running_service_is_ok_with_its_status(systemctl):
    systemctl()

    (finding,) = check_service(query_systemd())

    assert (finding.severity, finding.message) == ("ok", "edge-agent.service: active: watching 1 camera")


@pytest.mark.parametrize(
    ("properties", "severity", "fix"),
    [
        ({"ActiveState": "failed", "ExecMainStatus": "78"}, "wrong", "sudo systemctl restart"),
        ({"ActiveState": "failed", "Result": "watchdog", "ExecMainStatus": "6"}, "wrong", "journalctl"),
        ({"ActiveState": "inactive"}, "wrong", "sudo systemctl start"),
        ({"ActiveState": "activating"}, "warning", "systemctl status"),
        ({"LoadState": "bad-setting"}, "wrong", "systemd-analyze verify"),
    ],
)
def test_a_stopped_service_has_a_reason_and_a_fix(systemctl, properties, severity, fix):
    systemctl(**properties)

    (finding,) = check_service(query_systemd())

    assert finding.severity == severity
    assert fix in finding.fix


def test_restarts_and_a_disabled_unit_are_warnings(systemctl):
    systemctl(NRestarts="7", UnitFileState="disabled")

    _, at_boot, restarts = check_service(query_systemd())

    assert at_boot.fix == "sudo systemctl enable edge-agent.service"
    assert "7 times" in restarts.message


def test_without_the_unit_or_systemd_there_is_no_finding(systemctl, tmp_path, monkeypatch):
    systemctl(LoadState="not-found")
    assert list(check_service(query_systemd())) == []

    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert query_systemd() is None
    assert last_journal_lines(10) == ""


def test_the_state_is_that_of_the_service(systemctl, tmp_path, monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    systemctl()

    assert with_state_of(query_systemd(), Config()).state == Path("/var/lib/maskwatch")
    assert with_state_of(query_systemd(), Config(state_dir=tmp_path)).state == tmp_path
    assert with_state_of(None, Config()) == Config()
