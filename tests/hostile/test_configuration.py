"""Hostile configurations and models: rejected at once, in little memory, with status 78 and without secrets."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from edge_agent.camera.byte_stream import JpegStream
from edge_agent.config.load import load_config
from edge_agent.config.model import Config, shipped
from edge_agent.diagnosis.exposure import check_exposure
from edge_agent.errors import ConfigError, ModelError
from edge_agent.vision.card import read_classifier_card
from edge_agent.vision.classifier import open_classifier
from edge_agent.vision.tflite import open_interpreter
from tests.hostile.pictures import jpeg

MEGABYTE = 1024 * 1024
SECRET = "hunter2secret"  # noqa: S105  (made up)


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text", [laughs(9), f"cameras: {{door: {{source: 1}}}}\n{laughs(7)}", "a: &a [*a]", "[" * 100_000]
)
def test_a_configuration_of_nested_aliases_is_rejected_at_once(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    began_at = time.monotonic()
    # In a separate process, so that its memory is measured apart from other tests.
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({1500 * MEGABYTE}, resource.RLIM_INFINITY))
from edge_agent.cli import main
sys.exit(main(["config", "--config", {str(file)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 78, done.stderr[-500:]
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 5000
    assert time.monotonic() - began_at < 30


@pytest.mark.parametrize(
    "text",
    [
        f"cameras: {{door: 'rtsp://me:{SECRET}@camera/live'}}",
        f"cameras: {{door: {{source: 'rtps://me:{SECRET}@camera/live'}}}}",
        f"cameras: {{door: {{source: ['rtsp://me:{SECRET}@camera/live']}}}}",
        f"mqtt: {{password: {SECRET}}}",
        f"mqtt: {{password_file: [{SECRET}]}}",
        f"mqtt: 'mqtt://me:{SECRET}@broker'",
        f"console: {{token_file: {{x: {SECRET}}}}}",
        f"mqtt: {{port: 'mqtt://me:{SECRET}@broker'}}",
        f"- rtsp://me:{SECRET}@camera/live",
        f"- https://hooks.example.org/{SECRET}",
        f"webhooks: https://hooks.example.org/{SECRET}",
        f"webhooks: [https://hooks.example.org/{SECRET}]",
        f"webhooks: [{{url: hooks.example.org/{SECRET}}}]",
        f"cameras: 'pipe: curl -u me:{SECRET} http://camera/live'",
        f"cameras: {{door: 'pipe: curl -u me:{SECRET} http://camera/live'}}",
        f"mqtt: {{transport: websockets, websocket_headers: Bearer {SECRET}}}",
        f'mqtt: {{transport: websockets, websocket_headers: {{Authorization: "{SECRET}\\x01"}}}}',
        f"mqtt: {{websocket_path: mqtt/{SECRET}}}",
        f"mqtt: {{username: {{door: {SECRET}}}}}",
    ],
)
def test_a_configuration_error_shows_no_secret(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError) as raised:
        load_config(file)

    assert SECRET not in str(raised.value)


def test_secrets_readable_by_others_are_named_and_protected_ones_are_not(tmp_path):
    password = tmp_path / "password"
    password.write_text("a long password\n", encoding="utf-8")
    password.chmod(0o644)
    (tmp_path / "state").mkdir()
    # Not by mkdir, which another test's umask would restrict.
    (tmp_path / "state").chmod(0o755)
    config = Config.model_validate(
        {
            "state_dir": str(tmp_path / "state"),
            "mqtt": {"host": "broker.example", "username": "door", "password_file": str(password)},
            "console": {"host": "192.0.2.1", "password_file": str(password)},
        }
    )

    exposed = [finding.message for finding in check_exposure(config, file=None)]
    assert len(exposed) == 5

    password.chmod(0o600)
    (tmp_path / "state").chmod(0o750)
    covered = config.model_copy(
        update={
            "mqtt": config.mqtt.model_copy(update={"tls": True}),
            "console": config.console.model_copy(update={"host": "127.0.0.1"}),
        }
    )
    assert list(check_exposure(covered, file=None)) == []


def test_a_model_that_fails_at_run_time_is_a_model_error():
    content = shipped("models").joinpath("masks.tflite").read_bytes()
    interpreter = open_interpreter(content, name="masks")
    shape = interpreter.inputs[0].shape

    with pytest.raises(ModelError):
        interpreter.run(np.zeros((*shape[:-1], shape[-1] + 1), interpreter.inputs[0].dtype))


@pytest.mark.parametrize("damage", ["cut off", "empty", "bytes", "another card"])
def test_a_damaged_model_or_card_ends_with_78(tmp_path, damage):
    for name in ("masks.tflite", "masks.json"):
        shutil.copy(shipped("models") / name, tmp_path)
    model, card = tmp_path / "masks.tflite", tmp_path / "masks.json"
    match damage:
        case "cut off":
            model.write_bytes(model.read_bytes()[:100_000])
        case "empty":
            model.write_bytes(b"")
        case "bytes":
            content = bytearray(model.read_bytes())
            content[1000:2000] = bytes(1000)
            model.write_bytes(content)
        case _:
            card.write_text("[" * 100_000, encoding="utf-8")

    with pytest.raises(ModelError):
        read_classifier_card(model)
    with pytest.raises(ModelError) as raised:
        open_classifier(model)
    assert raised.value.exit_code == 78


def test_the_cost_of_an_unterminated_jpeg_does_not_grow_with_its_length():
    stream = JpegStream()
    whole = jpeg(640, 480)
    stream.add(whole[:-2])
    chunk = bytes(65_536)
    began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for _ in range(450):
        stream.add(chunk)
    seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - began

    assert seconds < 1.0
    stream.add(b"\xff\xd9" + whole)
    image = stream.newest()
    assert image is not None
    assert image.shape == (480, 640, 3)
