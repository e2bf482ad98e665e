"""The whole agent with a full or read-only disk, and with ten thousand pending alerts behind a faulty broker."""

import json
import multiprocessing
import shutil
import sqlite3
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from edge_agent.alerts.database import OUTBOX_COLUMNS
from edge_agent.alerts.store import AlertStore
from edge_agent.mqtt.kept_connection import KeptConnection
from edge_agent.mqtt.publisher import Publisher, Timing
from tests.journeys.agent import EXAMPLE, QUICK, AgentProcess
from tests.mosquitto import Mosquitto
from tests.mqtt.brokers import WELCOME_5, ScriptedBroker
from tests.mqtt.samples import BOOT_ID, DEVICE, Listener, a_message, eventually, put
from tests.scenes.soak import resident_bytes

MANY = 10_000
DISK_BYTES = 4_000_000
IMPATIENT = Timing(first_pause_seconds=0.05, max_pause_seconds=0.2, acknowledge_seconds=0.5)


@pytest.fixture
def small_disk(tmp_path):
    """A small tmpfs; skipped if the test may not mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "maskwatch-test", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a disk: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk):
    """Fill the disk completely."""
    with (disk / "something else").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(disk).free == 0


def make_read_only(disk):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


@pytest.mark.parametrize("harm", [fill, make_read_only])
def test_an_agent_with_an_unwritable_disk_alerts_without_pictures(tmp_path, small_disk, harm):
    harm(small_disk)
    with Mosquitto(tmp_path / "broker") as broker, Listener(broker.port) as listener:
        config = {
            "state_dir": str(small_disk / "state"),
            "cameras": {"door": {"source": str(EXAMPLE)}},
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            **QUICK,
        }
        with AgentProcess(tmp_path / "agent", config) as agent:
            assert agent.wait() == 0, agent.log
        alerts = [json.loads(message.payload) for message in listener.rest() if message.topic.endswith("/alerts")]

    assert len(alerts) >= 2
    assert [alert["sequence"] for alert in alerts] == list(range(1, len(alerts) + 1))
    assert all(alert["crop"] is None and "cannot be kept" in alert["crop_error"] for alert in alerts)
    # Logged when the error is found, and at the end with the number of lost history entries.
    assert agent.log.count("the alert store cannot be used") == 2
    assert agent.log.count("of the history that were buffered in memory are lost") == 1


@pytest.fixture
def file_full_of_alerts(tmp_path):
    """An outbox with ten thousand pending alerts, written in one transaction to be fast."""
    path = tmp_path / "alerts.sqlite"
    AlertStore(path, boot_id=BOOT_ID).close()
    rows = []
    for number in range(1, MANY + 1):
        message = a_message(sequence=number).as_json()
        rows.append((number, "alert", message["id"], BOOT_ID, 0.0, None, json.dumps(message)))
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(f"INSERT INTO outbox ({OUTBOX_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608
        database.execute("INSERT INTO last_sequence VALUES (?, 'alert', ?)", (BOOT_ID, MANY))
    return path


def opened(path):
    return closing(AlertStore(path, boot_id=BOOT_ID, max_messages=MANY))


class Memory:
    """Peak of sampled resident memory of this process above its initial value."""

    def __init__(self):
        self._before_bytes = resident_bytes()
        self.used_bytes = 0

    def sample(self):
        self.used_bytes = max(self.used_bytes, resident_bytes() - self._before_bytes)


def test_ten_thousand_alerts_arrive_each_once_and_in_order_and_a_new_one_first(tmp_path, file_full_of_alerts):
    with (
        opened(file_full_of_alerts) as outbox,
        Mosquitto(tmp_path / "broker", settings="max_queued_messages 0") as broker,
        KeptConnection() as kept,
        # With MQTT 5 paho needs 10 kB for the properties of each received message, which would be measured too.
        Listener(broker.port, version=MQTTProtocolVersion.MQTTv311) as listener,
    ):
        memory = Memory()
        publisher = Publisher(outbox, broker.config(messages_per_second=5000), DEVICE, kept=kept)
        publisher.start()
        eventually(lambda: publisher.state.sent > 100, "some are delivered")
        newest = put(outbox)
        publisher.wake()
        deadline = time.monotonic() + 120
        while outbox.count() and time.monotonic() < deadline:
            memory.sample()
            time.sleep(0.05)
        publisher.close()
        numbers = [json.loads(listener.take("/alerts").payload)["sequence"] for _ in range(MANY)]

    # Most of it belongs to the listener: ten thousand messages of 1 kB with paho's objects around them.
    assert memory.used_bytes < 40_000_000
    assert numbers.index(newest["sequence"]) < MANY / 2
    numbers.remove(newest["sequence"])
    assert numbers == sorted(set(numbers))


def publish_in_vain(path, mqtt):
    """Add alerts to a full outbox that cannot deliver; return the memory used, and how many wait and were dropped."""
    with opened(path) as outbox, KeptConnection() as kept:
        publisher = Publisher(outbox, mqtt, DEVICE, kept=kept, timing=IMPATIENT)
        publisher.start()
        eventually(
            lambda: "refuses" in publisher.state.reason or "acknowledge" in publisher.state.reason,
            "the reason to be reported",
        )
        memory = Memory()
        for _ in range(50):
            put(outbox)
            publisher.wake()
        for _ in range(40):
            memory.sample()
            time.sleep(0.05)
        publisher.close(drain_seconds=0.1)
        return memory.used_bytes, outbox.count(), outbox.dropped()["alert"]


@pytest.mark.parametrize("is_denied", [False, True])
def test_ten_thousand_pending_alerts_cost_no_memory_and_new_ones_drop_the_oldest(
    tmp_path, file_full_of_alerts, is_denied
):
    acl = "topic read #\ntopic write maskwatch/+/status\n"
    broker = Mosquitto(tmp_path / "b", acl=acl) if is_denied else ScriptedBroker(lambda _level: WELCOME_5)
    # In a process of its own, in which nothing that other tests have left allocates memory.
    own_process = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with broker, own_process as measuring:
        used_bytes, waiting, dropped = measuring.submit(publish_in_vain, file_full_of_alerts, broker.config()).result()

    assert used_bytes < 5_000_000
    assert waiting == MANY
    assert dropped == 50
