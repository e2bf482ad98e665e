"""Console checks: whether the console would start, and who could reach it."""

from __future__ import annotations

import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.config.model import Config
from edge_agent.diagnosis import console
from edge_agent.diagnosis.console import check_console
from edge_agent.errors import ConfigError, UnavailableError
from tests.mosquitto import free_port

if TYPE_CHECKING:
    from pathlib import Path

EVERYWHERE = "0.0.0.0"  # noqa: S104  (checked, and listened on only briefly)
# The real extra is missing in the environment of a device.
EXTRA_OF_ANY_ENVIRONMENT = ("json",)


@pytest.fixture(autouse=True)
def _extra(monkeypatch):
    monkeypatch.setattr(console, "EXTRA", EXTRA_OF_ANY_ENVIRONMENT)


def a_config(folder: Path, **keys: Any) -> Config:
    keys = {"port": free_port(), **keys}
    return Config.model_validate({"state_dir": folder / "state", "console": keys})


def a_secret(folder: Path, text: str = "correct horse\n") -> str:
    (folder / "secret").write_text(text)
    return str(folder / "secret")


def test_address_and_permitted_clients_are_reported(tmp_path):
    here = a_config(tmp_path, port=8123)
    secret = a_secret(tmp_path)

    assert check_console(here) == (
        "http://127.0.0.1:8123: not running; it would serve any local user, without a password"
    )
    everywhere = a_config(tmp_path, host=EVERYWHERE, port=8123, password_file=secret, token_file=secret)
    assert check_console(everywhere) == (
        "http://0.0.0.0:8123: not running; it would serve people with the password and programs with the token"
    )


def test_an_extra_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "EXTRA", ("json", "no_such_package"))

    assert check_console(a_config(tmp_path)).startswith("not installed (no_such_package)")


@pytest.mark.parametrize("key", ["password_file", "token_file"])
def test_a_short_secret_is_rejected(tmp_path, key):
    with pytest.raises(ConfigError, match=rf"shorter than 8 characters.*console\.{key}"):
        check_console(a_config(tmp_path, **{key: a_secret(tmp_path, "1234567\n")}))


def test_a_certificate_is_tried_with_its_key(tmp_path):
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=door", "-days", "9"]
    files = {"cert_file": tmp_path / "cert.pem", "key_file": tmp_path / "key.pem"}
    subprocess.run(
        [*command, "-keyout", files["key_file"], "-out", files["cert_file"]], check=True, capture_output=True
    )

    assert check_console(a_config(tmp_path, **files)).startswith("https://127.0.0.1:")

    command = ["openssl", "rsa", "-aes256", "-passout", "pass:a phrase", "-in", files["key_file"]]
    subprocess.run([*command, "-out", tmp_path / "locked.pem"], check=True, capture_output=True)
    with pytest.raises(ConfigError, match=r"console\.key_file"):
        check_console(a_config(tmp_path, **{**files, "key_file": tmp_path / "locked.pem"}))

    files["key_file"].write_text("no key")
    with pytest.raises(ConfigError, match=r"console\.cert_file"):
        check_console(a_config(tmp_path, **files))


def test_a_port_of_another_program_is_reported(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        config = a_config(tmp_path, port=other.getsockname()[1])

        with pytest.raises(UnavailableError, match=r"port \d+: .*in use; .*console\.port"):
            check_console(config)


class Health(BaseHTTPRequestHandler):
    """Answers like a console."""

    body = b'{"ok": false, "reasons": []}'

    def do_GET(self):
        self.send_response(503)
        self.end_headers()
        self.wfile.write(self.body)


class Nested(Health):
    """Answers with JSON that is nested too deeply to be parsed."""

    body = b"[" * 9000


def test_a_running_console_is_distinguished_from_other_programs(tmp_path):
    with HTTPServer(("127.0.0.1", 0), Health) as running:
        threading.Thread(target=running.handle_request).start()

        assert ": serves any local user" in check_console(a_config(tmp_path, port=running.server_port))


def test_an_answer_that_cannot_be_parsed_is_that_of_another_program(tmp_path):
    with HTTPServer(("127.0.0.1", 0), Nested) as other:
        threading.Thread(target=other.handle_request).start()

        with pytest.raises(UnavailableError, match="in use"):
            check_console(a_config(tmp_path, port=other.server_port))


def test_an_unavailable_address_is_reported(tmp_path):
    config = a_config(tmp_path, host="192.0.2.1", password_file=a_secret(tmp_path))

    with pytest.raises(UnavailableError, match=r"192\.0\.2\.1 port .*console\.host"):
        check_console(config)
