"""Examination: each finding has the command that fixes it."""

from __future__ import annotations

import socket
import subprocess
from datetime import datetime, timezone
from importlib.util import find_spec

import pytest
import yaml

from edge_agent.config.load import SYSTEM_FILE
from edge_agent.config.model import Config
from edge_agent.diagnosis.camera import check_camera
from edge_agent.diagnosis.examination import examine
from edge_agent.wiring import alone_in
from tests.mosquitto import Mosquitto, free_port
from tests.recordings import ffmpeg

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


def examined(tmp_path, **keys):
    """Findings for this configuration, by check."""
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"state_dir": str(tmp_path / "state"), "mqtt": {"port": free_port()}, **keys}))
    found = examine(file, overrides=[], now=NOW, root=tmp_path).findings
    return {finding.check: finding for finding in found}


@pytest.mark.parametrize(
    ("source", "fix"),
    [
        ("/dev/video97", "v4l2-ctl --list-devices"),
        ("97", "v4l2-ctl --list-devices"),
        ("rtsp://me:secret@127.0.0.1:1/live", "ping -c 3 127.0.0.1"),
        ("/nowhere/door.mp4", "ls -l /nowhere/door.mp4"),
        ("ffmpeg: -stream_loop 1 '/nowhere/front door.mp4'", "ls -l '/nowhere/front door.mp4'"),
        ("ffmpeg: -f v4l2 /dev/video97", "v4l2-ctl --list-devices"),
        ("/dev/null", "fuser -v /dev/null"),
    ],
)
def test_a_missing_camera_has_a_command_without_its_password(tmp_path, source, fix):
    finding = examined(tmp_path, cameras={"door": {"source": source}})["camera door"]

    assert (finding.severity, finding.exit_code, finding.fix) == ("wrong", 75, fix)
    assert "secret" not in finding.message


def test_beside_an_agent_a_device_is_not_opened_but_a_missing_one_is_reported(tmp_path):
    with alone_in(tmp_path / "state"):
        found = examined(tmp_path, cameras={"door": {"source": "/dev/null"}, "yard": {"source": "/dev/video97"}})

    assert (found["camera door"].severity, found["camera yard"].severity) == ("ok", "wrong")


@pytest.mark.parametrize("source", ["0", "/dev/video0", "rpicam", "picamera2: 1"])
def test_beside_an_agent_no_camera_is_opened_that_only_one_program_can_use(tmp_path, source):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/video0").touch()
    keys = {"state_dir": str(tmp_path / "state"), "cameras": {"door": {"source": source}}}

    with alone_in(tmp_path / "state"):
        found = check_camera(Config.model_validate(keys), "door", root=tmp_path)

    assert (found.severity, "not opened" in found.message) == ("ok", True)


@pytest.mark.parametrize(
    ("pattern", "severity", "moves"), [("testsrc2", "ok", "moving"), ("color=black", "warning", "still")]
)
def test_the_picture_of_a_camera_is_described_and_black_is_a_warning(tmp_path, pattern, severity, moves):
    video = tmp_path / "door.mkv"
    separator = ":" if "=" in pattern else "="
    ffmpeg("-f", "lavfi", "-i", f"{pattern}{separator}size=320x240:rate=25:duration=1", "-c:v", "libx264", video)

    finding = examined(tmp_path, cameras={"door": {"source": str(video)}})["camera door"]

    assert finding.severity == severity
    assert "320x240" in finding.message
    assert moves in finding.message
    assert "no faces" in finding.message


def test_a_folder_that_cannot_be_created_has_a_command(tmp_path):
    (tmp_path / "state").touch()

    found = examined(tmp_path)

    assert found["outbox"].fix.startswith(f"mv {tmp_path / 'state'}")
    assert (found["crops"].severity, found["crops"].fix) == ("wrong", found["outbox"].fix)


def test_a_name_with_spaces_is_one_word_of_a_command(tmp_path):
    state = tmp_path / "state of; the door"
    state.touch()

    assert examined(tmp_path, state_dir=str(state))["outbox"].fix == f"mv '{state}' '{state}'.old"


def test_a_public_key_that_is_not_one_has_its_own_command(tmp_path):
    pytest.importorskip("pyrage")

    found = examined(tmp_path, crops={"encrypt_for": ["age1nothing"]})

    assert (found["crops"].exit_code, found["crops"].fix) == (78, "age-keygen -y KEY_FILE")


def test_a_missing_custom_model_leads_to_the_list_of_models(tmp_path):
    found = examined(tmp_path, masks={"model": str(tmp_path / "none.tflite")})

    assert (found["masks"].fix, found["masks"].exit_code) == ("edge-agent models", 78)


def test_an_unreachable_or_refusing_broker_has_a_command(tmp_path):
    password_file = tmp_path / "password"
    password_file.write_text("not the password\n")
    assert examined(tmp_path)["broker"].fix == "sudo systemctl enable --now mosquitto"

    with Mosquitto(tmp_path / "broker", users={"door": "the password"}) as broker:
        mqtt = {"host": "127.0.0.1", "port": broker.port, "username": "door", "password_file": str(password_file)}
        found = examined(tmp_path, mqtt=mqtt)
        del mqtt["password_file"]
        without_password = examined(tmp_path, mqtt=mqtt)

    assert found["broker"].fix == f"sudoedit {password_file}"
    assert (without_password["broker"].fix, without_password["broker"].exit_code) == (f"sudoedit {SYSTEM_FILE}", 75)


def test_a_certificate_or_passphrase_for_the_broker_has_a_command(tmp_path):
    bad, certificate, locked = tmp_path / "bad.pem", tmp_path / "cert.pem", tmp_path / "locked.pem"
    bad.write_text("no certificate\n")
    (tmp_path / "password").write_text("another password\n")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:a phrase", "-subj", "/CN=door"]
    subprocess.run([*command, "-keyout", locked, "-out", certificate], check=True, capture_output=True)
    mqtt = {"host": "127.0.0.1", "port": free_port(), "tls": True, "username": "door"}
    mqtt["password_file"] = str(tmp_path / "password")
    with_key = {"cert_file": str(certificate), "key_file": str(locked)}

    for keys, fix in (
        ({"ca_file": str(bad)}, f"openssl x509 -in {bad} -noout -text"),
        ({"cert_file": str(bad), "key_file": str(bad)}, f"openssl x509 -in {bad} -noout -text"),
        ({**with_key, "key_password_file": str(bad)}, f"sudoedit {bad}"),
        ({**with_key, "key_password_file": str(tmp_path / "none")}, f"sudoedit {tmp_path / 'none'}"),
        (with_key, f"sudoedit {SYSTEM_FILE}"),
    ):
        found = examined(tmp_path, mqtt={**mqtt, **keys})["broker"]

        assert (found.severity, found.exit_code, found.fix) == ("wrong", 78, fix)


def test_a_password_provided_by_systemd_needs_the_service_to_run(tmp_path):
    file = "/run/credentials/edge-agent.service/of-a-test"
    mqtt = {"host": "127.0.0.1", "username": "door", "password_file": file}
    webhooks = [{"url": "https://hooks.example.org/x", "secret_file": file}]
    found = examined(tmp_path, mqtt=mqtt, webhooks=webhooks)

    assert found["broker"].fix == "sudo systemctl start edge-agent"
    assert found["webhook https://hooks.example.org (31f1f0cc)"].fix == "sudo systemctl start edge-agent"


def test_an_invalid_configuration_is_the_only_finding(tmp_path):
    found = examined(tmp_path, motoin={})

    assert list(found) == ["configuration"]
    assert "did you mean 'motion'?" in found["configuration"].message


def test_an_inaccessible_folder_does_not_end_the_examination(tmp_path):
    # The kernel rejects so long a name, even for root.
    found = examined(tmp_path, state_dir=str(tmp_path / ("x" * 300)))

    assert found["outbox"].severity == "wrong"
    assert "threads" in found


def test_a_console_that_would_not_start_has_a_command(tmp_path):
    secret, certificate = tmp_path / "token", tmp_path / "cert.pem"
    secret.write_text("short\n")
    certificate.write_text("no certificate\n")
    tls = {"cert_file": str(certificate), "key_file": str(certificate)}
    new_secret = f"openssl rand -hex 16 | sudo tee {secret}"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for keys, exit_code, fix in (
            ({"console": {"token_file": str(secret)}}, 78, new_secret),
            ({"display": {"enabled": True, "token_file": str(secret)}}, 78, new_secret),
            ({"console": tls}, 78, f"openssl x509 -in {certificate} -noout -text"),
            ({"console": {"port": port}}, 75, f"ss -tlnp 'sport = :{port}'"),
        ):
            found = examined(tmp_path, **keys)["console"]

            if find_spec("fastapi") is None:
                # In the environment of a device without the extra there is no console.
                assert found.severity == "ok"
            else:
                assert (found.severity, found.exit_code, found.fix) == ("wrong", exit_code, fix)
