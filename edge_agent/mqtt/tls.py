"""TLS: the context for a broker, and what to do when its certificate or ours is refused."""

from __future__ import annotations

import shlex
import ssl
from typing import TYPE_CHECKING

from edge_agent.config.secrets import read_password
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from edge_agent.config.model import MqttConfig

# OpenSSL's verification errors (X509_V_ERR_...): a certificate of another name or address, one that is not valid yet
# or no longer, and keys or signatures that its security level refuses.
OTHER_NAME = (62, 64)
NOT_VALID_NOW = (9, 10)
TOO_WEAK = (66, 67, 68)


def tls_context(mqtt: MqttConfig) -> ssl.SSLContext:
    """Create the TLS context for the broker.

    Raises:
        ConfigError: a certificate, a key or its passphrase cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=mqtt.ca_file)
    except OSError as error:
        raise ConfigError(
            f"{mqtt.ca_file}: not a readable certificate ({reason_of(error)}); check mqtt.ca_file",
            fix=f"openssl x509 -in {shlex.quote(str(mqtt.ca_file))} -noout -text",
        ) from error
    # Python 3.13 began to refuse authorities without a key usage extension, which most private ones lack. An upgrade
    # must not cut a device off from its broker.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if mqtt.alpn:
        context.set_alpn_protocols([mqtt.alpn])
    if mqtt.cert_file is not None:
        _load_key(context, mqtt)
    return context


def _load_key(context: ssl.SSLContext, mqtt: MqttConfig) -> None:
    has_passphrase = False

    def passphrase() -> str:
        # Otherwise OpenSSL would prompt at the terminal.
        nonlocal has_passphrase
        has_passphrase = True
        return read_password(mqtt.key_password_file, key="mqtt.key_password_file") if mqtt.key_password_file else ""

    try:
        context.load_cert_chain(str(mqtt.cert_file), mqtt.key_file, password=passphrase)
    except (OSError, ValueError) as error:
        if has_passphrase and mqtt.key_password_file:
            raise ConfigError(
                f"{mqtt.key_file}: its passphrase is not that in {mqtt.key_password_file}; check mqtt.key_password_file"
            ) from error
        if has_passphrase:
            raise ConfigError(
                f"{mqtt.key_file}: has a passphrase; write it into a file and set mqtt.key_password_file"
            ) from error
        reason = "not in PEM format" if isinstance(error, ssl.SSLError) and not error.reason else reason_of(error)
        raise ConfigError(
            f"{mqtt.cert_file}, {mqtt.key_file}: not a readable certificate with its key ({reason}); "
            "check mqtt.cert_file and mqtt.key_file",
            fix=f"openssl x509 -in {shlex.quote(str(mqtt.cert_file))} -noout -text",
        ) from error


def certificate_advice(error: ssl.SSLCertVerificationError) -> str:
    """What to do about a broker's certificate that is not trusted."""
    if error.verify_code in OTHER_NAME:
        return (
            "set mqtt.host to a name or address in its subjectAltName, or reissue it with one: a common name (CN) "
            "alone does not count"
        )
    if error.verify_code in NOT_VALID_NOW:
        return "check the clock of this device; if it is right, the broker needs a new certificate"
    if error.verify_code in TOO_WEAK:
        return "reissue it with a key of 2048 bits or more, signed with SHA-256"
    return "check mqtt.ca_file: it has to contain the certificate of the authority that signed it"


def tls_advice(error: OSError, *, has_certificate: bool) -> str:
    """What to do about a TLS connection that fails, of a device with or without a certificate of its own."""
    if "PROTOCOL_VERSION" in reason_of(error):
        return "update the broker"
    if not is_certificate_refused(error):
        return "is mqtt.port the broker's port for TLS?"
    if not has_certificate:
        return "the broker asks for a certificate: set mqtt.cert_file and mqtt.key_file"
    return (
        "the broker refuses this device's certificate; check mqtt.cert_file: has it expired, and did an authority that "
        "the broker accepts sign it?"
    )


def is_certificate_refused(error: OSError) -> bool:
    """Whether the broker ended the connection because of this device's certificate, or for lack of one."""
    reason = reason_of(error)
    return "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason)


def reason_of(error: OSError | ValueError) -> str:
    """The reason of an error, which TLS errors have elsewhere than others."""
    reason = getattr(error, "reason", "") if isinstance(error, ssl.SSLError) else ""
    return reason or getattr(error, "strerror", "") or str(error)
