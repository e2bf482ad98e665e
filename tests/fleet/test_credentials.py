"""Credentials: the copy of a secret that systemd gives to a process comes before the configured file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_agent.errors import ConfigError
from fleet import database, management
from fleet.config import BrokerConfig, DatabaseConfig
from tests.mqtt.brokers import make_certificates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def of_the_database(file: Path | None) -> str | None:
    found: str | None = database.parameters(DatabaseConfig(password_file=file), application="test")["password"]
    return found


def of_the_broker(file: Path | None) -> str | None:
    return management.password(BrokerConfig(password_file=file))


@pytest.mark.parametrize(
    ("credential", "password", "default"),
    [("database-password", of_the_database, None), ("broker-password", of_the_broker, "guest")],
)
def test_a_password_comes_from_the_unit_s_credential_or_else_from_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    credential: str,
    password: Callable[[Path | None], str | None],
    default: str | None,
):
    file, handed = tmp_path / "password", tmp_path / credential
    file.write_text("of the file\n")
    assert (password(None), password(file)) == (default, "of the file")

    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert (password(None), password(file)) == (default, "of the file")
    handed.write_text("\n")
    assert (password(None), password(file)) == (default, "of the file")
    handed.write_text("of the unit\n")
    assert (password(None), password(file)) == ("of the unit", "of the unit")


def test_the_key_comes_from_the_unit_s_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_certificates(tmp_path)
    config = BrokerConfig(tls=True, cert_file=tmp_path / "server.pem", key_file=tmp_path / "only root reads it")
    with pytest.raises(ConfigError, match="key_file"):
        management.tls_context(config)

    (tmp_path / "server.key").rename(tmp_path / "broker-key")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert management.tls_context(config)
