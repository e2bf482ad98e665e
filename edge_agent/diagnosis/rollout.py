"""Roll-out checks: trust in the fleet's repository, and the state of the service."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from edge_agent.diagnosis.finding import Finding
from edge_agent.diagnosis.service import ask_systemd
from edge_agent.rollout.installation import TRUST, read_rollout
from edge_agent.rollout.opening import opener

if TYPE_CHECKING:
    from edge_agent.config.model import Config

CHECK = "rollout"
UNIT = "maskwatch-rollout.service"


def look_at_rollout(config: Config) -> str | Finding:
    """Describe the desired model of the fleet, and the state of this device.

    Raises:
        ConfigError: TUF is not installed, or the root cannot be read.
        UnavailableError: the repository is unreachable or invalid.
    """
    settings = config.rollout
    with TemporaryDirectory() as folder:
        # A copy: known metadata protects against roll-back, and root must not create files in the agent's folder.
        seen = Path(folder, TRUST)
        with suppress(OSError):
            shutil.copytree(config.models_folder / TRUST, seen)
        wishes = opener(settings, folder=seen)().wishes().groups
    wish, now = wishes.get(settings.group), read_rollout(config.models_folder)
    if wish is None and wishes:
        text = f"{settings.url}: no group '{settings.group}' (rollout.group); known: {', '.join(sorted(wishes))}"
        return Finding(CHECK, "warning", text, "sudoedit /etc/maskwatch/config.yaml")
    wanted = "no wish yet" if wish is None else f"wish {wish.number}: {wish.model or 'as configured'}"
    text = f"{settings.url}: {wanted}; this device: {now.model or 'as configured'}, {now.state}"
    if now.state == "rejected":
        return Finding(CHECK, "warning", f"{text}: {now.reason}", f"journalctl -u {UNIT} -n 50")
    service = ask_systemd(UNIT)
    if service is not None and service.active != "active":
        return Finding(CHECK, "warning", f"{text}; {UNIT} is {service.active}", f"sudo systemctl enable --now {UNIT}")
    return f"{text}; {service.status}" if service is not None and service.status else text
