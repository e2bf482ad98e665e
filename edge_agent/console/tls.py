"""TLS: the certificate of the console."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from edge_agent.config.model import ConsoleConfig


def open_tls(config: ConsoleConfig) -> ssl.SSLContext | None:
    """The TLS context of the console; None without a certificate.

    Raises:
        ConfigError: the certificate or its key is invalid.
    """
    if config.cert_file is None or config.key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a callback, OpenSSL would ask for the passphrase of a key on the terminal.
        context.load_cert_chain(config.cert_file, config.key_file, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{config.cert_file}, {config.key_file}: cannot be used for https: {_reason(error)}; check "
            "console.cert_file and console.key_file (PEM, the key without a passphrase) and who may read them"
        ) from error
    return context


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
