"""`edge-agent doctor`: as text and as JSON."""

from __future__ import annotations

import json
import os
import tarfile

import pytest

from tests.journeys.agent import EXAMPLE, run_command
from tests.mosquitto import Mosquitto, free_port


def test_doctor_finds_nothing_wrong_on_a_healthy_device(tmp_path):
    with Mosquitto(tmp_path / "broker") as broker:
        done = run_command(
            "doctor", "--json", "--set", f"cameras={{door: {{source: {EXAMPLE}}}}}", "--set", "mqtt.host=127.0.0.1",
            "--set", f"mqtt.port={broker.port}", "--set", f"state_dir={tmp_path / 'state'}",
        )  # fmt: skip

    *findings, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert [finding for finding in findings if finding["severity"] == "wrong"] == []
    assert {"masks", "runtime", "faces", "camera door", "history", "broker", "console", "threads"} <= {
        one["check"] for one in findings
    }
    assert last["summary"]["wrong"] == 0
    assert last["system"]["packages"]["maskwatch"]
    # 1 if the test machine has warnings.
    assert done.returncode in {0, 1}


def test_the_worst_finding_is_first_and_each_has_a_command(tmp_path):
    done = run_command(
        "doctor", "--set", "cameras={door: {source: /dev/video97}}", "--set", f"mqtt.port={free_port()}",
        "--set", f"masks.model={tmp_path / 'none.tflite'}", "--set", f"state_dir={tmp_path / 'state'}",
    )  # fmt: skip

    _, _, first, *_ = done.stdout.splitlines()
    assert done.returncode == 78
    assert first.startswith("WRONG")
    wrong, _, ok = done.stdout.partition("\nok ")
    assert "WRONG" not in ok
    assert wrong.count("\nWRONG") <= wrong.count("-> ")
    assert "-> v4l2-ctl --list-devices" in wrong
    assert "Traceback" not in done.stderr


def test_a_wrong_configuration_is_explained_and_still_bundled_without_its_values(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("mqtt: {port: hunter2secret}\n", encoding="utf-8")

    done = run_command("doctor", "--config", file, "--bundle", tmp_path / "support.tar.gz")

    assert done.returncode == 78
    assert "'hunter2secret' is not a whole number" in done.stdout
    assert f"-> sudoedit {file}" in done.stdout
    with tarfile.open(tmp_path / "support.tar.gz") as archive:
        texts = [archive.extractfile(member).read() for member in archive.getmembers()]  # type: ignore[union-attr]
    assert b"line 1" in b"".join(texts)
    assert b"hunter2secret" not in b"".join(texts)


def test_the_bundle_of_a_device_contains_no_password(tmp_path):
    (tmp_path / "password").write_text("mqttpassword77\n")
    done = run_command(
        "doctor", "--bundle", tmp_path / "support.tar.gz", "--set", f"state_dir={tmp_path / 'state'}",
        "--set", f"cameras={{door: {{source: 'rtsp://me:campass88@127.0.0.1:{free_port()}/live'}}}}",
        "--set", "mqtt.username=door", "--set", f"mqtt.password_file={tmp_path / 'password'}",
        "--set", f"mqtt.port={free_port()}",
    )  # fmt: skip

    assert "support.tar.gz: written" in done.stderr
    with tarfile.open(tmp_path / "support.tar.gz") as archive:
        texts = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}  # type: ignore[union-attr]
    assert len(texts) == 8
    assert [name for name, text in texts.items() if b"campass88" in text or b"mqttpassword77" in text] == []


def test_an_inaccessible_folder_is_named_without_what_only_a_program_reads(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    done = run_command("doctor", "--quick", "--json", "--set", f"mqtt.port={free_port()}", "--set", f"state_dir={loop}")

    found = {finding.get("check"): finding for finding in map(json.loads, done.stdout.splitlines())}
    assert found["crops"]["message"].startswith(f"{loop}/crops: ")
    assert "Errno" not in done.stdout


@pytest.mark.parametrize("extent", [[], ["--quick"]], ids=["full", "quick"])
def test_the_state_of_the_service_is_examined(tmp_path, extent):
    systemctl = tmp_path / "systemctl"
    systemctl.write_text("#!/bin/sh\necho LoadState=loaded\necho StateDirectory=of-a-test\n", encoding="utf-8")
    systemctl.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    env.pop("STATE_DIRECTORY", None)

    done = run_command("doctor", *extent, "--json", "--set", f"mqtt.port={free_port()}", env=env)

    found = {finding.get("check"): finding for finding in map(json.loads, done.stdout.splitlines())}
    assert found["outbox"]["message"].startswith("/var/lib/of-a-test/")
