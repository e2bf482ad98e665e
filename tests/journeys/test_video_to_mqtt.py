"""Video in, MQTT out: the agent as a service, with a real broker and a subscriber."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import pytest

from tests.journeys.agent import EXAMPLE, QUICK, AgentProcess, run_command, wait_until
from tests.journeys.subscriber import Subscriber
from tests.mosquitto import Mosquitto

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "alert.schema.json").read_text(encoding="utf-8"))
LIVE_PICTURES_PER_SECOND = 5


def a_config(broker: Mosquitto, **sections: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "device": {"id": "test-door"},
        "cameras": {"example": {"source": str(EXAMPLE)}},
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        **QUICK,
    }
    return config | sections


@pytest.fixture(scope="module")
def a_live_camera(tmp_path_factory) -> str:
    """Pictures of an empty street for ten minutes: longer than any test."""
    folder = tmp_path_factory.mktemp("street")
    video = cv2.VideoCapture(str(EXAMPLE))
    picture = folder / "00000.jpg"
    cv2.imwrite(str(picture), video.read()[1])
    for number in range(1, 600 * LIVE_PICTURES_PER_SECOND):
        (folder / f"{number:05}.jpg").hardlink_to(picture)
    return str(folder)


def waiting(agent: AgentProcess) -> int:
    """Number of alerts in the outbox."""
    file = agent.folder / "state" / "alerts.sqlite"
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM outbox WHERE kind = 'alert'").fetchone()[0])
    except sqlite3.OperationalError:  # still being created
        return 0


def last_state(subscriber: Subscriber) -> str:
    """The last state in the status of the device."""
    said = [payload for topic, payload in subscriber.messages if topic == "maskwatch/test-door/status"]
    return str(json.loads(said[-1])["state"]) if said else ""


def test_both_people_without_a_mask_are_alerted_once_each_with_their_crop(broker, tmp_path):
    with Subscriber(broker) as subscriber, AgentProcess(tmp_path / "agent", a_config(broker)) as agent:
        alerts = subscriber.wait_for_alerts(2)
        assert agent.wait() == 0

        assert len(subscriber.alerts) == 2
        assert [alert["sequence"] for alert in alerts] == [1, 2]
        for alert in alerts:
            jsonschema.validate(alert, SCHEMA)
            assert alert["device"] == "test-door"
            assert alert["label"] == "without_mask"
            assert not alert["historical"]
            crop = (tmp_path / "agent" / "state" / "crops" / alert["crop"]["file"]).read_bytes()
            assert hashlib.sha256(crop).hexdigest() == alert["crop"]["sha256"]
        assert waiting(agent) == 0
        wait_until(lambda: last_state(subscriber) == "offline", "the word offline")


def test_alerts_raised_while_the_broker_is_down_survive_sigkill(broker, tmp_path):
    cameras = {name: {"source": str(EXAMPLE)} for name in ("front", "back")}
    broker.stop()
    with AgentProcess(tmp_path / "agent", a_config(broker, cameras=cameras)) as agent:
        wait_until(lambda: waiting(agent) >= 2, "two alerts in the outbox")
        agent.end(signal.SIGKILL)
        pending = waiting(agent)

        broker.start()
        with Subscriber(broker) as subscriber:
            agent.start()
            alerts = subscriber.wait_for_alerts(pending)

    ids = [alert["id"] for alert in alerts[:pending]]
    assert len(set(ids)) == pending >= 2
    assert [alert["sequence"] for alert in alerts[:pending]] == list(range(1, pending + 1))
    assert all((tmp_path / "agent" / "state" / "crops" / alert["crop"]["file"]).exists() for alert in alerts)


def test_an_unwritable_crop_folder_costs_the_picture_and_not_the_alert(broker, tmp_path):
    (tmp_path / "crops").write_text("a file where a folder should be")
    config = a_config(broker, crops={"dir": str(tmp_path / "crops")})
    with Subscriber(broker) as subscriber, AgentProcess(tmp_path / "agent", config):
        alert = subscriber.wait_for_alerts(1)[0]

    jsonschema.validate(alert, SCHEMA)
    assert alert["crop"] is None
    assert "crops.dir" in alert["crop_error"]


def test_a_rejected_password_is_logged_once_and_the_agent_continues(tmp_path):
    with Mosquitto(tmp_path / "broker", users={"door": "right"}) as running:
        (tmp_path / "password").write_text("wrong-secret\n")
        mqtt = {**a_config(running)["mqtt"], "username": "door", "password_file": str(tmp_path / "password")}
        with AgentProcess(tmp_path / "agent", a_config(running, mqtt=mqtt)) as agent:
            wait_until(lambda: waiting(agent) == 2, "two alerts in the outbox")
            said = [line for line in agent.log.splitlines() if "wrong password" in line]

    assert len(said) == 1
    assert "check mqtt.username" in said[0]
    assert "wrong-secret" not in agent.log


def test_systemd_gets_ready_after_the_first_frame_then_the_watchdog_then_stopping(broker, tmp_path, a_live_camera):
    config = a_config(broker, cameras={"live": {"source": a_live_camera}})
    with AgentProcess(tmp_path / "agent", config) as agent:
        wait_until(lambda: agent.notifications.count("WATCHDOG=1") >= 2, "the watchdog")
        assert agent.end() == 0
        notifications = agent.notifications

    ready = notifications.index("READY=1")
    # A status is sent before READY.
    assert [note for note in notifications[:ready] if note.startswith("STATUS=")][-1].startswith("STATUS=watching")
    # A slow machine may extend the start timeout first.
    assert all("EXTEND_TIMEOUT_USEC" in note for note in notifications[:ready] if note.startswith("WATCHDOG"))
    after = [note for note in notifications[ready + 1 :] if not note.startswith("STATUS=")]
    assert after[-1] == "STOPPING=1"
    assert set(after[:-1]) == {"WATCHDOG=1"}


def test_the_agent_waits_for_a_missing_camera_and_is_never_ready(broker, tmp_path):
    config = a_config(broker, cameras={"door": {"source": "/dev/video97"}})
    with AgentProcess(tmp_path / "agent", config) as agent:
        wait_until(lambda: "; retrying" in agent.log, "the warning")
        wait_until(lambda: any("camera door away" in note for note in agent.notifications), "the status")
        assert "READY=1" not in agent.notifications
        assert agent.end() == 0


def test_sighup_applies_a_valid_configuration_and_rejects_an_invalid_one(broker, tmp_path, a_live_camera):
    config = a_config(broker, cameras={"live": {"source": a_live_camera}})
    with Subscriber(broker) as subscriber, AgentProcess(tmp_path / "agent", config) as agent:
        wait_until(lambda: "READY=1" in agent.notifications, "ready")

        agent.configure({**config, "motoin": {}})
        assert agent.process is not None
        agent.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "did you mean 'motion'?" in agent.log, "the error")
        wait_until(lambda: agent.notifications.count("READY=1") == 2, "ready again")

        agent.configure({**config, "masks": {"model": str(tmp_path / "nowhere.tflite")}})
        agent.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "new configuration failed" in agent.log, "the error")

        state = str(agent.folder / "state")
        agent.configure({**config, "state_dir": state, "cameras": {"new": {"source": str(EXAMPLE)}}})
        agent.process.send_signal(signal.SIGHUP)
        # The recording plays once in real time: on a busy machine only one of its two people may be decided.
        assert {alert["camera"] for alert in subscriber.wait_for_alerts(1)} == {"new"}
        assert agent.wait() == 0


def reason_codes(subscriber: Subscriber) -> set[str]:
    """The codes of all reasons that the device's status has had."""
    said = [json.loads(payload) for topic, payload in subscriber.messages if topic == "maskwatch/test-door/status"]
    return {reason["code"] for status in said for reason in status["reasons"]}


def test_a_reload_keeps_the_broker_connection_unless_its_settings_change(broker, tmp_path, a_live_camera):
    config = a_config(broker, cameras={"live": {"source": a_live_camera}})
    with AgentProcess(tmp_path / "agent", config) as agent, Subscriber(broker) as subscriber:

        def reload(**sections: Any) -> None:
            ready = agent.notifications.count("READY=1") + 1
            agent.configure({**config, **sections})
            assert agent.process is not None
            agent.process.send_signal(signal.SIGHUP)
            wait_until(lambda: agent.notifications.count("READY=1") == ready, "reloaded")
            wait_until(lambda: last_state(subscriber) == "online", "online")

        wait_until(lambda: "READY=1" in agent.notifications, "ready")
        reload(rules={"cooldown_seconds": 7})
        assert not reason_codes(subscriber) & {"stopped", "reloaded", "connection_lost"}
        reload(mqtt={**config["mqtt"], "keepalive_seconds": 60})
        assert reason_codes(subscriber) & {"stopped", "reloaded", "connection_lost"} == {"reloaded"}
        assert agent.end() == 0
        wait_until(lambda: "stopped" in reason_codes(subscriber), "stopped")


def test_the_demo_shows_the_whole_path_and_ends_by_itself(tmp_path):
    quick = [f"--set=faces.{key}={value}" for key, value in QUICK["faces"].items()]
    done = run_command("run", "--demo", *quick, env={**os.environ, "XDG_STATE_HOME": str(tmp_path)})

    assert done.returncode == 0, done.stderr
    shown = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(shown) == 2
    for alert in shown:
        jsonschema.validate(alert, SCHEMA)
        assert Path(alert["crop"]["file"]).is_file()
    assert "2 alerts raised, 2 received over MQTT, 0 pending" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_demo_ends_when_its_reader_has_gone(tmp_path):
    command = [sys.executable, "-m", "edge_agent", "run", "--demo"]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        demo.stdout.readline()
        demo.stdout.close()
        errors = demo.stderr.read()

    assert (demo.returncode, "Traceback" in errors) == (0, False)


def test_a_second_agent_on_the_same_state_folder_is_refused(broker, tmp_path, a_live_camera):
    config = a_config(broker, cameras={"live": {"source": a_live_camera}})
    with AgentProcess(tmp_path / "agent", config) as agent:
        wait_until(lambda: "READY=1" in agent.notifications, "ready")

        second = run_command("run", "--config", agent.config_file)

        assert second.returncode == 75
        assert "in use by another agent" in second.stderr
        assert agent.end() == 0
