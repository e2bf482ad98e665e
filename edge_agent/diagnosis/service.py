"""Service checks: whether systemd keeps the agent running, and where its state is."""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from edge_agent.diagnosis.finding import Finding
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.config.model import Config

UNIT = "edge-agent.service"
STATE_FOLDERS = Path("/var/lib")
"""Parent of StateDirectory= for system services."""
ANSWER_SECONDS = 10.0

Service: TypeAlias = "dict[str, str]"
"""The unit's properties by systemd's names. One that is given several times, such as DeviceAllow, has several lines."""


def query_systemd(unit: str = UNIT) -> Service | None:
    """Query the properties of a unit; None if it is not installed, or systemd is not running."""
    service: defaultdict[str, str] = defaultdict(str)
    for line in _answer_of("systemctl", "show", unit).splitlines():
        name, _, value = line.partition("=")
        service[name] = f"{service[name]}\n{value}".strip()
    return None if service["LoadState"] in ("", "not-found") else service


def last_journal_lines(count: int) -> str:
    """The last log lines of the service; empty if there is no journal or this user may not read it."""
    return _answer_of("journalctl", "--unit", UNIT, "--lines", str(count), "--no-pager", "--output", "short-iso")


def with_state_of(service: Service | None, config: Config) -> Config:
    """The configuration with the service's state folder, unless one is set by configuration or environment."""
    if service is None or not service["StateDirectory"] or config.state_dir or os.environ.get("STATE_DIRECTORY"):
        return config
    return config.model_copy(update={"state_dir": STATE_FOLDERS / service["StateDirectory"].split()[0]})


def check_service(service: Service | None) -> Iterator[Finding]:
    """Check the state of the unit; no finding without a unit, as an agent may be started manually."""
    if service is None:
        return
    if service["LoadState"] != "loaded":
        yield Finding(
            "service",
            "wrong",
            f"{UNIT}: systemd cannot load it ({service['LoadState']})",
            f"systemd-analyze verify {UNIT}",
            ConfigError.exit_code,
        )
        return
    yield _state(service)
    if service["UnitFileState"] == "disabled":
        yield Finding("service at boot", "warning", f"{UNIT}: not enabled at boot", f"sudo systemctl enable {UNIT}")
    if service["NRestarts"] not in ("", "0"):
        yield Finding(
            "service restarts",
            "warning",
            f"{UNIT}: was restarted {service['NRestarts']} times since it was started "
            f"(last result: {service['Result']})",
            f"sudo journalctl -u {UNIT} -n 100",
        )


def _state(service: Service) -> Finding:
    status = f": {service['StatusText']}" if service["StatusText"] else ""
    exit_code = service["ExecMainStatus"]
    match service["ActiveState"]:
        case "active" | "reloading" as active:
            return Finding("service", "ok", f"{UNIT}: {active}{status}")
        case "activating":
            message = f"{UNIT}: starting, waiting for the first frame{status}"
            return Finding("service", "warning", message, f"systemctl status {UNIT}")
        case "failed" if exit_code == str(ConfigError.exit_code):
            message = f"{UNIT}: stopped; the configuration or model must be fixed first (exit status 78)"
            return Finding("service", "wrong", message, f"sudo systemctl restart {UNIT}", ConfigError.exit_code)
        case "failed":
            message = f"{UNIT}: failed ({service['Result']}, exit status {exit_code})"
            return Finding("service", "wrong", message, f"sudo journalctl -u {UNIT} -n 50", ConfigError.exit_code)
        case active:
            message = f"{UNIT}: installed and {active or 'in an unknown state'}"
            return Finding("service", "wrong", message, f"sudo systemctl start {UNIT}", ConfigError.exit_code)


def _answer_of(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  (the words are ours)
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
