"""Certificate checks: warn before expiry, by the dates that openssl reads."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from edge_agent.config.model import Config, MqttConfig
from edge_agent.diagnosis.certificates import check_certificates
from tests.mosquitto import Mosquitto, free_port
from tests.mqtt.brokers import make_certificates

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(timezone.utc)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    """An authority and a broker's certificate, valid for two days or less."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def openssl_expiry(file: Path) -> datetime:
    command = ["openssl", "x509", "-in", str(file), "-noout", "-enddate"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return datetime.strptime(output.removeprefix("notAfter="), "%b %d %H:%M:%S %Y %Z").replace(tzinfo=timezone.utc)


def a_certificate(folder: Path, *, days: int) -> Path:
    file = folder / f"{days}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=door", "-days", str(days)]
    subprocess.run([*command, "-keyout", str(folder / "key"), "-out", str(file)], check=True, capture_output=True)
    return file


# From 2050 on, dates in certificates have another encoding (RFC 5280, 4.1.2.5).
@pytest.mark.parametrize("days", [1, 400, 20_000])
def test_expiry_dates_agree_with_openssl(tmp_path, days):
    file = a_certificate(tmp_path, days=days)
    config = Config(mqtt=MqttConfig(host="127.0.0.1", port=free_port(), tls=True, ca_file=file))
    end = openssl_expiry(file)

    (before,) = check_certificates(config, now=end - timedelta(seconds=1))
    (after,) = check_certificates(config, now=end)

    assert (before.severity, after.severity) == ("warning", "wrong")


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", b"MIIB"])
def test_a_file_without_a_certificate_is_an_error(tmp_path, content):
    (tmp_path / "ca.pem").write_bytes(content)
    mqtt = MqttConfig(host="127.0.0.1", port=free_port(), tls=True, ca_file=tmp_path / "ca.pem")

    (finding,) = check_certificates(Config(mqtt=mqtt), now=NOW)

    assert (finding.severity, finding.exit_code) == ("wrong", 78)


@pytest.mark.parametrize(("days_left", "severity"), [(43, "ok"), (29, "warning"), (-1, "wrong")])
def test_a_certificate_is_checked_for_its_remaining_validity(tmp_path, days_left, severity):
    file = a_certificate(tmp_path, days=40)
    mqtt = MqttConfig(host="127.0.0.1", port=free_port(), tls=True, ca_file=file)

    (finding,) = check_certificates(Config(mqtt=mqtt), now=openssl_expiry(file) - timedelta(days=days_left))

    assert (finding.check, finding.severity) == ("mqtt.ca_file", severity)
    assert bool(finding.fix) == (severity != "ok")


def test_the_certificate_of_a_broker_is_checked_too(tmp_path, certificates):
    with Mosquitto(tmp_path / "broker", certificates=certificates) as broker:
        mqtt = broker.config(tls=True, ca_file=certificates / "ca.pem")
        found = list(check_certificates(Config(mqtt=mqtt), now=NOW))

    assert [finding.check for finding in found] == ["mqtt.ca_file", "certificate of broker"]
    assert f"{openssl_expiry(certificates / 'server.pem'):%Y-%m-%d}" in found[1].message


def test_a_missing_file_or_one_without_a_certificate_is_an_error(tmp_path):
    (tmp_path / "key.pem").write_text("no certificate")
    mqtt = MqttConfig(
        host="127.0.0.1", port=free_port(), tls=True,
        ca_file=tmp_path / "none.pem", cert_file=tmp_path / "key.pem", key_file=tmp_path / "key.pem",
    )  # fmt: skip

    missing, other = check_certificates(Config(mqtt=mqtt), now=NOW)

    assert (missing.severity, other.severity) == ("wrong", "wrong")
    assert "No such file" in missing.message
    assert "contains no PEM certificate" in other.message


def test_without_tls_there_is_no_finding():
    assert list(check_certificates(Config(), now=NOW)) == []


def test_the_certificate_of_the_console_is_checked(tmp_path):
    file = a_certificate(tmp_path, days=1)
    console = {"cert_file": file, "key_file": tmp_path / "key"}

    (finding,) = check_certificates(Config.model_validate({"console": console}), now=NOW)
    assert (finding.check, finding.severity) == ("console.cert_file", "warning")
