"""Connection limits: slow and excess clients are disconnected while all others are served."""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection

import pytest

from edge_agent.console.connection_limits import BODY_SILENCE_SECONDS, HANDSHAKE_SECONDS, HEAD_SECONDS, UNREAD_SECONDS
from tests.console.served import TIMEOUT_SECONDS, jpeg, served
from tests.mqtt.brokers import make_certificates

# On a busy machine slow clients are disconnected later.
SLACK_SECONDS = 30.0
MAX_SECONDS = max(HEAD_SECONDS, BODY_SILENCE_SECONDS, UNREAD_SECONDS, HANDSHAKE_SECONDS) + SLACK_SECONDS
POST = "POST /api/v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n"


def line_to(console) -> socket.socket:
    return socket.create_connection(("127.0.0.1", console.config.console.port), timeout=TIMEOUT_SECONDS)


def is_closed(line: socket.socket, *, is_read: bool) -> bool:
    """Whether the server has closed the connection. Its data is discarded if `is_read`, and otherwise left unread."""
    poll = select.poll()
    poll.register(line, select.POLLIN if is_read else 0)
    with suppress(ConnectionError):
        for _, event in poll.poll(0):
            if event & (select.POLLERR | select.POLLHUP):
                return True
            if not line.recv(65_536):
                return True
        return False
    return True


@pytest.fixture(scope="module")
def slow_clients(tmp_path_factory):
    """Run every kind of slow client at once beside a regular one; yields how long each stayed connected.

    The second value is the longest response time of the regular client, in seconds.
    """
    folder = tmp_path_factory.mktemp("slow_clients")
    certificates = make_certificates(folder)
    tls = {"cert_file": str(certificates / "server.pem"), "key_file": str(certificates / "server.key")}
    with ExitStack() as stack:
        console = stack.enter_context(served(folder / "plain"))
        secure = stack.enter_context(served(folder / "secure", **tls))
        crop = console.keep_alert(crop=jpeg() + bytes(20_000_000))
        lines: dict[str, socket.socket] = {}
        opened_at: dict[str, float] = {}
        for name in ("silent", "slow head", "half a body", "unread", "no handshake"):
            opened_at[name] = time.monotonic()
            lines[name] = stack.enter_context(line_to(secure if name == "no handshake" else console))
        busy = stack.enter_context(
            closing(HTTPConnection("127.0.0.1", console.config.console.port, timeout=TIMEOUT_SECONDS))
        )
        busy.connect()
        busy.auto_open = 0
        lines["half a body"].sendall(f"{POST}\r\n{{".encode())
        lines["unread"].sendall(f"GET /api/v1/alerts/{crop}/crop HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        began = time.monotonic()
        closed_after: dict[str, float] = {}
        head = iter(f"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: {'a' * 100_000}".encode())
        slowest = 0.0
        while time.monotonic() - began < MAX_SECONDS and len(closed_after) < len(lines):
            with suppress(ConnectionError):
                lines["slow head"].sendall(bytes([next(head)]))
            sent_at = time.monotonic()
            busy.request("GET", "/health")
            answer = busy.getresponse()
            assert (answer.status, answer.read()[:10]) == (200, b'{"ok":true')
            slowest = max(slowest, time.monotonic() - sent_at)
            for name in lines.keys() - closed_after.keys():
                if is_closed(lines[name], is_read=name != "unread"):
                    closed_after[name] = time.monotonic() - opened_at[name]
            # Twenty requests a second are enough, and leave CPU time for other tests.
            time.sleep(0.05)
        yield closed_after, slowest


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("silent", HEAD_SECONDS),
        ("slow head", HEAD_SECONDS),
        ("half a body", BODY_SILENCE_SECONDS),
        ("unread", UNREAD_SECONDS),
        ("no handshake", HANDSHAKE_SECONDS),
    ],
)
def test_slow_clients_are_disconnected(slow_clients, name, seconds):
    closed_after, _ = slow_clients

    assert seconds - 1 < closed_after.get(name, 999.0) < seconds + SLACK_SECONDS


def test_other_clients_are_served_meanwhile(slow_clients):
    _, slowest_seconds = slow_clients

    assert slowest_seconds < SLACK_SECONDS


def test_excess_connections_get_503(tmp_path):
    with served(tmp_path, max_viewers=1) as console, ExitStack() as stack:
        lines = [stack.enter_context(line_to(console)) for _ in range(120)]
        responses = [line.recv(65_536)[:13] for line in lines[101:]]
        assert responses == [b"HTTP/1.1 503 "] * 19
        # A closed connection makes room at once.
        lines[0].close()
        with console.client() as client:
            assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "invalid", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-x", bytes(20_000), b"GET / HTTP/9.9"]
)
def test_invalid_http_is_answered_and_closed(console, client, invalid):
    with line_to(console) as line:
        line.sendall(invalid + b"\r\n\r\n")
        with suppress(ConnectionError):
            while line.recv(65_536):
                pass
    assert client.get("/health").status_code == 200


def test_a_header_of_a_megabyte_is_rejected(console, client):
    with line_to(console) as line, suppress(ConnectionError):
        line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 1_000_000)
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")
    assert client.get("/health").status_code == 200


def test_with_a_certificate_everything_is_encrypted_and_nothing_is_answered_in_the_clear(tmp_path):
    certificates = make_certificates(tmp_path)
    tls = {"cert_file": str(certificates / "server.pem"), "key_file": str(certificates / "server.key")}
    with served(tmp_path, **tls) as console:
        trusted = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        with console.client(verify=trusted) as client:
            answer = client.get("/health")
            assert answer.status_code == 200
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
        with line_to(console) as line:
            line.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with suppress(ConnectionError):
                assert b"HTTP" not in line.recv(65_536)
