"""Console and agent as two processes: neither is affected when the other stops, hangs or is killed."""

from __future__ import annotations

import json
import signal
import socket
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

import httpx
import pytest

from edge_agent.alerts.history import AlertHistory
from tests.console.browsing import AGAIN_AND_AGAIN, CAMERA, WatchedDoor
from tests.console.served import TIMEOUT_SECONDS, connect
from tests.journeys.agent import END_SECONDS, AgentProcess, ConsoleProcess, run_command, wait_until
from tests.mosquitto import free_port

# A busy machine may answer late.
get, post = partial(httpx.get, timeout=TIMEOUT_SECONDS), partial(httpx.post, timeout=TIMEOUT_SECONDS)


@pytest.fixture
def door(tmp_path):
    with WatchedDoor(tmp_path, cameras={CAMERA: AGAIN_AND_AGAIN}, mqtt_port=free_port()) as watched:
        yield watched


def kept_alerts(door):
    return AlertHistory(door.folder / "state" / "alerts.sqlite", only_reads=True).find()


def has_alerted(door, count):
    # Read notifications like a service manager: otherwise the socket fills up, and the agent waits and logs that.
    assert door.notifications
    return len(kept_alerts(door)) >= count


def alerts(origin):
    return get(f"{origin}/api/v1/alerts").json()["alerts"]


def test_frames_and_alerts_of_the_agent_are_shown(door):
    with connect(f"{door.origin.replace('http', 'ws')}/live", origin=door.origin) as line:
        line.send(json.dumps({"watch": [CAMERA]}))
        received: dict[str, Any] = {}
        while not {"picture", "overview", "alert"} <= received.keys():
            message = line.recv(timeout=TIMEOUT_SECONDS)
            if isinstance(message, bytes):
                received["picture"] = json.loads(message[4 : 4 + int.from_bytes(message[:4], "big")])
                line.send(json.dumps({"shown": CAMERA}))
            else:
                received.update(json.loads(message))

    assert received["picture"]["camera"] == CAMERA
    (camera,) = received["overview"]["cameras"]
    assert (camera["name"], camera["is_open"], camera["frame_size"]) == (CAMERA, True, [640, 360])
    assert received["alert"]["label"] == "without_mask"
    alert = get(f"{door.origin}/api/v1/alerts/{received['alert']['id']}").json()
    assert alert["timeline"]
    crop = get(f"{door.origin}/api/v1/alerts/{received['alert']['id']}/crop")
    assert crop.content.startswith(b"\xff\xd8")
    figures = get(f"{door.origin}/metrics").text
    assert f'maskwatch_alerts_total{{camera="{CAMERA}",label="without_mask"}}' in figures
    assert get(f"{door.origin}/health").json() == {"ok": True, "reasons": []}


def test_a_paused_camera_shows_nothing_until_it_is_resumed(door):
    frame = f"{door.origin}/api/v1/cameras/{CAMERA}/frame.jpg"
    wait_until(lambda: get(frame).status_code == 200, "a picture")

    answer = post(f"{door.origin}/api/v1/commands/pause", json={"camera": CAMERA})

    assert answer.json()["result"] == {"cameras": [CAMERA], "seconds": None}
    wait_until(lambda: get(frame).status_code == 404, "the picture to go")
    wait_until(
        lambda: get(f"{door.origin}/health").json() == {"ok": True, "reasons": ["paused"]},
        "the health endpoint to report it",
    )
    post(f"{door.origin}/api/v1/commands/resume")
    wait_until(lambda: get(frame).status_code == 200, "the picture to come back")


def test_the_console_stops_soon_with_open_viewers(door):
    with ExitStack() as stack:
        for _ in range(5):
            line = stack.enter_context(connect(f"{door.origin.replace('http', 'ws')}/live", origin=door.origin))
            line.send(json.dumps({"watch": [CAMERA]}))
            line.recv(timeout=TIMEOUT_SECONDS)
        stack.enter_context(socket.create_connection(("127.0.0.1", door.port)))
        began = time.monotonic()

        assert door.console.end() == 0

        assert time.monotonic() - began < END_SECONDS
        assert "Traceback" not in door.console.log


def test_stopping_or_killing_the_console_does_not_affect_detection(door):
    with connect(f"{door.origin.replace('http', 'ws')}/live", origin=door.origin) as line:
        line.send(json.dumps({"watch": [CAMERA]}))
        line.recv(timeout=TIMEOUT_SECONDS)

        for how in (signal.SIGSTOP, signal.SIGKILL):
            before = len(kept_alerts(door))
            door.console.process.send_signal(how)
            # The recording restarts every nine seconds, with the same people.
            wait_until(partial(has_alerted, door, before + 2), f"two alerts after {how.name}")
            assert door.process.poll() is None

    lines = door.log.partition("alert: ")[2].splitlines()
    # On a busy machine the notification socket, which this test reads late, may be full for a while.
    assert not [line for line in lines if "WARNING" in line and "NOTIFY_SOCKET" not in line]
    door.console.process.wait()
    door.console.start()
    door.wait_until_ready()
    assert len(alerts(door.origin)) >= 4


def test_a_killed_agent_is_reported_and_found_again(door):
    door.end(signal.SIGKILL)
    # A status of the last second is still valid.
    wait_until(lambda: get(f"{door.origin}/health").status_code == 503, "the end to be noticed")
    assert get(f"{door.origin}/alerts").status_code == 200

    AgentProcess.start(door)

    door.wait_until_ready()
    frame = f"{door.origin}/api/v1/cameras/{CAMERA}/frame.jpg"
    wait_until(lambda: get(frame).status_code == 200, "a picture of the new agent")


def test_a_port_in_use_ends_only_the_console(door):
    second = ConsoleProcess(door.config_file, log_file=door.folder / "second.log")
    second.start()

    assert second.process is not None
    # 75: systemd restarts it.
    assert second.process.wait(timeout=TIMEOUT_SECONDS) == 75
    assert f"port {door.port}" in second.log
    assert get(f"{door.origin}/health").json()["ok"]


def test_beyond_loopback_it_does_not_start_without_a_password(tmp_path):
    (tmp_path / "config.yaml").write_text("console: {host: 0.0.0.0}\n", encoding="utf-8")

    done = run_command("console", "--config", tmp_path / "config.yaml")

    assert done.returncode == 78
    assert "console" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_short_password_ends_the_start_with_an_error(tmp_path):
    (tmp_path / "password").write_text("1234\n", encoding="utf-8")
    (tmp_path / "config.yaml").write_text("console: {password_file: password}\n", encoding="utf-8")

    done = run_command("console", "--config", tmp_path / "config.yaml", "--set", f"state_dir={tmp_path / 'state'}")

    assert done.returncode == 78
    assert "shorter than 8 characters" in done.stderr
    assert "1234" not in done.stderr
