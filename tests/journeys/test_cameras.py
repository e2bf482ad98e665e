"""The whole agent with cameras that are programs, and passwords that are never shown."""

from __future__ import annotations

import json
import shlex
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.journeys.agent import EXAMPLE, AgentProcess, run_command, wait_until
from tests.mqtt.samples import Listener
from tests.rtsp_server import RtspServer

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

    from tests.mosquitto import Mosquitto

TELLTALE = "hunter2"


def a_config(broker: Mosquitto, **cameras: Any) -> dict[str, Any]:
    return {
        "device": {"id": "door"},
        "cameras": cameras,
        "faces": {"detector": "haar", "input_long_side_px": 400, "min_face_px": 60},
        "mqtt": {"host": "127.0.0.1", "port": broker.port, "telemetry_seconds": 1},
    }


def test_a_person_at_a_pipe_camera_raises_an_alert(broker, tmp_path):
    source = f"ffmpeg: -re {shlex.quote(str(EXAMPLE))}"
    with (
        Listener(broker.port) as listener,
        AgentProcess(tmp_path / "agent", a_config(broker, entrance={"source": source})) as agent,
    ):
        alert = json.loads(listener.take("/alerts").payload)
        assert agent.end() == 0

    assert (alert["camera"], alert["label"]) == ("entrance", "without_mask")


def test_the_password_of_a_camera_is_never_shown(broker, tmp_path):
    """Neither in output of camera programs nor in answers to commands."""
    verbose = tmp_path / "verbose"
    verbose.write_text(f'#!/bin/sh\necho "refused: rtsp://admin:{TELLTALE}@camera/live ($*)" >&2\nexit 1\n')
    verbose.chmod(0o755)
    server = RtspServer()
    address = server.address(f"admin:{TELLTALE}")
    config = a_config(
        broker,
        stream={"source": address},
        preset={"source": f"ffmpeg: {address}"},
        verbose={"source": f"pipe: {verbose} --user admin --password {TELLTALE} {address}"},
    )
    messages: list[MQTTMessage] = []

    def has_received(text: bytes) -> bool:
        messages.extend(listener.rest())
        return any(text in message.payload for message in messages)

    with Listener(broker.port) as listener, AgentProcess(tmp_path / "agent", config) as agent:
        for name in (b"camera stream", b"camera preset: ffmpeg: rtsp", b"camera verbose: pipe: "):
            wait_until(partial(has_received, name), name.decode())
        listener.publish("maskwatch/door/commands/diagnostics")
        wait_until(lambda: has_received(b"rtsp://***@127.0.0.1"), "the diagnostics")
        wait_until(lambda: has_received(b"maskwatch.telemetry/1"), "the telemetry")
        agent.end()
        written = agent.log + str(agent.notifications)
        checked = run_command("doctor", "--quick", "--json", "--config", agent.config_file)

    published = b"\n".join(message.payload for message in messages).decode()
    assert "refused: rtsp://***@camera/live" in published
    assert "camera verbose" in written
    assert "camera verbose" in checked.stdout
    for text in (published, written, checked.stdout, checked.stderr):
        assert TELLTALE not in text
