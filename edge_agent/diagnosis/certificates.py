"""Certificates: until when are those good that this device shows and is shown?"""

from __future__ import annotations

import socket
import ssl
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from edge_agent.diagnosis.finding import Finding
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.config import Config, MqttConfig
    from edge_agent.diagnosis.finding import Severity

SOON = timedelta(days=30)
"""Whoever renews certificates by hand needs some weeks to come by."""
ANSWER_SECONDS = 5.0

# ASN.1 as RFC 5280 uses it in a certificate.
SEQUENCE, VERSION, UTC_TIME, GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


def look_at_certificates(config: Config, *, now: datetime) -> Iterator[Finding]:
    """Judge the files of the configuration, and the certificate that the broker shows."""
    mqtt, console = config.mqtt, config.console
    if console.enabled and console.cert_file is not None:
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
            "certificate of broker", address, shown_until, now=now, mend="renew the certificate on the broker's machine"
        )


def expiry(pem: str) -> datetime:
    """Until when the first certificate in a PEM text is good.

    Raises:
        ValueError: it holds no certificate.
    """
    begin = pem.find("-----BEGIN CERTIFICATE-----")
    end = pem.find("-----END CERTIFICATE-----", begin)
    if begin < 0 or end < 0:
        raise ValueError("holds no certificate in PEM")
    content = ssl.PEM_cert_to_DER_cert(pem[begin:end] + "-----END CERTIFICATE-----\n")
    try:
        return _not_after(content)
    except IndexError as error:
        raise ValueError("holds a certificate that is cut off") from error


def _judge_file(check: str, file: Path, *, now: datetime) -> Finding:
    try:
        until = expiry(file.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        message = f"{file}: cannot be read: {error.strerror}"
        return Finding(check, "wrong", message, f"ls -l {file}", ConfigError.exit_code)
    except ValueError as error:
        message = f"{file}: {error}"
        return Finding(check, "wrong", message, f"openssl x509 -in {file} -noout -text", ConfigError.exit_code)
    return _judge(check, str(file), until, now=now, mend=f"openssl x509 -in {file} -noout -subject -issuer -dates")


def _judge(check: str, name: str, until: datetime, *, now: datetime, mend: str) -> Finding:
    day = f"{until:%Y-%m-%d}"
    if until <= now:
        message = f"{name}: expired on {day}; have it renewed by its authority, or set the clock if that is wrong"
        return Finding(check, "wrong", message, mend, ConfigError.exit_code)
    severity: Severity = "warning" if until - now < SOON else "ok"
    left = f"; {(until - now).days} days are left: have it renewed" if severity == "warning" else ""
    return Finding(check, severity, f"{name}: good until {day}{left}", mend if left else "")


def _shown_until(mqtt: MqttConfig) -> datetime | None:
    """Ask the broker; None where no connection comes about, of which the check of the broker tells."""
    try:
        context = ssl.create_default_context(cafile=mqtt.ca_file)
        # As the agent does: see delivery/mqtt.py.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if mqtt.cert_file is not None:
            context.load_cert_chain(mqtt.cert_file, mqtt.key_file)
        with (
            socket.create_connection((mqtt.host, mqtt.port), timeout=ANSWER_SECONDS) as connected,
            context.wrap_socket(connected, server_hostname=mqtt.host) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    except (OSError, ValueError):
        return None
    return expiry(ssl.DER_cert_to_PEM_cert(shown)) if shown else None


def _not_after(certificate: bytes) -> datetime:
    """RFC 5280 section 4.1: Certificate { TBSCertificate { version?, serial, signature, issuer, validity, ... } }."""
    at = _inside(certificate, _inside(certificate, 0))
    if certificate[at] == VERSION:
        at = _behind(certificate, at)
    for _serial_signature_issuer in range(3):
        at = _behind(certificate, at)
    if certificate[at] != SEQUENCE:
        raise ValueError("holds no certificate")
    not_after = _behind(certificate, _inside(certificate, at))
    text = certificate[_inside(certificate, not_after) : _behind(certificate, not_after)].decode("ascii", "replace")
    form = {UTC_TIME: "%y%m%d%H%M%SZ", GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}.get(certificate[not_after], "")
    return datetime.strptime(text, form).replace(tzinfo=timezone.utc)


def _inside(content: bytes, at: int) -> int:
    """Where the content of the element at `at` begins."""
    length = content[at + 1]
    # A long length says first in how many bytes it stands (X.690 section 8.1.3).
    return at + 2 + (length & 0x7F if length & 0x80 else 0)


def _behind(content: bytes, at: int) -> int:
    """Where the next element begins."""
    begin, length = _inside(content, at), content[at + 1]
    return begin + (int.from_bytes(content[at + 2 : begin], "big") if length & 0x80 else length)
