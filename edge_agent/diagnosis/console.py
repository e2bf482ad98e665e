"""The console: would it start with this configuration, and who could see it?"""

from __future__ import annotations

import socket
import ssl
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edge_agent.console import read_secrets
from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.wiring import is_at_work

if TYPE_CHECKING:
    from edge_agent.config import Config, ConsoleConfig

# What the extra installs: see pyproject.toml.
EXTRA = ("fastapi", "jinja2", "prometheus_client", "python_multipart", "uvicorn", "websockets")


def look_at_console(config: Config) -> str:
    """Say where it is and who may come in.

    Raises:
        ConfigError: the extra is missing, or a password, token or certificate cannot be used.
        UnavailableError: the address cannot be listened at.
    """
    console = config.console
    if not console.enabled:
        return "off (console.enabled: false)"
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"console.enabled: needs an extra that is not here ({', '.join(missing)}); pip install 'maskwatch[console]'"
        )
    who = _who_may_come_in(console)
    scheme = _scheme(console)
    # The port of an agent that runs is its own.
    if not is_at_work(config.state):
        _try_to_listen(console)
    return f"{scheme}://{_bracketed(console.host)}:{console.port}: {who}"


def _who_may_come_in(console: ConsoleConfig) -> str:
    password, token = read_secrets(console)
    ways = [
        *(["people with the password"] if password else []),
        *(["programs with the token"] if token else []),
    ]
    return " and ".join(ways) or "everybody on this machine, and nobody else"


def _scheme(console: ConsoleConfig) -> str:
    if console.cert_file is None:
        return "http"
    try:
        # A key with a passphrase is refused, as the console does, and not asked for at a terminal.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(console.cert_file, console.key_file, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{console.cert_file}, {console.key_file}: no certificate with its key ({error}); check console.cert_file "
            "and console.key_file (PEM, the key without a passphrase), and who may read them"
        ) from error
    return "https"


def _try_to_listen(console: ConsoleConfig) -> None:
    address = f"console.host {console.host}, console.port {console.port}"
    try:
        found = socket.getaddrinfo(console.host, console.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        with socket.socket(family, kind, protocol) as tried:
            # As a server does: what a finished connection left there is no hindrance.
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(place)
    except OSError as error:
        raise UnavailableError(
            f"{address}: cannot be listened at: {error.strerror or error}; choose an address of this machine and a "
            "port that no other program has"
        ) from error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
