"""Does an alert survive a killed agent, and is each person counted once? Kills the agent at random times.

A broker is stopped and started meanwhile.

    python -m tests.proofs.crashes --kills 300 --folder FOLDER

Prints the figures as one line of JSON and exits with 1 if a promise is broken. All events are written to FOLDER as they
happen, so that an interrupted run can be continued with the same folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.journeys.agent import EXAMPLE, TIMEOUT_SECONDS, AgentProcess
from tests.mosquitto import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from paho.mqtt.client import MQTTMessage

ROOT = Path(__file__).parents[2]
LONGEST_LIFE_SECONDS = 1.2
NEW_BOOT_EVERY = 20
QUIET_SECONDS = 60.0
SILENCE_SECONDS = 3.0
# Loading models takes a few of these seconds: some agents die before their first frame, most after some alerts.
LONGEST_WHOLE_LIFE_SECONDS = 15.0
WHOLE_CAMERA = {"source": str(EXAMPLE)}
PEOPLE = json.loads(EXAMPLE.with_suffix(".events.json").read_text(encoding="utf-8"))
"""People who walk through the example recording, each once."""
# The broker keeps messages that the subscriber has not received.
KEEPS_EVERYTHING = """
max_queued_messages 0
max_inflight_messages 100
"""


class EventLog:
    """What was acknowledged and what arrived, in append-only files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = {
            name: (folder / f"{name}.jsonl").open("a+") for name in ("acknowledged", "arrived", "kills", "counted")
        }

    def write(self, name: str, value: object) -> None:
        """Append a line; only one thread per name may do so."""
        self._files[name].write(json.dumps(value) + "\n")
        self._files[name].flush()

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def read(self, name: str) -> list[Any]:
        """Every line so far."""
        self._files[name].seek(0)
        return [json.loads(line) for line in self._files[name]]


class PersistentSubscriber:
    """A subscriber with a persistent session, which misses nothing."""

    def __init__(self, port: int, event_log: EventLog) -> None:
        self._diary = event_log
        self._arrived = {(one["kind"], one["message"]["id"]) for one in event_log.read("arrived")}
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="proof", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("maskwatch/#", qos=1)
        self.heard_at = time.monotonic()
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 0xFFFFFFFF
        self._client.connect("127.0.0.1", port, clean_start=False, properties=session)
        self._client.loop_start()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        kind = {"alerts": "alert", "resolved": "resolved"}.get(message.topic.split("/")[-1])
        if kind:
            content = json.loads(message.payload)
            self._diary.write("arrived", {"kind": kind, "message": content})
            self._arrived.add((kind, content["id"]))
            self.heard_at = time.monotonic()

    def wait_for_silence(self) -> None:
        """Wait until nothing has arrived for a while, longer if messages are missing; no agent is running."""
        self.heard_at = time.monotonic()
        while time.monotonic() - self.heard_at < (QUIET_SECONDS if self._is_missing() else SILENCE_SECONDS):
            time.sleep(0.5)

    def _is_missing(self) -> bool:
        return not {(one["kind"], one["id"]) for one in self._diary.read("acknowledged")} <= self._arrived

    def close(self) -> None:
        """End the connection; the broker keeps the session."""
        self._client.disconnect()
        self._client.loop_stop()


class BrokerOutages:
    """A thread that stops and starts a broker at random; at the end the broker is running."""

    def __init__(self, broker: Mosquitto, chance: random.Random) -> None:
        self._broker, self._chance = broker, chance
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._change)
        self.count = 0

    def _change(self) -> None:
        while not self._stop.wait(self._chance.uniform(0.5, 4.0)):
            # SIGTERM lets the broker save messages for the subscriber: their loss would not be a fault of the agent.
            self._broker.stop()
            self.count += 1
            self._stop.wait(self._chance.uniform(0.1, 1.5))
            self._broker.start()

    def __enter__(self) -> BrokerOutages:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def kill_agents(folder: Path, port: int, event_log: EventLog, *, kills: int, chance: random.Random) -> None:
    """Let agents raise alerts and kill each at a random time; the last one survives and delivers pending messages."""
    command = [sys.executable, "-m", "tests.proofs.alerting", str(folder), str(port)]
    with (
        (folder / "agents.log").open("a") as log,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1
        ) as agents,
    ):
        assert agents.stdin
        assert agents.stdout
        events = (json.loads(line) for line in agents.stdout)
        boot_id = str(uuid.uuid4())
        for number in range(kills):
            if number % NEW_BOOT_EVERY == 0:
                boot_id = str(uuid.uuid4())
            agents.stdin.write(f"{boot_id} {LONGEST_LIFE_SECONDS * 10}\n")
            process = next(events)["process"]
            threading.Timer(chance.uniform(0.0, LONGEST_LIFE_SECONDS), os.kill, (process, signal.SIGKILL)).start()
            status = _log_events(events, event_log)
            event_log.write("kills", {"whole": False, "status": status})
        agents.stdin.write(f"{boot_id} 0.1\n")
        next(events)
        assert _log_events(events, event_log) == 0, f"the last agent failed: see {folder}/agents.log"


def _log_events(events: Iterator[dict[str, Any]], event_log: EventLog) -> int:
    for what in events:
        if "ended" in what:
            return int(what["ended"])
        if "sequence" in what:
            event_log.write("acknowledged", what)
        elif "counted" in what:
            event_log.write("counted", {"camera": what["counted"], "people": 1})
    raise AssertionError("the agents are gone; see agents.log")


def kill_whole_agents(folder: Path, port: int, event_log: EventLog, *, kills: int, chance: random.Random) -> None:
    """Do the same with `edge-agent run` on the example recording, as a separate camera for each life."""
    config = {
        "device": {"id": "whole"},
        "state_dir": str(folder / "whole" / "state"),
        "mqtt": {"host": "127.0.0.1", "port": port, "messages_per_second": 1000, "publish_crop_paths": True},
    }
    store = folder / "whole" / "state" / "alerts.sqlite"
    lives = (f"door-{uuid.uuid4()}" for _ in range(kills + 1))
    with AgentProcess(folder / "whole", {**config, "cameras": {(life := next(lives)): WHOLE_CAMERA}}) as agent:
        for _ in range(kills):
            assert agent.process
            seen = _people_seen(agent, store, life, seconds=chance.uniform(0.0, LONGEST_WHOLE_LIFE_SECONDS))
            agent.process.kill()
            event_log.write("kills", {"whole": True, "status": agent.process.wait()})
            event_log.write("counted", {"camera": life, "people": seen})
            _log_pending(store, event_log)
            life = next(lives)
            agent.configure({**config, "cameras": {life: WHOLE_CAMERA}})
            agent.start()
        seen = _people_seen(agent, store, life, seconds=TIMEOUT_SECONDS)
        event_log.write("counted", {"camera": life, "people": seen})
        assert agent.wait() == 0, f"the last agent failed: see {folder}/whole/agent.log"


def _people_seen(agent: AgentProcess, store: Path, camera: str, *, seconds: float) -> int:
    """Number of people of a camera that another process reads from the store; what it reads is acknowledged."""
    assert agent.process
    end = time.monotonic() + seconds
    people = 0
    while agent.process.poll() is None and time.monotonic() < end:
        people = people_in(store).get(camera, 0)
        time.sleep(0.05)
    return people


def people_in(store: Path) -> dict[str, int]:
    """Number of people that a store has counted, by camera."""
    if not store.exists():
        return {}
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        try:
            return dict(database.execute("SELECT camera, sum(people) FROM people GROUP BY camera").fetchall())
        except sqlite3.OperationalError:
            # Killed before its tables were created.
            return {}


def _log_pending(store: Path, event_log: EventLog) -> None:
    """Record the messages in the killed agent's store: they were acknowledged, although this was not observed."""
    if not store.exists():
        return
    with closing(sqlite3.connect(store)) as database:
        for kind, text in database.execute("SELECT kind, message FROM outbox WHERE kind != 'telemetry'").fetchall():
            message = json.loads(text)
            crop = message["crop"]["sha256"] if message.get("crop") else ""
            named = {name: message[name] for name in ("id", "boot_id", "sequence")}
            event_log.write("acknowledged", {"kind": kind, "crop": crop, **named})


def judge(event_log: EventLog, *, outages: int, people: Mapping[str, int]) -> dict[str, int]:
    """Count every broken promise; `people` is the number in the stores at the end, by camera."""
    acknowledged, arrived, counted = (event_log.read(name) for name in ("acknowledged", "arrived", "counted"))
    kills = [kill for kill in event_log.read("kills") if kill["status"] == -signal.SIGKILL]
    by_id: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    ids: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for one in arrived:
        message = one["message"]
        by_id[one["kind"], message["id"]].append(message)
        ids[one["kind"], message.get("device", ""), message["boot_id"], str(message["sequence"])].add(message["id"])
    numbers: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for kind, device, boot_id, sequence in ids:
        numbers[kind, device, boot_id].add(int(sequence))
    alerts = [messages for (kind, _), messages in by_id.items() if kind == "alert"]
    return {
        "kills": len(kills),
        "kills_of_whole_agents": sum(kill["whole"] for kill in kills),
        "broker_outages": outages,
        "acknowledged": len({(one["kind"], one["id"]) for one in acknowledged}),
        "arrived": len(by_id),
        "boots": len({boot_id for _, _, boot_id in numbers}),
        "lost": len({(one["kind"], one["id"]) for one in acknowledged} - set(by_id)),
        "without_crop": sum(not all(_has_crop(message) for message in messages) for messages in alerts),
        "duplicates": len(arrived) - len(by_id),
        "duplicates_that_differ": sum(
            len({_lasting(message) for message in messages}) > 1 for messages in by_id.values()
        ),
        "numbers_given_twice": sum(len(named) > 1 for named in ids.values()),
        "gaps_in_sequence": sum(max(given) - len(given) for given in numbers.values()),
        "people": sum(people.values()),
        "people_lost": sum(people.get(one["camera"], 0) < one["people"] for one in counted),
        "people_twice": sum(
            many > (len(PEOPLE) if camera.startswith("door-") else 1) for camera, many in people.items()
        ),
    }


PROMISES = (
    "lost",
    "without_crop",
    "duplicates_that_differ",
    "numbers_given_twice",
    "gaps_in_sequence",
    "people_lost",
    "people_twice",
)


def _has_crop(message: dict[str, Any]) -> bool:
    crop = message["crop"]
    try:
        content = Path(crop["file"]).read_bytes()
    except (OSError, TypeError):
        return False
    return hashlib.sha256(content).hexdigest() == str(crop["sha256"])


def _lasting(message: dict[str, Any]) -> str:
    """The message without `historical`, the only field that may differ between two copies."""
    return json.dumps({**message, "historical": None}, sort_keys=True)


def prove(folder: Path, *, kills: int, whole_kills: int, seed: int) -> dict[str, int]:
    """Kill, wait until nothing more arrives, and judge."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)  # noqa: S311  (moments, not secrets)
    broker = Mosquitto(folder / "broker", persistent=True, settings=KEEPS_EVERYTHING)
    with closing(EventLog(folder)) as event_log:
        with broker, closing(PersistentSubscriber(broker.port, event_log)) as listener:
            with BrokerOutages(broker, chance) as outages:
                kill_agents(folder, broker.port, event_log, kills=kills, chance=chance)
                if whole_kills:
                    kill_whole_agents(folder, broker.port, event_log, kills=whole_kills, chance=chance)
            listener.wait_for_silence()
        stores = (folder / "state" / "alerts.sqlite", folder / "whole" / "state" / "alerts.sqlite")
        people = {camera: many for store in stores for camera, many in people_in(store).items()}
        return judge(event_log, outages=outages.count, people=people)


def main() -> int:
    """Read the options, prove and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="of agents without cameras (default: 300)")
    parser.add_argument("--whole-kills", type=int, default=0, help="of 'edge-agent run' on the example (default: 0)")
    parser.add_argument(
        "--folder", type=Path, required=True, help="where everything is written; goes on where it ended"
    )
    parser.add_argument("--seed", type=int, default=None, help="for the same moments again, as far as they can be")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    folder = options.folder.absolute()
    figures = prove(folder, kills=options.kills, whole_kills=options.whole_kills, seed=seed)
    print(json.dumps({"seed": seed, **figures}))  # noqa: T201
    # An agent that was killed before it did anything proves nothing.
    return int(any(figures[promise] for promise in PROMISES) or figures["acknowledged"] < figures["kills"])


if __name__ == "__main__":
    sys.exit(main())
