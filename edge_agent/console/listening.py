"""Listening: the addresses and the certificate of the console."""

from __future__ import annotations

import errno
import shlex
import socket
import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING

from edge_agent.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from edge_agent.config.model import ConsoleConfig

BACKLOG = 64


def listen(config: ConsoleConfig) -> list[socket.socket]:
    """Listen on the port at every address of the host.

    Raises:
        UnavailableError: the port is in use or not permitted, or the address is not one of this machine.
    """
    try:
        return _listen(config.host, config.port)
    except OSError as error:
        # Without the address, which create_server() adds.
        reason = str(error.strerror).partition(" (while ")[0]
        raise UnavailableError(
            f"{config.host} port {config.port}: {reason}; check {config.section}.host and {config.section}.port",
            fix=f"ss -tlnp 'sport = :{config.port}'",
        ) from error


def _listen(host: str, port: int) -> list[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    with ExitStack() as opened:
        absent: OSError | None = None
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                listener = opened.enter_context(socket.create_server(address, family=family, backlog=BACKLOG))
                listener.setblocking(False)
                listeners.append(listener)
            except OSError as error:
                # localhost also resolves to ::1 on a machine without IPv6.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                absent = error
        if absent is not None and not listeners:
            raise absent
        opened.pop_all()
    return listeners


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
            f"{config.section}.cert_file and {config.section}.key_file (PEM, the key without a passphrase) and who may "
            "read them",
            fix=f"openssl x509 -in {shlex.quote(str(config.cert_file))} -noout -text",
        ) from error
    return context


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
