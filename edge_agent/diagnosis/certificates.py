"""Certificate checks: expiry of the certificates that the device presents and receives."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

from edge_agent.diagnosis.finding import Finding, quoted
from edge_agent.errors import ConfigError
from edge_agent.mqtt.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.config.model import Config, MqttConfig
    from edge_agent.diagnosis.finding import Severity

SOON = timedelta(days=30)
"""Renewing certificates by hand takes some weeks' notice."""
ANSWER_SECONDS = 5.0


def check_certificates(config: Config, *, now: datetime) -> Iterator[Finding]:
    """Check the configured certificate files, and the certificate that the broker presents."""
    mqtt, console = config.mqtt, config.console
    if console.cert_file is not None:
        yield _judge_file("console.cert_file", console.cert_file, now=now)
    if not mqtt.tls:
        return
    for key, file in (("mqtt.ca_file", mqtt.ca_file), ("mqtt.cert_file", mqtt.cert_file)):
        if file is not None:
            yield _judge_file(key, file, now=now)
    shown_until = _shown_until(mqtt)
    if shown_until is not None:
        address = f"{mqtt.host}:{mqtt.port}"
        yield _judge(
            "certificate of broker", address, shown_until, now=now, fix="renew the certificate on the broker's machine"
        )


def _judge_file(check: str, file: Path, *, now: datetime) -> Finding:
    """Check the first certificate in a PEM file."""
    try:
        until = load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except OSError as error:
        message = f"{file}: cannot be read: {error.strerror}"
        return Finding(check, "wrong", message, f"ls -l {quoted(file)}", ConfigError.exit_code)
    except ValueError:
        message = f"{file}: contains no PEM certificate, or a damaged one"
        return Finding(check, "wrong", message, f"openssl x509 -in {quoted(file)} -noout -text", ConfigError.exit_code)
    return _judge(
        check, str(file), until, now=now, fix=f"openssl x509 -in {quoted(file)} -noout -subject -issuer -dates"
    )


def _judge(check: str, name: str, until: datetime, *, now: datetime, fix: str) -> Finding:
    day = f"{until:%Y-%m-%d}"
    if until <= now:
        message = f"{name}: expired on {day}; renew it, or set the clock if that is wrong"
        return Finding(check, "wrong", message, fix, ConfigError.exit_code)
    severity: Severity = "warning" if until - now < SOON else "ok"
    left = f"; {(until - now).days} days are left: renew it" if severity == "warning" else ""
    return Finding(check, severity, f"{name}: valid until {day}{left}", fix if left else "")


def _shown_until(mqtt: MqttConfig) -> datetime | None:
    """Ask the broker; None without a connection, which the broker check reports."""
    try:
        with (
            socket.create_connection((mqtt.host, mqtt.port), timeout=ANSWER_SECONDS) as connected,
            tls_context(mqtt).wrap_socket(connected, server_hostname=mqtt.host) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    except (OSError, ValueError, ConfigError):
        return None
    return load_der_x509_certificate(shown).not_valid_after_utc if shown else None
