"""Does the agent work with a real Home Assistant? Discovery, alert, picture, pause both ways, restarts of each side.

    python -m tests.proofs.home_assistant ROOT [--restarts 20]

ROOT is a Debian with Home Assistant in /opt/homeassistant, created by deploy/test-homeassistant. Run as root, because
it is entered with chroot. Broker and agent run here. The blueprint's action publishes its notifications over MQTT, so
that they can be compared with the alerts. Prints a line for each check, and exits with 1 at the first that fails.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from tests.journeys.agent import EXAMPLE, QUICK, AgentProcess
from tests.journeys.subscriber import Subscriber
from tests.mosquitto import Mosquitto, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

BLUEPRINT = Path(__file__).parents[2] / "deploy" / "homeassistant" / "maskwatch_alert.yaml"
NOTIFIED = "notified"
# Home Assistant takes a minute to start on a busy machine, and installs the requirements of integrations.
START_SECONDS = 300.0
TIMEOUT_SECONDS = 90.0
# Time for an event to reach an automation, and for a false notification after a restart to appear.
SETTLE_SECONDS = 5.0
BROKER_RESTARTED = "Error returned from MQTT server: The connection was lost"
# Two people without a mask pass in each round of the example.
LOOP = f"ffmpeg -v error -re -stream_loop -1 -i {EXAMPLE} -c:v mjpeg -q:v 4 -f mjpeg -"
EMPTY_YARD = "ffmpeg -v error -re -f lavfi -i testsrc2=size=320x240:rate=5 -c:v mjpeg -f mjpeg -"

began_at = time.monotonic()


def report(what: str) -> None:
    sys.stdout.write(f"{time.monotonic() - began_at:6.1f} s  {what}\n")
    sys.stdout.flush()


def wait_until(is_so: Callable[[], object], what: str, *, seconds: float = TIMEOUT_SECONDS) -> None:
    """Wait for a condition, and end the proof if it does not occur."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit(f"FAILED: waited {seconds:.0f} s: {what}")
        time.sleep(0.1)
    report(f"ok: {what}")


def expect(is_so: object, what: str) -> None:
    if not is_so:
        sys.exit(f"FAILED: {what}")
    report(f"ok: {what}")


class HomeAssistant:
    """A Home Assistant set up as a person would: a user, the MQTT integration, an automation from the blueprint."""

    def __init__(self, root: Path, *, broker_port: int) -> None:
        self._root, self._broker_port = root, broker_port
        self.port = free_port()
        self._folder = root / "srv" / "homeassistant"
        shutil.rmtree(self._folder, ignore_errors=True)
        blueprints = self._folder / "blueprints" / "automation" / "maskwatch"
        blueprints.mkdir(parents=True)
        shutil.copy(BLUEPRINT, blueprints)
        self._configure(automation=[])
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30.0)
        self._refresh = ""

    def _configure(self, *, automation: list[dict[str, Any]]) -> None:
        configuration = {
            "homeassistant": {"name": "Test", "unit_system": "metric", "time_zone": "UTC"},
            "http": {"server_host": "127.0.0.1", "server_port": self.port},
            **dict.fromkeys(("api", "config", "onboarding", "history")),
            "automation": automation,
        }
        (self._folder / "configuration.yaml").write_text(yaml.safe_dump(configuration))

    def start(self) -> None:
        """Start it and wait until it is running."""
        command = ["chroot", str(self._root), "/opt/homeassistant/bin/hass", "--config", "/srv/homeassistant"]
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        if self._refresh:
            wait_until(self._is_running, "Home Assistant is running", seconds=START_SECONDS)
        else:
            wait_until(self._answers, "Home Assistant answers", seconds=START_SECONDS)

    def stop(self) -> None:
        """Stop it, as its service does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=120)
            self._process = None

    def kill(self) -> None:
        """Kill it at the end of the proof."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def set_up(self) -> None:
        """Make a user and add the MQTT integration."""
        address = f"http://127.0.0.1:{self.port}/"
        person = {"client_id": address, "name": "t", "username": "t", "password": "t", "language": "en"}
        code = self._client.post("/api/onboarding/users", json=person).raise_for_status().json()["auth_code"]
        grant = {"grant_type": "authorization_code", "code": code, "client_id": address}
        self._log_in(grant)
        wait_until(self._is_running, "Home Assistant is running", seconds=START_SECONDS)
        flow = self._post("/api/config/config_entries/flow", {"handler": "mqtt"})
        broker = {"broker": "127.0.0.1", "port": self._broker_port}
        done = self._post(f"/api/config/config_entries/flow/{flow['flow_id']}", broker)
        expect(done.get("type") == "create_entry", f"the MQTT integration is there ({done.get('type')})")
        payload = "{{ {'title': title, 'id': alert.id, 'camera': camera} | to_json }}"
        notifies = {"action": "mqtt.publish", "data": {"topic": NOTIFIED, "qos": 1, "payload": payload}}
        blueprint = {"path": f"maskwatch/{BLUEPRINT.name}", "input": {"actions": [notifies]}}
        self._configure(automation=[{"alias": "maskwatch", "use_blueprint": blueprint}])
        self._post("/api/services/automation/reload", {})

    def states(self) -> dict[str, dict[str, Any]]:
        """Every entity with its state and attributes."""
        return {one["entity_id"]: one for one in self._get("/api/states").json()}

    def state(self, entity: str) -> str:
        """The state of an entity; empty if there is none."""
        return str(self.states().get(entity, {}).get("state", ""))

    def switch(self, entity: str, turn: str) -> None:
        """Turn a switch on or off, as a person at the dashboard."""
        self._post(f"/api/services/switch/{turn}", {"entity_id": entity})

    def picture(self, entity: str) -> bytes:
        """The picture of an image entity."""
        attributes = self.states()[entity]["attributes"]
        return self._get(attributes["entity_picture"]).content

    def warnings(self) -> list[str]:
        """Warnings and errors in its log."""
        log = (self._folder / "output").read_text(errors="replace")
        subscriber = [line for line in log.splitlines() if " WARNING " in line or " ERROR " in line]
        return [line for line in subscriber if BROKER_RESTARTED not in line]

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return self._client.get("/api/onboarding").status_code == httpx.codes.OK
        return False

    def _is_running(self) -> bool:
        with suppress(httpx.HTTPError):
            return bool(self._get("/api/config").json()["state"] == "RUNNING")
        return False

    def _log_in(self, grant: dict[str, str]) -> None:
        tokens = self._client.post("/auth/token", data=grant).raise_for_status().json()
        self._refresh = tokens.get("refresh_token", self._refresh)
        self._client.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    def _get(self, path: str) -> httpx.Response:
        return self._client.get(path).raise_for_status()

    def _post(self, path: str, content: dict[str, Any]) -> Any:
        return self._client.post(path, json=content).raise_for_status().json()


PREFIX = "front_door"
CONDITION = f"sensor.{PREFIX}_condition"
PAUSE = f"switch.{PREFIX}_pause_entrance"
OF_REMOVED = f"switch.{PREFIX}_pause_yard"


def prove(root: Path, *, restarts: int) -> None:
    """Run all checks."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maskwatch-homeassistant-")))
        broker = stack.enter_context(Mosquitto(folder / "broker", persistent=True))
        home = HomeAssistant(root, broker_port=broker.port)
        stack.callback(home.kill)
        home.start()
        home.set_up()
        subscriber = stack.enter_context(Subscriber(broker, topic="#", session="proof"))
        mqtt = {"host": "127.0.0.1", "port": broker.port, "publish_crops": True, "telemetry_seconds": 5}
        cameras = {"entrance": {"source": f"pipe: {LOOP}"}, "yard": {"source": f"pipe: {EMPTY_YARD}"}}
        config = {**QUICK, "device": {"id": "front-door"}, "cameras": cameras, "mqtt": mqtt}
        agent = stack.enter_context(AgentProcess(folder / "agent", config))

        prove_entities(home, subscriber)
        wait_until(lambda: home.state(OF_REMOVED), "a second camera has entities of its own")
        state = str(agent.folder / "state")
        agent.configure({**config, "state_dir": state, "cameras": {"entrance": cameras["entrance"]}})
        assert agent.process is not None
        agent.process.send_signal(signal.SIGHUP)
        wait_until(
            lambda: not [name for name in home.states() if "yard" in name], "a camera that is removed has no entity"
        )
        prove_pause(home, subscriber)
        time.sleep(SETTLE_SECONDS)
        before = len(notified(subscriber))
        for number in range(restarts):
            restart(number, agent, broker, home)
            wait_until(lambda: home.state(PAUSE) == "on", f"restart {number + 1}: as it was before")
            time.sleep(SETTLE_SECONDS)
            expect(len(notified(subscriber)) == before, "no false notification")
        home.switch(PAUSE, "turn_off")
        wait_until(lambda: len(notified(subscriber)) > before, "after all restarts an alert is notified")
        agent.end()
        new = {alert["id"] for alert in subscriber.alerts if not alert["historical"]}
        ids = [one["id"] for one in notified(subscriber)]
        expect(len(ids) == len(set(ids)) and set(ids) <= new, f"{len(ids)} notifications, each of one new alert")
        home.stop()
        warnings = home.warnings()
        expect(not warnings, "no warning in the log of Home Assistant" + "".join(f"\n  {line}" for line in warnings))


def prove_entities(home: HomeAssistant, subscriber: Subscriber) -> None:
    """Check the entities, and what they show after an alert."""
    wait_until(lambda: home.state(CONDITION) == "online", "the device is found and online")
    wait_until(lambda: notified(subscriber), "an alert is notified")
    found = {name for name in home.states() if PREFIX in name}
    expect({f"event.{PREFIX}_alert", PAUSE, f"switch.{PREFIX}_pause"} <= found, f"{len(found)} entities")
    wait_until(lambda: home.picture(f"image.{PREFIX}_last_crop_at_entrance")[:2] == b"\xff\xd8", "the picture is there")
    present = f"binary_sensor.{PREFIX}_no_mask_at_entrance"
    wait_until(lambda: home.state(present) == "on", "a person without a mask is present")
    wait_until(lambda: home.state(present) == "off", "and has left")
    known = ("frame_rate_of_entrance", "frame_rate", "alerts_today", "temperature")
    wait_until(
        lambda: not [name for name in known if home.state(f"sensor.{PREFIX}_{name}") in ("unknown", "unavailable")],
        "every figure that is there has a value",
    )


def prove_pause(home: HomeAssistant, subscriber: Subscriber) -> None:
    """Pause and resume from either side; it is paused at the end."""
    # Home Assistant ignores switching of an unavailable entity, and a reload makes all unavailable for a moment.
    wait_until(lambda: home.state(PAUSE) == "off", "the switch is available and off")
    home.switch(PAUSE, "turn_on")
    wait_until(lambda: "paused" in reasons(subscriber), "paused by Home Assistant: the device says so")
    wait_until(lambda: home.state(PAUSE) == "on", "and the switch is on")
    subscriber.publish("maskwatch/front-door/commands/resume", b"")
    wait_until(lambda: home.state(PAUSE) == "off", "resumed by another client: the switch is off")
    subscriber.publish("maskwatch/front-door/commands/pause", b"")
    wait_until(lambda: home.state(PAUSE) == "on", "paused by another client: the switch is on")


def restart(number: int, agent: AgentProcess, broker: Mosquitto, home: HomeAssistant) -> None:
    """Restart one of the three, in turn."""
    match number % 3:
        case 0:
            agent.end()
            wait_until(lambda: home.state(CONDITION) == "offline", "the agent is stopped: offline")
            expect(home.state(PAUSE) == "unavailable", "and all else is unavailable")
            agent.start()
        case 1:
            broker.stop()
            time.sleep(1.0)
            broker.start()
        case _:
            home.stop()
            home.start()


def notified(subscriber: Subscriber) -> list[dict[str, Any]]:
    """Notifications of the automation."""
    return [json.loads(payload) for topic, payload in subscriber.messages if topic == NOTIFIED]


def reasons(subscriber: Subscriber) -> list[str]:
    """The reasons in the device's status."""
    last = [payload for topic, payload in subscriber.messages if topic == "maskwatch/front-door/status"][-1]
    return [reason["code"] for reason in json.loads(last)["reasons"]]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--restarts", type=int, default=6, help="of agent, broker and Home Assistant in turn")
    options = parser.parse_args()
    prove(options.root, restarts=options.restarts)


if __name__ == "__main__":
    main()
