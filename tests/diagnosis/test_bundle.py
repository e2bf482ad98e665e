"""Support bundle: contains what helps, and none of the secrets planted everywhere."""

from __future__ import annotations

import json
import tarfile
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_agent.alerts.store import AlertStore
from edge_agent.config.model import Config
from edge_agent.diagnosis.bundle import write_bundle
from edge_agent.diagnosis.examination import Examination
from edge_agent.diagnosis.finding import Finding
from edge_agent.diagnosis.system import read_system
from edge_agent.errors import UnavailableError
from edge_agent.host.stats import HostStats
from tests.mqtt.samples import put

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
SECRETS = (
    "wskey33",
    "wstoken22",
    "mqttpassword77",
    "camuser",
    "cam%40pass",
    "cam@pass",
    "querytoken99",
    "pathpass55",
    "oldpass33",
    "brokeruser",
    "consolepassword66",
    "consoletoken44",
    "displaytoken55",
    "webhookpath88",
    "webhooksecret99",
)


@pytest.fixture
def config(tmp_path) -> Config:
    """A configuration with a secret in every place that can contain one."""
    password_file = tmp_path / "password"
    password_file.write_text("mqttpassword77\n")
    for name in ("consolepassword66", "consoletoken44", "displaytoken55", "webhooksecret99"):
        (tmp_path / name.rstrip("6495")).write_text(f"{name}\n")
    return Config(
        state_dir=tmp_path / "state",
        cameras={
            "door": {"source": "rtsp://camuser:cam%40pass@camera.local/stream?key=querytoken99"},
            "yard": {"source": "rtsp://camera.local/user=admin_password=pathpass55_channel=1.sdp"},
        },
        mqtt={
            "host": "broker.local",
            "username": "brokeruser",
            "password_file": password_file,
            "transport": "websockets",
            "websocket_path": "/mqtt?key=wskey33",
            "websocket_headers": {"Authorization": "Bearer wstoken22"},
        },
        console={"password_file": tmp_path / "consolepassword", "token_file": tmp_path / "consoletoken"},
        display={"enabled": True, "token_file": tmp_path / "displaytoken"},
        webhooks=[{"url": "https://hooks.example/webhookpath88", "secret_file": tmp_path / "webhooksecret"}],
    )


def bundled(tmp_path, config, *, findings=(), journal="") -> dict[str, str]:
    """Write a bundle and return the text of each file."""
    path = tmp_path / "support.tar.gz"
    machine = HostStats(tmp_path).read() if config else None
    write_bundle(path, Examination(findings, read_system(), config, machine), journal=journal, when=NOW)
    with tarfile.open(path) as archive:
        return {Path(member.name).name: text_of(archive, member) for member in archive.getmembers()}


def text_of(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    assert file is not None
    return file.read().decode()


def test_no_planted_secret_is_in_any_file(tmp_path, config):
    source = config.cameras["door"].source
    journal = (
        f"opening {source}\nthe broker refuses mqttpassword77\npassword=oldpass33 was tried\n"
        "rtsp://camuser:oldpass33@old.camera/ is gone\ncam@pass\n"
        "typed consolepassword66 and sent consoletoken44\n"
        "displaytoken55 or webhooksecret99 for https://hooks.example/webhookpath88"
    )
    outbox = AlertStore(config.store_file, boot_id="boot")
    put(outbox, "telemetry", versions={"maskwatch": source})
    outbox.close()

    files = bundled(tmp_path, config, findings=[Finding("camera door", "wrong", f"{source}: away")], journal=journal)

    everything = "\n".join(files.values())
    assert [secret for secret in SECRETS if secret in everything] == []
    assert "camera.local/stream" in files["doctor.json"]
    assert "the broker refuses ***" in files["journal.txt"]
    assert "username: '***'" in files["config.yaml"]


@pytest.mark.parametrize("password", ["päss wort", 'pass"word', "pass\\word", "1234"])
def test_a_password_is_masked_in_whatever_form_json_gives_its_characters(tmp_path, config, password):
    (tmp_path / "password").write_text(f"{password}\n", encoding="utf-8")
    finding = Finding("broker", "wrong", f"refuses {password}", exit_code=75)

    (found,) = json.loads(bundled(tmp_path, config, findings=[finding])["doctor.json"])

    assert found["message"] == "refuses ***"


def test_the_bundle_has_all_files(tmp_path, config):
    outbox = AlertStore(config.store_file, boot_id="boot")
    put(outbox, "telemetry", alerts_today=3)
    outbox.close()

    files = bundled(tmp_path, config, findings=[Finding("clock", "warning", "wrong", "fix it")])

    assert json.loads(files["doctor.json"])[0]["fix"] == "fix it"
    assert json.loads(files["outbox.json"])["newest_telemetry"]["alerts_today"] == 3
    assert json.loads(files["history.json"]) == {"alerts": 0, "set_aside": []}
    assert json.loads(files["system.json"])["packages"]["maskwatch"]
    assert "disk_free_bytes" in json.loads(files["machine.json"])
    assert (tmp_path / "support.tar.gz").stat().st_mode & 0o777 == 0o600


def test_an_invalid_configuration_is_reported_by_lines_and_keys_only(tmp_path):
    message = "/etc/maskwatch/config.yaml:\n  line 3   mqtt.port: 'hunter2secret' is not a whole number"

    files = bundled(tmp_path, None, findings=[Finding("configuration", "wrong", message)], journal="hunter2secret")

    assert "line 3   mqtt.port:" in files["doctor.json"]
    assert "hunter2secret" not in "".join(files.values())
    assert "journal.txt" not in files


def test_a_bundle_that_cannot_be_written_is_reported_and_leaves_nothing(tmp_path, config):
    (tmp_path / "file").touch()
    examination = Examination([], read_system(), config, None)

    with pytest.raises(UnavailableError, match="choose a file in another folder"):
        write_bundle(tmp_path / "file" / "x.tar.gz", examination, journal="", when=NOW)
