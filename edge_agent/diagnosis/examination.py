"""Examination: the order of all checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.config.load import default_file, load_config
from edge_agent.diagnosis.certificates import check_certificates
from edge_agent.diagnosis.checks import run_checks
from edge_agent.diagnosis.device import check_device
from edge_agent.diagnosis.exposure import check_exposure
from edge_agent.diagnosis.finding import Finding, worst_first
from edge_agent.diagnosis.fixes import fix_configuration
from edge_agent.diagnosis.groups import agent_user, check_gpio_chips, check_groups
from edge_agent.diagnosis.service import check_service, query_systemd, with_state_of
from edge_agent.diagnosis.system import System, read_system
from edge_agent.errors import ConfigError
from edge_agent.host.stats import HostStats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from edge_agent.config.model import Config
    from edge_agent.diagnosis.service import Service
    from edge_agent.messages.telemetry import MachineFigures


@dataclass(frozen=True, slots=True)
class Examination:
    """All findings by severity; `config` and `machine` are None without a valid configuration."""

    findings: Sequence[Finding]
    system: System
    config: Config | None
    machine: MachineFigures | None


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
    config, found = check_configuration(file, overrides, service)
    if config is None:
        # All other checks depend on it, except the state of the systemd unit.
        return Examination(worst_first([found, *check_service(service)]), system, None, None)
    machine = HostStats(config.state, root=root).read()
    findings = [found, *run_checks(config, progress)]
    findings += check_groups(config, agent_user(service), root=root)
    findings += check_gpio_chips(config, service, root=root)
    findings += check_certificates(config, now=now)
    findings += check_exposure(config, file=file or default_file())
    findings += check_device(config, system, machine)
    findings += check_service(service)
    return Examination(worst_first(findings), system, config, machine)


def check_configuration(
    file: Path | None, overrides: Sequence[str], service: Service | None
) -> tuple[Config | None, Finding]:
    """Read the configuration of the agent, None if it is invalid, with the state folder of its service."""
    file = file or default_file()
    try:
        config = with_state_of(service, load_config(file, overrides=overrides))
    except ConfigError as error:
        fix = fix_configuration(file, str(error))
        return None, Finding("configuration", "wrong", str(error), fix, error.exit_code)
    return config, Finding("configuration", "ok", str(file or "the defaults"))
