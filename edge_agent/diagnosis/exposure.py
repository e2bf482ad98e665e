"""Exposure checks: secrets readable by other users, or sent unencrypted."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_agent.config.model import is_loopback
from edge_agent.config.redaction import secret_files
from edge_agent.diagnosis.finding import Finding, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.config.model import Config


def check_exposure(config: Config, *, file: Path | None) -> Iterator[Finding]:
    """Check who can read files with secrets, and whether passwords are sent unencrypted."""
    yield from _readable(config, file)
    mqtt, console = config.mqtt, config.console
    if (mqtt.username or mqtt.password_file) and not mqtt.tls and not is_loopback(mqtt.host):
        yield _exposed(f"mqtt: the password is sent to {mqtt.host} unencrypted; set mqtt.tls, and mqtt.port to 8883")
    for webhook in config.webhooks:
        parts = urlsplit(webhook.url)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            yield _exposed(f"webhook {webhook.name}: alerts are sent unencrypted; use https")
    if not console.is_loopback and console.cert_file is None:
        yield _exposed(
            f"console: http at {console.host}: password, token and pictures are sent unencrypted; set "
            "console.cert_file and key_file, or host: 127.0.0.1 behind a proxy with TLS"
        )


def _readable(config: Config, file: Path | None) -> Iterator[Finding]:
    secrets = secret_files(config)
    if file is not None and any("@" in camera.source for camera in config.cameras.values()):
        secrets["the configuration, with a camera password"] = file
    for key, path in secrets.items():
        if _mode(path) & stat.S_IROTH:
            yield _exposed(f"{key}: {path} is readable by all users of this machine", f"chmod o-r {quoted(path)}")
    for folder in dict.fromkeys((config.state, config.crops_folder)):
        if _mode(folder) & stat.S_IRWXO:
            message = f"{folder}: alerts and pictures are readable by all users of this machine"
            yield _exposed(message, f"chmod -R o-rwx {quoted(folder)}")


def _mode(path: Path) -> int:
    """The permissions of a file; none if it is missing, which other checks report."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _exposed(message: str, fix: str = "edge-agent config --changes") -> Finding:
    return Finding("exposure", "warning", message, fix)
