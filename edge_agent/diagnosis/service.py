"""Service checks: whether systemd keeps the agent running, and where its state is."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.diagnosis.finding import Finding
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.config.model import Config

UNIT = "edge-agent.service"
STATE_FOLDERS = Path("/var/lib")
"""Parent of StateDirectory= for system services."""
ANSWER_SECONDS = 10.0
PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "Result",
    "ExecMainStatus",
    "NRestarts",
    "StateDirectory",
    "StatusText",
    "User",
    "SupplementaryGroups",
    "DevicePolicy",
    "DeviceAllow",
)


@dataclass(frozen=True, slots=True)
class Service:
    """The unit's properties in systemd."""

    load: str
    active: str
    enabled: str
    result: str
    exit_code: int
    restarts: int
    state_directory: str
    status: str
    user: str
    groups: str
    devices: tuple[str, ...] | None = None
    """Allowed device classes and files, such as `char-gpiochip`; None: all."""


def ask_systemd(unit: str = UNIT) -> Service | None:
    """Query the properties of a unit; None if it is not installed, or systemd is not running."""
    answer = _answer_of("systemctl", "show", unit, f"--property={','.join(PROPERTIES)}")
    lines = [(name, value) for name, found, value in (line.partition("=") for line in answer.splitlines()) if found]
    properties = dict(lines)
    # One line per device.
    devices = tuple(value.split()[0] for name, value in lines if name == "DeviceAllow" and value)
    if properties.get("LoadState", "not-found") == "not-found":
        return None
    return Service(
        load=properties["LoadState"],
        active=properties.get("ActiveState", ""),
        enabled=properties.get("UnitFileState", ""),
        result=properties.get("Result", ""),
        exit_code=_whole(properties.get("ExecMainStatus", "")),
        restarts=_whole(properties.get("NRestarts", "")),
        state_directory=properties.get("StateDirectory", ""),
        status=properties.get("StatusText", ""),
        user=properties.get("User", ""),
        groups=properties.get("SupplementaryGroups", ""),
        devices=devices if devices or properties.get("DevicePolicy", "auto") != "auto" else None,
    )


def last_journal_lines(count: int) -> str:
    """The last log lines of the service; empty if there is no journal or this user may not read it."""
    return _answer_of("journalctl", "--unit", UNIT, "--lines", str(count), "--no-pager", "--output", "short-iso")


def with_state_of(service: Service | None, config: Config) -> Config:
    """The configuration with the service's state folder, unless one is set by configuration or environment."""
    if service is None or not service.state_directory or config.state_dir or os.environ.get("STATE_DIRECTORY"):
        return config
    return config.model_copy(update={"state_dir": STATE_FOLDERS / service.state_directory.split()[0]})


def look_at_service(service: Service | None) -> Iterator[Finding]:
    """Check the state of the unit; no finding without a unit, as an agent may be started manually."""
    if service is None:
        return
    if service.load != "loaded":
        yield Finding(
            "service",
            "wrong",
            f"{UNIT}: systemd cannot load it ({service.load})",
            f"systemd-analyze verify {UNIT}",
            ConfigError.exit_code,
        )
        return
    yield _state(service)
    if service.enabled == "disabled":
        yield Finding("service at boot", "warning", f"{UNIT}: not enabled at boot", f"sudo systemctl enable {UNIT}")
    if service.restarts:
        yield Finding(
            "service restarts",
            "warning",
            f"{UNIT}: was restarted {service.restarts} times since it was started (last result: {service.result})",
            f"sudo journalctl -u {UNIT} -n 100",
        )


def _state(service: Service) -> Finding:
    status = f": {service.status}" if service.status else ""
    match service.active:
        case "active" | "reloading":
            return Finding("service", "ok", f"{UNIT}: {service.active}{status}")
        case "activating":
            message = f"{UNIT}: starting, waiting for the first frame{status}"
            return Finding("service", "warning", message, f"systemctl status {UNIT}")
        case "failed" if service.exit_code == ConfigError.exit_code:
            message = f"{UNIT}: stopped; the configuration or model must be fixed first (exit status 78)"
            return Finding("service", "wrong", message, f"sudo systemctl restart {UNIT}", ConfigError.exit_code)
        case "failed":
            message = f"{UNIT}: failed ({service.result}, exit status {service.exit_code})"
            return Finding("service", "wrong", message, f"sudo journalctl -u {UNIT} -n 50", ConfigError.exit_code)
        case _:
            message = f"{UNIT}: installed and {service.active or 'in an unknown state'}"
            return Finding("service", "wrong", message, f"sudo systemctl start {UNIT}", ConfigError.exit_code)


def _answer_of(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  (the words are ours)
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0
