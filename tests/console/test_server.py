"""Server: listening, logging and shutdown."""

from __future__ import annotations

import logging
import socket
import time

import pytest

from edge_agent.config.model import ConsoleConfig
from edge_agent.errors import ConfigError, UnavailableError
from tests.console.served import TIMEOUT_SECONDS, jpeg, served
from tests.mosquitto import free_port
from tests.mqtt.brokers import make_certificates


def test_a_port_in_use_ends_the_start_with_an_error(tmp_path):
    port = free_port()
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(UnavailableError, match=rf"127\.0\.0\.1 port {port}: .*console\.port"),
        served(tmp_path, port=port),
    ):
        pass


def test_an_address_of_another_machine_is_reported(tmp_path):
    (tmp_path / "token").write_text("a long enough token", encoding="utf-8")
    with (
        pytest.raises(UnavailableError, match=r"192\.0\.2\.1 port "),
        served(tmp_path, host="192.0.2.1", token_file=str(tmp_path / "token")),
    ):
        pass


def test_it_stops_at_once_during_a_response(tmp_path, monkeypatch):
    for limit in ("HEAD_SECONDS", "UNREAD_SECONDS"):
        monkeypatch.setattr(f"edge_agent.console.connection_limits.{limit}", 600.0)
    began = 0.0
    with served(tmp_path) as console:
        silent = socket.create_connection(("127.0.0.1", console.config.console.port))
        unread = socket.create_connection(("127.0.0.1", console.config.console.port))
        crop = console.keep_alert(crop=jpeg() + bytes(20_000_000))
        unread.sendall(f"GET /api/v1/alerts/{crop}/crop HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert unread.recv(1) == b"H"
        began = time.monotonic()
    assert time.monotonic() - began < TIMEOUT_SECONDS
    silent.close()
    unread.close()


def test_it_opens_again_on_the_same_port(tmp_path):
    port = free_port()
    for _ in range(3):
        with served(tmp_path, port=port) as console, console.client() as client:
            assert client.get("/health").status_code == 200


def test_one_line_is_logged_at_the_start_and_no_more(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with served(tmp_path) as console, console.client() as client:
        for path in ("/health", "/nothing", "/api/v1/alerts?secret=1", "/../../etc"):
            client.get(path)
        with socket.create_connection(("127.0.0.1", console.config.console.port)) as line:
            line.sendall(b"nonsense\r\n\r\n")
            line.recv(100)
        form = {"Content-Type": "multipart/form-data; boundary=x"}
        client.post("/api/v1/detect", content=b"--x\r\nContent-Disposition\r\r: y\r\n\r\n", headers=form)

    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert logged == [f"console: {console.url}"]


def test_a_bug_is_logged_without_the_request(tmp_path, caplog, monkeypatch):
    with served(tmp_path) as console, console.client() as client:
        monkeypatch.setattr("edge_agent.alerts.history.AlertHistory.find", lambda *_, **__: 1 / 0)
        answer = client.get("/api/v1/alerts?camera=secret")

        assert answer.status_code == 500
        assert answer.json() == {"detail": "the server failed; see its log"}
        assert client.get("/health").status_code == 200
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage() == "the console failed at /api/v1/alerts; please report this"


# invalid settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "camera.local"])  # noqa: S104
def test_beyond_loopback_a_password_or_a_token_is_required(host):
    with pytest.raises(ValueError, match="password_file"):
        ConsoleConfig(host=host)


@pytest.mark.parametrize("key", ["password_file", "token_file"])
@pytest.mark.parametrize("content", [None, "", "short\n", "\nsecond line\n", b"\xff\xfe"])
def test_an_unusable_password_prevents_the_start(tmp_path, key, content):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(ConfigError, match=f"{file}: .*console.{key}"), served(tmp_path, **{key: str(file)}):
        pass


def test_an_unusable_certificate_prevents_the_start(tmp_path):
    certificates = make_certificates(tmp_path)
    own, key, other = certificates / "server.pem", certificates / "server.key", certificates / "ca.pem"
    for cert_file, key_file in ((tmp_path / "missing", key), (own, tmp_path / "missing"), (other, key), (key, own)):
        with (
            pytest.raises(ConfigError, match=r"cannot be used for https: .*console\.cert_file"),
            served(tmp_path, cert_file=str(cert_file), key_file=str(key_file)),
        ):
            pass


def test_localhost_means_every_loopback_address_of_the_machine(tmp_path):
    with served(tmp_path, host="localhost") as console:
        for address in {str(found[4][0]) for found in socket.getaddrinfo("localhost", None)}:
            try:
                line = socket.create_connection((address, console.config.console.port), timeout=TIMEOUT_SECONDS)
            except OSError as error:
                # Without IPv6 on this machine there is no such listener.
                assert ":" in address, error  # noqa: PT017
            else:
                line.close()
