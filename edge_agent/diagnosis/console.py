"""Console checks: whether the console would start, and who could reach it."""

from __future__ import annotations

import json
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edge_agent.config.secrets import read_console_secrets
from edge_agent.console.listening import listen, open_tls

if TYPE_CHECKING:
    from edge_agent.config.model import Config, ConsoleConfig

ANSWER_SECONDS = 3.0
MAX_ANSWER_BYTES = 10_000
# What the extra installs: see pyproject.toml.
EXTRA = ("fastapi", "jinja2", "prometheus_client", "python_multipart", "uvicorn", "websockets")


def check_console(config: Config) -> str:
    """Describe where the console is or would be served, and who has access.

    Raises:
        ConfigError: a password, token or certificate cannot be used.
        UnavailableError: the address is not available.
    """
    console = config.console
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        return f"not installed ({', '.join(missing)}); install it with: pip install 'maskwatch[console]'"
    who = _clients(config)
    open_tls(console)
    if _is_served(console):
        return f"{console.url}: serves {who}"
    for listener in listen(console):
        listener.close()
    return f"{console.url}: not running; it would serve {who}"


def _is_served(console: ConsoleConfig) -> bool:
    """Whether the console is already running at this address."""
    # The response is untrusted; it only distinguishes the console from other programs.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    line = (
        HTTPSConnection(console.host, console.port, timeout=ANSWER_SECONDS, context=context)
        if console.cert_file
        else HTTPConnection(console.host, console.port, timeout=ANSWER_SECONDS)
    )
    try:
        line.request("GET", "/health")
        found = json.loads(line.getresponse().read(MAX_ANSWER_BYTES))
    except (OSError, HTTPException, ValueError, RecursionError):
        return False
    finally:
        line.close()
    return isinstance(found, dict) and found.keys() == {"ok", "reasons"}


def _clients(config: Config) -> str:
    secrets = read_console_secrets(config)
    ways = [
        *(["people with the password"] if secrets.password else []),
        *(["programs with the token"] if secrets.token else []),
    ]
    who = " and ".join(ways) or "any local user, without a password"
    return f"{who}, and displays with their token" if secrets.display_token else who
