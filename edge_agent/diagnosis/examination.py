"""Examination: the order of all checks, and the fix of each."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_agent.config.load import default_file, load_config
from edge_agent.config.model import is_loopback, shipped
from edge_agent.diagnosis.certificates import check_certificates
from edge_agent.diagnosis.checks import checks_of
from edge_agent.diagnosis.device import check_device
from edge_agent.diagnosis.exposure import check_exposure
from edge_agent.diagnosis.finding import Finding, worst_first
from edge_agent.diagnosis.groups import agent_user, check_gpio_chips, check_groups, user_name
from edge_agent.diagnosis.service import check_service, query_systemd, with_state_of
from edge_agent.diagnosis.system import System, read_system
from edge_agent.errors import AgentError, ConfigError
from edge_agent.host.stats import HostState, HostStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from edge_agent.config.model import Config, ConsoleConfig

# Commands that show whether a camera is available, for sources that are programs: see docs/cameras.md.
PROGRAMS = {
    "rpicam": "rpicam-hello --list-cameras",
    "picamera2": "rpicam-hello --list-cameras",
    "pipe": "run the command after 'pipe:' manually to see its error",
    "jetson-csi": "sudo systemctl restart nvargus-daemon",
}
CREDENTIALS = "/run/credentials/"


@dataclass(frozen=True, slots=True)
class Examination:
    """All findings by severity; `config` and `machine` are None without a valid configuration."""

    findings: Sequence[Finding]
    system: System
    config: Config | None
    machine: HostState | None


def examine(
    file: Path | None,
    *,
    overrides: Sequence[str],
    now: datetime,
    root: Path = Path("/"),
    progress: Callable[[str], None] = lambda _name: None,
) -> Examination:
    """Run all checks, also after a failure; `progress` gets the name of the next check."""
    system = read_system(root=root)
    service = query_systemd()
    file = file or default_file()
    try:
        config = with_state_of(service, load_config(file, overrides=overrides))
    except ConfigError as error:
        # All other checks depend on it, except the state of the systemd unit.
        findings = [
            Finding("configuration", "wrong", str(error), _fix_configuration(file, str(error)), error.exit_code),
            *check_service(service),
        ]
        return Examination(worst_first(findings), system, None, None)
    machine = HostStats(config.state, root=root).read()
    findings = [Finding("configuration", "ok", str(file or "the defaults"))]
    findings += run_checks(config, progress)
    findings += check_groups(config, agent_user(service), root=root)
    findings += check_gpio_chips(config, service, root=root)
    findings += check_certificates(config, now=now)
    findings += check_exposure(config, file=file)
    findings += check_device(config, system, machine)
    findings += check_service(service)
    return Examination(worst_first(findings), system, config, machine)


def run_checks(config: Config, progress: Callable[[str], None] = lambda _name: None) -> Iterator[Finding]:
    """Run the checks of everything that the agent needs to start, each when its finding is asked for."""
    for name, check in checks_of(config):
        progress(name)
        try:
            found = check()
            yield found if isinstance(found, Finding) else Finding(name, "ok", found)
        except AgentError as error:
            fix = _as_root(str(error)) or error.fix or _fix(name, error, config)
            yield Finding(name, "wrong", str(error), fix, error.exit_code)
        except OSError as error:
            # A folder may not be accessible to the current user; the other checks still run.
            yield Finding(name, "wrong", str(error), _as_root(str(error)) or _fix(name, error, config))


def _as_root(message: str) -> str:
    """The command that repeats the examination as root, where that reveals more."""
    return "sudo edge-agent doctor" if "Permission denied" in message and os.geteuid() != 0 else ""


def _fix(name: str, error: Exception, config: Config) -> str:  # noqa: C901, PLR0911  (one for each part)
    """The command for a check whose error names none; its message describes the fix in words."""
    if name.startswith("webhook "):
        return _fix_webhook(name.removeprefix("webhook "), error, config)
    if name.startswith("camera "):
        return _fix_camera(config.cameras[name.removeprefix("camera ")].source)
    match name:
        case "masks" | "faces":
            folder = config.mask_model.parent if name == "masks" else config.faces.card.parent
            return _reinstall() if folder == shipped("models") else "edge-agent models"
        case "runtime":
            return f"{sys.executable} -m pip install ai-edge-litert"
        case "outbox" | "crops" | "history":
            folder = config.crops_folder if name == "crops" else config.state
            return f"sudo mkdir -p {folder} && sudo chown -R {user_name()} {folder}"
        case "console":
            return _fix_console(config.console, str(error))
        case "signals":
            return "gpioinfo"
        case "rollout":
            return f"curl -I {config.rollout.url}/metadata/timestamp.json"
        case _:
            return _fix_broker(config, str(error))


def _fix_configuration(file: Path | None, message: str) -> str:
    return _as_root(message) or (f"sudoedit {file}" if file else "correct the --set options")


def _fix_camera(source: str) -> str:
    name = source.partition(":")[0].strip()
    if name in PROGRAMS:
        return PROGRAMS[name]
    if name == "ffmpeg":
        # The last word is the input: an address, a device or a file.
        source = shlex.split(source)[-1]
    if "://" in source:
        return f"ping -c 3 {_host_of(source)}"
    if source.startswith("/dev/"):
        return "v4l2-ctl --list-devices"
    return f"ls -l {shlex.quote(source)}"


def _fix_webhook(name: str, error: Exception, config: Config) -> str:
    webhook = next(one for one in config.webhooks if one.name == name)
    if isinstance(error, ConfigError):
        return f"echo whsec_$(openssl rand -base64 32) | sudo tee {webhook.secret_file}"
    return f"getent ahosts {urlsplit(webhook.url).hostname}"


def _fix_console(console: ConsoleConfig, message: str) -> str:
    if CREDENTIALS in message:
        # As with the broker's password below.
        return "sudo systemctl start maskwatch-console"
    for key, file in (("password_file", console.password_file), ("token_file", console.token_file)):
        if f"console.{key}" in message:
            return f"openssl rand -hex 16 | sudo tee {file}"
    if "certificate" in message:
        return f"openssl x509 -in {console.cert_file} -noout -text"
    return f"ss -tlnp 'sport = :{console.port}'"


def _fix_broker(config: Config, message: str) -> str:
    mqtt = config.mqtt
    if CREDENTIALS in message:
        # systemd provides them only while the service runs, and only to its user.
        return "sudo systemctl start edge-agent"
    if "password" in message and mqtt.password_file is not None:
        return f"sudoedit {mqtt.password_file}"
    if "certificate" in message and mqtt.ca_file is not None:
        return f"openssl s_client -connect {mqtt.host}:{mqtt.port} -CAfile {mqtt.ca_file} </dev/null"
    if is_loopback(mqtt.host):
        return "sudo systemctl enable --now mosquitto"
    return f"ping -c 3 {mqtt.host}"


def _reinstall() -> str:
    """Reinstall with the package manager that installed the agent."""
    if Path(sys.prefix).is_relative_to("/opt/maskwatch"):
        return "sudo apt-get install --reinstall ./maskwatch_*.deb"
    return f"{sys.executable} -m pip install --force-reinstall --no-deps maskwatch"


def _host_of(source: str) -> str:
    """The host in an address, also after a prefix such as `ffmpeg:`."""
    try:
        return urlsplit(source.rsplit(maxsplit=1)[-1]).hostname or "HOST"
    except ValueError:
        return "HOST"
