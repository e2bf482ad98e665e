"""Ingest: messages reach the database through a real broker, across failures of broker, worker and database."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pika
import psycopg
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent import command_line
from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.messages.status import offline, running
from fleet import amqp, database, dead_letters
from fleet.cli import main
from fleet.commands.init import MISTAKES_SHOWN
from fleet.config import BrokerConfig, DatabaseConfig
from fleet.definitions import ALERTS, DEAD_LETTERS, EXCHANGE, PICTURES, definitions, queues
from fleet.doctor import examine
from fleet.ingest import Worker
from fleet.management import DEVICES_AT_ONCE, Management, add_devices, differences, make
from tests.fleet.engines import UNPRIVILEGED, Postgres, RabbitMq
from tests.fleet.samples import BOOT, alert, now
from tests.mosquitto import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_agent.messages.message import Message
    from fleet.config import FleetConfig

TIMEOUT_SECONDS = 60.0
SMALL_DISK = "size=150m"


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    with RabbitMq(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture
def config(rabbitmq: RabbitMq, connection: psycopg.Connection, conninfo: str) -> FleetConfig:
    """A fleet with empty queues and an empty database."""
    config = rabbitmq.config(conninfo)
    make(config, Management(config.broker))
    with amqp.connect(config.broker) as broker:
        channel = broker.channel()
        for name in (*queues(config), DEAD_LETTERS):
            channel.queue_purge(name)
    return config


@pytest.fixture
def stranger(config: FleetConfig, connection: psycopg.Connection) -> Iterator[FleetConfig]:
    """The same fleet, with a user of the database who has no privileges."""
    connection.execute("create role stranger login")
    conninfo = config.database.conninfo.replace("user=fleet", "user=stranger")
    yield config.model_copy(update={"database": DatabaseConfig(conninfo=conninfo)})
    connection.execute("drop role stranger")


def options_of(config: FleetConfig) -> list[str]:
    """Options of a command that make it use this configuration."""
    broker = config.broker
    values = {
        "database.conninfo": config.database.conninfo,
        "broker.hosts": f"[{broker.hosts[0]}]",
        "broker.port": broker.port,
        "broker.management_port": broker.management_port,
        "broker.username": broker.username,
    }
    return [f"--set={key}={value}" for key, value in values.items()]


def publish(config: FleetConfig, *sent: tuple[str, bytes]) -> None:
    with amqp.connect(config.broker) as broker:
        channel = broker.channel()
        channel.confirm_delivery()
        for routing_key, body in sent:
            channel.basic_publish(EXCHANGE, routing_key, body, pika.BasicProperties(delivery_mode=2), mandatory=True)


def sent(*messages: Message) -> list[tuple[str, bytes]]:
    return [(f"maskwatch.{message.device}.alerts", message.payload()) for message in messages]


class Ingesting:
    """A worker in a thread."""

    def __init__(self, config: FleetConfig) -> None:
        self._stop = threading.Event()
        self.worker = Worker(config, stop=self._stop, alive=lambda: None)
        self._thread = threading.Thread(target=self.worker.run, kwargs={"ready": lambda: None})

    def __enter__(self) -> Worker:
        self._thread.start()
        return self.worker

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=TIMEOUT_SECONDS)
        assert not self._thread.is_alive()


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def connections_closed(management: Management) -> int:
    """Close all connections that the broker lists, and return their number; closed ones stay listed for a while."""
    closed = 0
    for connection in management.get("connections"):
        with suppress(UnavailableError):
            management._ask("DELETE", f"connections/{quote(connection['name'], safe='')}", None)
            closed += 1
    return closed


def ids(conninfo: str) -> list[str]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return [row[0] for row in connection.execute("select id::text from maskwatch.alerts order by sequence")]


def waiting(config: FleetConfig, queue: str) -> int:
    """Number of messages ready for delivery in a queue."""
    with amqp.connect(config.broker) as broker:
        return int(broker.channel().queue_declare(queue, passive=True).method.message_count)


def test_alerts_are_stored_and_then_leave_their_queue(config: FleetConfig, conninfo: str):
    alerts = [alert(sequence=number) for number in range(1, 1201)]
    publish(config, *sent(*alerts))

    with Ingesting(config):
        eventually(lambda: len(ids(conninfo)) == len(alerts))

    assert ids(conninfo) == [one.id for one in alerts]
    assert waiting(config, ALERTS) == 0


def test_repeated_messages_are_stored_once(config: FleetConfig, conninfo: str):
    one, two = alert(sequence=1), alert(sequence=2)
    publish(config, *sent(one, one, two, one))

    with Ingesting(config) as worker:
        eventually(lambda: worker.stored == 4)

    assert ids(conninfo) == [one.id, two.id]


def test_a_device_reaches_the_database_by_mqtt(config: FleetConfig, rabbitmq: RabbitMq, conninfo: str):
    one = alert()
    client = Client(CallbackAPIVersion.VERSION2, client_id="maskwatch-hall-1")
    client.username_pw_set("guest", "guest")
    client.connect("127.0.0.1", rabbitmq.mqtt_port)
    client.loop_start()
    client.publish("maskwatch/hall-1/alerts", one.payload(), qos=1).wait_for_publish(TIMEOUT_SECONDS)
    client.disconnect()
    client.loop_stop()

    with Ingesting(config):
        eventually(lambda: ids(conninfo) == [one.id])


POISON = {
    "not JSON": b"\xff\x00",
    "another device": alert("hall-2").payload(),
    "a name that no index holds": alert(boot_id="".join(f"{number:x}" for number in range(10_000))).payload(),
}


def test_invalid_messages_become_dead_letters_and_block_nothing(config: FleetConfig, conninfo: str):
    good = [alert(sequence=number) for number in range(1, 4)]
    bad = [("maskwatch.hall-1.alerts", body) for body in POISON.values()]
    publish(config, *sent(good[0]), bad[0], *sent(good[1]), bad[1], *sent(good[2]), bad[2])

    with Ingesting(config) as worker:
        eventually(lambda: len(ids(conninfo)) == len(good))
        eventually(lambda: waiting(config, DEAD_LETTERS) == len(bad))

    assert worker.dead == len(bad)
    assert waiting(config, ALERTS) == 0
    with amqp.connect(config.broker) as broker:
        letters = dead_letters.view(broker, prefix="maskwatch", limit=10)
    assert [letter.body for letter in letters] == [body for _, body in bad]
    assert [bool(letter.reason) for letter in letters] == [True, True, False]
    assert "hall-2" in letters[1].reason
    assert waiting(config, DEAD_LETTERS) == len(bad)


def replayed(config: FleetConfig) -> int:
    """Replay all dead letters, and return how many."""
    with amqp.connect(config.broker) as broker, database.connect(config.database, application="test") as connection:
        return dead_letters.replay(broker, connection, prefix=config.topic_prefix)


def test_dead_letters_are_replayed_as_they_came(config: FleetConfig, conninfo: str):
    one = alert()
    with amqp.connect(config.broker) as broker:
        broker.channel().basic_publish(DEAD_LETTERS, "maskwatch.hall-1.alerts", one.payload())
    eventually(lambda: waiting(config, DEAD_LETTERS) == 1)

    assert replayed(config) == 1

    with Ingesting(config):
        eventually(lambda: ids(conninfo) == [one.id])
    assert waiting(config, DEAD_LETTERS) == 0


def test_a_dead_letter_does_not_replace_a_newer_status(config: FleetConfig, connection: psycopg.Connection):
    states = {name: running(name, reasons=(), paused=(), boot_id=BOOT, when=now()) for name in ("hall-1", "hall-2")}
    lost = offline("hall-1", "connection_lost", boot_id=BOOT)
    with Ingesting(config) as worker:
        publish(config, ("maskwatch.hall-1.status", b"{}"))
        eventually(lambda: waiting(config, DEAD_LETTERS) == 1)
        publish(config, ("maskwatch.hall-1.status", lost.payload()))
        eventually(lambda: worker.stored == 1)
    # As if an upgraded worker accepted them.
    with amqp.connect(config.broker) as broker:
        channel = broker.channel()
        _, rejected, _ = channel.basic_get(DEAD_LETTERS, auto_ack=True)
        assert rejected is not None
        for name, state in states.items():
            channel.basic_publish(DEAD_LETTERS, f"maskwatch.{name}.status", state.payload(), rejected)
    eventually(lambda: waiting(config, DEAD_LETTERS) == 2)

    assert replayed(config) == 1

    stored = "select device, state from devices order by device"
    with Ingesting(config):
        eventually(lambda: connection.execute(stored).fetchall() == [("hall-1", "offline"), ("hall-2", "online")])


def test_dead_letters_beyond_the_limit_replace_the_oldest(config: FleetConfig):
    broker = config.broker.model_copy(update={"max_queue_bytes": 1_000_000})
    make(config.model_copy(update={"broker": broker}), Management(broker))
    with amqp.connect(broker) as connected:
        channel = connected.channel()
        channel.confirm_delivery()
        for number in range(30):
            channel.basic_publish(DEAD_LETTERS, "maskwatch.hall-1.alerts", b"%d " % number + bytes(100_000))
        eventually(lambda: waiting(config, DEAD_LETTERS) < 10)

        newest = dead_letters.view(connected, prefix="maskwatch", limit=30)[-1]
    assert newest.body.startswith(b"29 ")


def test_unroutable_messages_stay_dead_letters(config: FleetConfig):
    with amqp.connect(config.broker) as broker:
        broker.channel().basic_publish(DEAD_LETTERS, "elsewhere.hall-1.alerts", b"{}")
        eventually(lambda: waiting(config, DEAD_LETTERS) == 1)

        with pytest.raises(UnavailableError):
            replayed(config)

    eventually(lambda: waiting(config, DEAD_LETTERS) == 1)


def test_an_outage_of_the_database_loses_nothing(config: FleetConfig, postgres: Postgres, conninfo: str):
    alerts = [alert(sequence=number) for number in range(1, 401)]
    with Ingesting(config) as worker:
        publish(config, *sent(*alerts[:100]))
        eventually(lambda: worker.stored == 100)
        postgres.stop()
        publish(config, *sent(*alerts[100:]))
        time.sleep(1.0)
        postgres.start()
        eventually(lambda: len(ids(conninfo)) == len(alerts))

    assert ids(conninfo) == [one.id for one in alerts]


@pytest.fixture
def small_disk() -> Iterator[Postgres]:
    """A server with its data on a small tmpfs."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    server = Postgres()
    subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL_DISK, "tmpfs", server.folder], check=True)
    try:
        shutil.chown(server.folder, UNPRIVILEGED)
        yield server.__enter__()
    finally:
        server.stop()
        subprocess.run(["umount", server.folder], check=True)
        server.folder.rmdir()


def fill(file: Path) -> None:
    """Fill the disk."""
    with file.open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"\0" * 65_536)


def test_a_full_disk_under_the_database_loses_nothing(
    rabbitmq: RabbitMq, small_disk: Postgres, caplog: pytest.LogCaptureFixture
):
    conninfo = small_disk.database()
    config = rabbitmq.config(conninfo)
    make(config, Management(config.broker))
    with database.connect(config.database, application="test") as connection:
        database.make_schema(connection)
        database.maintain(connection, retention_days=90, when=datetime.now(timezone.utc))
    alerts, filler = [alert(sequence=number) for number in range(1, 501)], small_disk.folder / "filler"
    caplog.set_level(logging.INFO, logger="fleet")

    with Ingesting(config) as worker:
        publish(config, *sent(*alerts[:100]))
        eventually(lambda: worker.stored == 100)
        fill(filler)
        publish(config, *sent(*alerts[100:]))
        eventually(lambda: "disk is full" in caplog.text)
        found = {one.what: one for one in examine(config, when=datetime.now(timezone.utc))}
        filler.unlink()
        eventually(lambda: len(ids(conninfo)) == len(alerts))

    assert ids(conninfo) == [one.id for one in alerts]
    assert waiting(config, ALERTS) == 0
    assert (found["database"].state, "disk is full" in found["database"].text) == ("failed", True)
    logged = [record.message for record in caplog.records if record.name == "fleet.ingest"]
    assert [text for text in logged if "disk is full" in text] == logged[:1]
    assert logged[-1] == "storing messages again"


def test_an_outage_of_the_broker_is_waited_for(config: FleetConfig, conninfo: str):
    with Ingesting(config) as worker:
        publish(config, *sent(alert(sequence=1)))
        eventually(lambda: worker.stored == 1)
        eventually(lambda: connections_closed(Management(config.broker)))
        publish(config, *sent(alert(sequence=2)))
        eventually(lambda: len(ids(conninfo)) == 2)


def test_a_worker_that_ends_without_a_database_returns_its_messages(
    config: FleetConfig, postgres: Postgres, conninfo: str
):
    with Ingesting(config) as worker:
        publish(config, *sent(alert(sequence=1)))
        eventually(lambda: worker.stored == 1)
        postgres.stop()
        publish(config, *sent(alert(sequence=2)))
        time.sleep(0.5)
    postgres.start()
    eventually(lambda: waiting(config, ALERTS) == 1)

    with Ingesting(config):
        eventually(lambda: len(ids(conninfo)) == 2)


def test_a_broker_with_definitions_for_other_names_is_refused(rabbitmq: RabbitMq, connection: Any, conninfo: str):
    config = rabbitmq.config(conninfo, broker={**rabbitmq.config(conninfo).broker.model_dump(), "virtual_host": "/"})

    with pytest.raises(ConfigError, match="init"):
        Worker(config, stop=threading.Event(), alive=lambda: None).run(ready=lambda: None)
    assert any(ALERTS in one for one in differences(config, Management(config.broker)))


def test_the_doctor_accepts_the_result_of_init(config: FleetConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert differences(config, Management(config.broker)) == []
    other = config.model_copy(update={"topic_prefix": "other"})
    assert len(differences(other, Management(config.broker))) == sum(
        one["source"] == EXCHANGE for one in definitions(other)["bindings"]
    )
    file = tmp_path / "fleet.yaml"
    file.write_text(config.model_dump_json())

    assert main(["init", "--config", str(file)]) == 0
    assert "was given" not in capsys.readouterr().out
    assert main(["doctor", "--json", "--config", str(file)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["state"] for one in found if one["what"] == "definitions"} == {"ok"}
    assert len([one for one in found if one["what"] == "queues"]) == len(queues(config))


def test_pictures_are_no_longer_kept_once_they_are_switched_off(rabbitmq: RabbitMq, config: FleetConfig):
    storing = config.model_copy(update={"publish_crops": True})
    management = Management(config.broker)
    picture = (f"maskwatch.hall-1.crops.{alert().id}", b"JPEG")
    make(storing, management)
    publish(storing, picture)
    assert any(PICTURES in text for text in differences(config, management))

    make(config, management)

    assert differences(config, management) == []
    with pytest.raises(pika.exceptions.UnroutableError):
        publish(config, picture)
    # The management API shows counts and policies some seconds later.
    eventually(lambda: management.get(f"queues/{{vhost}}/{PICTURES}").get("policy") == "fleet")
    eventually(lambda: any(one.state == "warning" and PICTURES in one.text for one in examine(config, when=now())))
    make(storing, management)
    publish(storing, picture)
    assert waiting(storing, PICTURES) == 2


def test_an_unreachable_broker_is_named_with_the_reason():
    broker = BrokerConfig(hosts=("127.0.0.1",), port=free_port())

    with pytest.raises(UnavailableError, match=rf"127\.0\.0\.1:{broker.port}: Connection refused"):
        amqp.connect(broker)


def test_a_worker_before_init_reports_what_is_missing(config: FleetConfig):
    other = config.model_copy(update={"broker": config.broker.model_copy(update={"virtual_host": "nowhere"})})

    found = [one for one in examine(other, when=datetime.now(timezone.utc)) if one.what in ("definitions", "queues")]

    assert [one.state for one in found] == ["failed"]
    assert "'nowhere'" in found[0].text
    with pytest.raises(ConfigError, match="init"):
        amqp.connect(other.broker)


def test_init_with_an_invalid_id_creates_nothing(config: FleetConfig, tmp_path: Path):
    (tmp_path / "devices.txt").write_text("hall-1\nhall.2\n")
    (tmp_path / "fleet.yaml").write_text(config.model_dump_json())
    words = ["--config", str(tmp_path / "fleet.yaml"), "--set", "broker.virtual_host=nowhere"]

    assert main(["init", *words, "--devices", str(tmp_path / "devices.txt")]) == ConfigError.exit_code

    vhosts = Management(config.broker).get("vhosts")
    assert "nowhere" not in [one["name"] for one in vhosts]


def test_every_invalid_line_of_a_device_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "devices.txt"
    file.write_text("hall-1\r\n  # at the door\r\nhall 2\r\n\r\nhall.3\r\n")

    assert main(["init", "--devices", str(file)]) == ConfigError.exit_code

    assert re.findall(r"line +(\d+)", capsys.readouterr().err) == ["3", "5"]


def test_of_a_device_file_full_of_errors_the_first_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "devices.txt"
    file.write_text("hall 1\n" * 5000)

    assert main(["init", "--devices", str(file)]) == ConfigError.exit_code

    assert len(capsys.readouterr().err.splitlines()) == MISTAKES_SHOWN + 2


def test_a_device_file_of_another_encoding_is_named_with_the_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "devices.txt"
    file.write_text("hall-1\n", encoding="utf-16")

    assert main(["init", "--devices", str(file)]) == ConfigError.exit_code

    assert {str(file), "UTF-8"} <= set(re.split(r"[\s:;]+", capsys.readouterr().err))


def test_init_reports_a_device_file_without_devices(
    config: FleetConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "devices.txt"
    file.write_text("# none yet\n")

    assert main(["init", *options_of(config), "--devices", str(file)]) == 0

    assert "0 devices" in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--replay"]])
def test_a_missing_queue_of_dead_letters_is_one_message(
    config: FleetConfig, capsys: pytest.CaptureFixture[str], options: list[str]
):
    Management(config.broker).delete(f"queues/{{vhost}}/{DEAD_LETTERS}")

    assert main(["dead-letters", *options_of(config), *options]) == UnavailableError.exit_code

    (line,) = capsys.readouterr().err.splitlines()
    assert DEAD_LETTERS in line


@pytest.mark.parametrize("command", [["init"], ["web", "--user", "ann"], ["dead-letters", "--replay"]])
def test_a_database_user_without_privileges_is_one_message(
    config: FleetConfig, stranger: FleetConfig, capsys: pytest.CaptureFixture[str], command: list[str]
):
    assert main([*command, *options_of(stranger)]) == UnavailableError.exit_code

    (line,) = capsys.readouterr().err.splitlines()
    assert "database.conninfo" in line


def test_a_worker_without_privileges_names_the_database(
    config: FleetConfig, stranger: FleetConfig, caplog: pytest.LogCaptureFixture
):
    with Ingesting(stranger):
        eventually(lambda: "PostgreSQL: " in caplog.text)


def test_a_wrong_password_is_a_configuration_error(config: FleetConfig, tmp_path: Path):
    password = tmp_path / "password"
    password.write_text("wrong\n")
    broker = config.broker.model_copy(update={"password_file": password})

    with pytest.raises(ConfigError, match="password_file"):
        amqp.connect(broker)
    with pytest.raises(ConfigError, match="password_file"):
        Management(broker).get("overview")


def test_a_terminal_shows_how_many_devices_are_admitted(
    config: FleetConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    for name in ("QUIET_SECONDS", "REDRAW_SECONDS"):
        monkeypatch.setattr(command_line, name, 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    add_devices(config, Management(config.broker), [f"many-{number}" for number in range(2 * DEVICES_AT_ONCE + 1)])

    assert "2 of 3 " in capsys.readouterr().err


def test_devices_are_admitted_each_to_its_own_topics(config: FleetConfig):
    management = Management(config.broker)

    assert add_devices(config, management, ["hall-1", "hall-2", "hall-1"]) == 2
    assert add_devices(config, management, ["hall-1", "hall-2", "hall-3"]) == 1

    (topics,) = management.get("topic-permissions/{vhost}/hall-1")
    allowed = topics["write"].replace("{username}", "hall-1")
    assert re.search(allowed, "maskwatch.hall-1.cameras.door.violations")
    assert not re.search(allowed, "maskwatch.hall-2.alerts")
    assert not re.search(allowed, "maskwatch.hall-10.alerts")
    assert topics["read"] == "^$"
    assert management.get("users/hall-1")["password_hash"] == ""


@pytest.mark.parametrize("device", ["hall.1", "guest", "", "a/b", "#", "x" * 64, ".*"])
def test_an_invalid_device_name_is_rejected(config: FleetConfig, device: str):
    management = Management(config.broker)

    with pytest.raises(ConfigError):
        add_devices(config, management, ["hall-9", device])

    assert management.get("users/hall-9") is None


def test_all_acknowledged_messages_of_simulated_devices_are_stored(
    config: FleetConfig, rabbitmq: RabbitMq, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file, password = tmp_path / "fleet.yaml", tmp_path / "password"
    file.write_text(config.model_dump_json())
    password.write_text("guest\n")
    command = ["simulate", "--config", str(file), "--broker", f"127.0.0.1:{rabbitmq.mqtt_port}", "--devices", "20"]
    command += ["--username", "guest", "--password-file", str(password), "--ledger", str(tmp_path / "ledger")]
    command += ["--backlog", "2", "--closed-loop", "--seconds", "2", "--reconnect-spread", "0.5", "--json"]
    # Debian 12's RabbitMQ supports no later version.
    command += ["--mqtt-version", "3.1.1", "--drain-seconds", "60"]

    with Ingesting(config):
        status = main(command)

    output = capsys.readouterr()
    assert output.err == ""
    found = json.loads(output.out)
    assert (status, found["missing"], found["twice"], found["gaps"], found["waiting"]) == (0, 0, 0, 0, 0)
    assert found["acknowledged"] == len((tmp_path / "ledger").read_text().splitlines()) > 40
    assert found["connects"] == 20
