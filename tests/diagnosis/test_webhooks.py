"""Webhook checks: the address of each webhook, and errors of its secret or host name."""

from __future__ import annotations

import base64
import socket

import pytest

from edge_agent.config.model import Config
from edge_agent.diagnosis.checks import check_webhook, checks_of
from edge_agent.diagnosis.exposure import check_exposure
from edge_agent.errors import ConfigError, UnavailableError


def webhook(**keys):
    return Config.model_validate({"webhooks": [keys]}).webhooks[0]


def test_the_address_of_a_webhook_is_reported_without_its_path(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + base64.b64encode(b"x" * 32).decode())
    found = check_webhook(webhook(url="http://127.0.0.1:9/hunter2", secret_file=secret, events=["alert"]), number=0)

    assert "127.0.0.1" in found
    assert "alert, signed" in found
    assert "hunter2" not in found
    assert "unsigned" in check_webhook(webhook(url="http://127.0.0.1:9/"), number=0)


def test_a_webhook_is_named_once():
    config = Config.model_validate({"webhooks": [{"url": "http://127.0.0.1:9/"}]})
    name = config.webhooks[0].name
    (found,) = (check for check in checks_of(config) if name in check.name)

    assert name not in str(found.run())


def test_a_missing_or_invalid_secret_is_named_with_its_key(tmp_path):
    for content in (None, "not a secret"):
        file = tmp_path / "secret"
        if content:
            file.write_text(content)
        with pytest.raises(ConfigError, match=r"webhooks\.3\.secret_file"):
            check_webhook(webhook(url="http://127.0.0.1/", secret_file=file), number=3)


def test_unknown_host_names_and_metadata_addresses_are_rejected(monkeypatch):
    with pytest.raises(UnavailableError, match=r"nowhere\.invalid"):
        check_webhook(webhook(url="https://nowhere.invalid/"), number=0)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("169.254.169.254", 443))])
    with pytest.raises(UnavailableError, match="link-local or metadata"):
        check_webhook(webhook(url="https://harmless.example/"), number=0)


@pytest.mark.parametrize(
    ("url", "warnings"), [("http://hook.example/", 1), ("https://hook.example/", 0), ("http://127.0.0.1/", 0)]
)
def test_unencrypted_alerts_are_a_warning(url, warnings):
    found = [one.message for one in check_exposure(Config.model_validate({"webhooks": [{"url": url}]}), file=None)]

    assert len([one for one in found if one.startswith("webhook")]) == warnings
