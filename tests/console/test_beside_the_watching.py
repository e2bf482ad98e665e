"""The console beside an agent that watches: it starts, changes, fails and ends without costing an alert."""

from __future__ import annotations

import json
import signal
import socket
import time
from functools import partial
from typing import Any

import httpx
import pytest
import yaml
from websockets.sync.client import connect

from tests.console.browsing import AGAIN_AND_AGAIN, CAMERA, WatchedDoor
from tests.journeys.agent import AgentProcess, run_command, wait_until
from tests.mosquitto import free_port

# The console steps back behind everything else on a machine that is busy with other tests.
get, post = partial(httpx.get, timeout=60), partial(httpx.post, timeout=60)


@pytest.fixture
def door(tmp_path):
    with WatchedDoor(tmp_path, cameras={CAMERA: AGAIN_AND_AGAIN}, mqtt_port=free_port()) as watched:
        yield watched


def alerts(origin):
    return get(f"{origin}/api/v1/alerts").json()["alerts"]


def test_what_is_seen_is_shown_and_what_is_alerted_is_told(door):
    with connect(f"{door.origin.replace('http', 'ws')}/live", origin=door.origin) as line:
        line.send(json.dumps({"watch": [CAMERA]}))
        heard: dict[str, Any] = {}
        while not {"picture", "overview", "alert"} <= heard.keys():
            message = line.recv(timeout=60)
            if isinstance(message, bytes):
                heard["picture"] = json.loads(message[4 : 4 + int.from_bytes(message[:4], "big")])
                line.send(json.dumps({"shown": CAMERA}))
            else:
                heard.update(json.loads(message))

    assert heard["picture"]["camera"] == CAMERA
    (camera,) = heard["overview"]["cameras"]
    assert (camera["name"], camera["is_open"], camera["frame_size"]) == (CAMERA, True, [640, 360])
    assert heard["alert"]["label"] == "without_mask"
    alert = get(f"{door.origin}/api/v1/alerts/{heard['alert']['id']}").json()
    assert alert["course"]
    crop = get(f"{door.origin}/api/v1/alerts/{heard['alert']['id']}/crop")
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
        lambda: get(f"{door.origin}/health").json() == {"ok": True, "reasons": ["paused"]}, "the health to say so"
    )
    post(f"{door.origin}/api/v1/commands/resume")
    wait_until(lambda: get(frame).status_code == 200, "the picture to come back")


def test_it_ends_within_five_seconds_whoever_looks_on(door):
    lines = [connect(f"{door.origin.replace('http', 'ws')}/live", origin=door.origin) for _ in range(5)]
    for line in lines:
        line.send(json.dumps({"watch": [CAMERA]}))
        line.recv(timeout=20)
    silent = socket.create_connection(("127.0.0.1", door.port))
    began = time.monotonic()

    assert door.end(signal.SIGTERM) == 0

    assert time.monotonic() - began < 5.0
    assert "Traceback" not in door.log
    assert "WARNING console" not in door.log
    silent.close()
    for line in lines:
        line.close()


def test_a_new_configuration_opens_it_anew(door, tmp_path):
    config = yaml.safe_load(door.config_file.read_text(encoding="utf-8"))
    (tmp_path / "token").write_text("a token for programs", encoding="utf-8")
    port = free_port()
    config["console"] |= {"port": port, "token_file": str(tmp_path / "token")}
    door.configure(config)
    assert door.process is not None
    door.process.send_signal(signal.SIGHUP)

    def status(**headers):
        try:
            return get(f"http://127.0.0.1:{port}/api/v1/status", headers=headers).status_code
        except httpx.TransportError:
            return 0

    wait_until(lambda: status() == 401, "the new port, and that it asks for a token")
    assert status(Authorization="Bearer a token for programs") == 200
    with pytest.raises(httpx.TransportError):
        get(f"{door.origin}/health")

    # A token that is gone leaves everything as it was.
    (tmp_path / "token").unlink()
    door.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the configuration stays as it was" in door.log, "the refusal")
    assert "console.token_file" in door.log
    assert status(Authorization="Bearer a token for programs") == 200


def test_a_port_that_is_taken_costs_no_alert(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = {
            "device": {"id": "door-3"},
            "cameras": {CAMERA: {"source": AGAIN_AND_AGAIN}},
            "mqtt": {"host": "127.0.0.1", "port": free_port()},
            "console": {"enabled": True, "port": port},
        }
        with AgentProcess(tmp_path, config) as agent:
            wait_until(lambda: "alert: without_mask" in agent.log, "an alert")
            assert f"the console cannot be reached: 127.0.0.1 port {port}: Address already in use" in agent.log
            taken.close()
            origin = f"http://127.0.0.1:{port}"
            wait_until(lambda: f"console: {origin}" in agent.log, "the console to come by itself")
            assert get(f"{origin}/health").json()["ok"]
            assert alerts(origin)
            assert agent.log.count("the console cannot be reached") == 1


def test_beyond_this_machine_it_does_not_start_without_a_password(tmp_path):
    (tmp_path / "config.yaml").write_text("console: {enabled: true, host: 0.0.0.0}\n", encoding="utf-8")

    done = run_command("run", "--config", tmp_path / "config.yaml")

    assert done.returncode == 78
    assert "host 0.0.0.0 can be reached by others, who would see the cameras: name a password_file or a" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_password_that_is_too_short_ends_the_start_with_what_to_do(tmp_path):
    (tmp_path / "password").write_text("1234\n", encoding="utf-8")
    (tmp_path / "config.yaml").write_text("console: {enabled: true, password_file: password}\n", encoding="utf-8")

    done = run_command("run", "--config", tmp_path / "config.yaml", "--set", f"state_folder={tmp_path / 'state'}")

    assert done.returncode == 78
    assert "shorter than 8 characters" in done.stderr
    assert "1234" not in done.stderr
