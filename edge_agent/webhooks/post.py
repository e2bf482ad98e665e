"""Webhook POST: signs a request per the Standard Webhooks specification, and sends it to the given address only.

https://github.com/standard-webhooks/standard-webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import socket
import ssl
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_agent.config.secrets import read_password
from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.host.timed_response import TimedResponse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TIMEOUT_SECONDS = 10.0
"""For each step: connecting, sending, receiving the whole head of the answer."""
SECRET_PREFIX = "whsec_"  # noqa: S105  (how secrets begin)
MIN_SECRET_BYTES = 24
METADATA = tuple(
    ip_network(network)
    for network in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32", "192.0.0.192/32")
)
"""Link-local addresses, and the metadata services of clouds, which hand out credentials."""


def read_secret(file: Path, *, key: str) -> bytes:
    """Read the signing key: the first line of a file, `whsec_` and base64.

    Raises:
        ConfigError: it cannot be read, or is not such a secret.
    """
    text = read_password(file, key=key)
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not text.startswith(SECRET_PREFIX) or len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"{file}: the first line has to be '{SECRET_PREFIX}' and base64 of {MIN_SECRET_BYTES} bytes or more "
            f"({key}); this makes one: echo whsec_$(openssl rand -base64 32)"
        )
    return secret


def signature(secret: bytes, *, id: str, timestamp: int, body: bytes) -> str:  # noqa: A002  (the specification's word)
    """The value of `webhook-signature`."""
    signed = f"{id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def port_of(url: str) -> int:
    """The port of a URL, or that of its scheme."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def addresses_of(host: str, port: int) -> list[str]:
    """The addresses to connect to, best first. A name must not lead to a link-local one or a cloud's metadata service.

    Raises:
        UnavailableError: the name is unknown, or leads only to such addresses.
    """
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise UnavailableError(f"{host}: unknown host name: {error}") from error
    if _is_address(host):
        # Configured explicitly.
        return found
    allowed = [address for address in found if not _is_metadata(address)]
    if not allowed:
        raise UnavailableError(
            f"{host}: resolves to {found[0]}, a link-local or metadata address; if that is intended, use the address "
            "itself in the URL"
        )
    return allowed


def post(url: str, body: bytes, headers: dict[str, str]) -> None:
    """Send a request and require a success code. Redirects are not followed and count as failures.

    Raises:
        UnavailableError: no answer, an invalid certificate, or no success code.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = port_of(url)
    addresses = addresses_of(host, port)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection = _connected(parts.scheme, host, port, addresses)
        try:
            connection.request("POST", path, body, headers)
            status = connection.getresponse().status
        finally:
            connection.close()
    except ssl.SSLCertVerificationError as error:
        raise UnavailableError(f"{host}: the certificate is not accepted: {error.verify_message}") from error
    except OSError as error:
        raise UnavailableError(f"{host}: {str(error) or type(error).__name__}") from error
    except http.client.HTTPException as error:
        # Its text may be the answer itself: up to 64 KiB of anything, which belong in no log and no message.
        raise UnavailableError(f"{host}: the answer is not HTTP ({type(error).__name__})") from error
    if not 200 <= status < 300:  # noqa: PLR2004  (what HTTP calls success)
        raise UnavailableError(f"{host}: answers {status} {http.client.responses.get(status, '')}".rstrip())


def _connected(scheme: str, host: str, port: int, addresses: Sequence[str]) -> http.client.HTTPConnection:
    """Connect to the first of these that accepts, without resolving the name again; the certificate is for `host`."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    connection.response_class = TimedResponse
    for address in addresses[:-1]:
        with suppress(OSError):
            plain = socket.create_connection((address, port), TIMEOUT_SECONDS)
            break
    else:
        plain = socket.create_connection((addresses[-1], port), TIMEOUT_SECONDS)
    connection.sock = (
        ssl.create_default_context().wrap_socket(plain, server_hostname=host) if scheme == "https" else plain
    )
    return connection


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_metadata(address: str) -> bool:
    plain = ip_address(address.partition("%")[0])
    mapped = getattr(plain, "ipv4_mapped", None) or plain
    return any(mapped in network for network in METADATA if network.version == mapped.version)
