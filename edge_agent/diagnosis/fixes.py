"""Fixes: the command for a check whose error names none; its message describes the fix in words."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_agent.config.load import SYSTEM_FILE
from edge_agent.config.model import is_loopback, shipped
from edge_agent.diagnosis.finding import quoted
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from edge_agent.config.model import Config, MqttConfig, WebhookConfig

PROGRAMS = {
    "rpicam": "rpicam-hello --list-cameras",
    "picamera2": "rpicam-hello --list-cameras",
    "pipe": "run the command after 'pipe:' manually to see its error",
    "jetson-csi": "sudo systemctl restart nvargus-daemon",
}
"""Commands that show whether a camera is available, for sources that are programs: see docs/cameras.md."""
CREDENTIAL = re.compile(r"/run/credentials/([^/]+)\.service/")
"""A file of systemd, which provides it only while the service runs, and only to its user."""


def fix_access(message: str) -> str:
    """The command that gives access to the file of an error: as root, or by starting its service; otherwise empty."""
    if "Permission denied" in message and os.geteuid() != 0:
        return "sudo edge-agent doctor"
    credential = CREDENTIAL.search(message)
    return f"sudo systemctl start {credential[1]}" if credential else ""


def fix_configuration(file: Path | None, message: str) -> str:
    """Edit what holds the mistakes."""
    return fix_access(message) or (f"sudoedit {quoted(file)}" if file else "correct the --set options")


def fix_model(file: Path) -> str:
    """Reinstall a shipped model with the package manager that installed the agent; list the models otherwise."""
    if file.parent != shipped("models"):
        return "edge-agent models"
    if Path(sys.prefix).is_relative_to("/opt/maskwatch"):
        return "sudo apt-get install --reinstall ./maskwatch_*.deb"
    return f"{sys.executable} -m pip install --force-reinstall --no-deps maskwatch"


def fix_folder(folder: Path, *, user: str) -> str:
    """Create a folder, and give it to the user of the agent."""
    return f"sudo mkdir -p {quoted(folder)} && sudo chown -R {user} {quoted(folder)}"


def fix_camera(source: str, _error: Exception) -> str:
    """Show whether the device, host or file of a camera exists."""
    name = source.partition(":")[0].strip()
    if name in PROGRAMS:
        return PROGRAMS[name]
    if name == "ffmpeg":
        # The last word is the input: an address, a device or a file.
        source = shlex.split(source)[-1]
    if "://" in source:
        return f"ping -c 3 {_host_of(source)}"
    if source.startswith("/dev/") or source.isdecimal():
        return "v4l2-ctl --list-devices"
    return f"ls -l {shlex.quote(source)}"


def fix_webhook(webhook: WebhookConfig, error: Exception) -> str:
    """Write a new secret, or look its host up."""
    if isinstance(error, ConfigError):
        return f"echo whsec_$(openssl rand -base64 32) | sudo tee {quoted(webhook.secret_file)}"
    return f"getent ahosts {urlsplit(webhook.url).hostname}"


def fix_console(config: Config, error: Exception) -> str:
    """Write a password or token."""
    files = (
        ("console.password_file", config.console.password_file),
        ("console.token_file", config.console.token_file),
        ("display.token_file", config.display.token_file),
    )
    return next((f"openssl rand -hex 16 | sudo tee {quoted(file)}" for key, file in files if key in str(error)), "")


def fix_broker(mqtt: MqttConfig, error: Exception) -> str:
    """Edit the password or the keys of it, show the certificate, start the broker, or show whether its host answers."""
    message = str(error)
    if "password" in message:
        file = mqtt.key_password_file if "key_password_file" in message else mqtt.password_file
        return f"sudoedit {quoted(file or SYSTEM_FILE)}"
    if "certificate" in message and mqtt.ca_file is not None:
        return f"openssl s_client -connect {mqtt.host}:{mqtt.port} -CAfile {quoted(mqtt.ca_file)} </dev/null"
    if is_loopback(mqtt.host):
        return "sudo systemctl enable --now mosquitto"
    return f"ping -c 3 {mqtt.host}"


def _host_of(source: str) -> str:
    """The host in an address, also after a prefix such as `ffmpeg:`."""
    try:
        return urlsplit(source.rsplit(maxsplit=1)[-1]).hostname or "HOST"
    except ValueError:
        return "HOST"
