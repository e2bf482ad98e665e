"""Notify: one notification per event of a site, one for its end, none for history."""

from __future__ import annotations

import json
import re
import shutil
import socketserver
import subprocess
import threading
import time
import urllib.request
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.errors import UnavailableError
from fleet.cli import main
from fleet.config import BrokerConfig, FleetConfig, NotifyConfig
from fleet.management import Management
from fleet.notify import AGAIN_SECONDS, MAX_PER_DEVICE, Notifier
from fleet.store import store
from tests.fleet.samples import alert, now, resolved
from tests.mosquitto import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 60.0
SITES = 20


class Receiver:
    """Receives Alertmanager's webhook notifications."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        messages = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, count: int) -> list[dict[str, Any]]:
        """Wait for this many messages and return them."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while len(self.messages) < count:
            assert time.monotonic() < deadline, self.messages
            time.sleep(0.05)
        return list(self.messages)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def alertmanagers(tmp_path: Path, receiver: Receiver) -> Iterator[list[tuple[str, subprocess.Popen[bytes]]]]:
    """A cluster of two Alertmanagers: their addresses and processes."""
    # An alert that began longer ago than `group_wait` is sent at once, before the others of its group have arrived.
    # Posting 2,000 alerts takes more than five seconds on a busy machine.
    route = {"receiver": "test", "group_by": ["site"], "group_wait": "20s", "group_interval": "20s"}
    settings = {
        "route": {**route, "repeat_interval": "1h"},
        "receivers": [{"name": "test", "webhook_configs": [{"url": receiver.url, "send_resolved": True}]}],
    }
    file = tmp_path / "alertmanager.yml"
    file.write_text(json.dumps(settings))
    ports, gossip = [free_port(), free_port()], [free_port(), free_port()]
    started = []
    for number in (0, 1):
        with (tmp_path / f"log{number}").open("wb") as log:
            command = ["prometheus-alertmanager", f"--config.file={file}", f"--storage.path={tmp_path / str(number)}"]
            command += [f"--web.listen-address=127.0.0.1:{ports[number]}", "--cluster.peer-timeout=15s"]
            command += [f"--cluster.listen-address=127.0.0.1:{gossip[number]}", "--cluster.gossip-interval=50ms"]
            command += [f"--cluster.advertise-address=127.0.0.1:{gossip[number]}", "--cluster.settle-timeout=1s"]
            # On a busy machine a slow peer must not count as dead: then each of the two would send notifications.
            command += ["--cluster.probe-interval=10s", "--cluster.probe-timeout=9s"]
            command += [f"--cluster.peer=127.0.0.1:{gossip[1 - number]}"]
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
    for port in ports:
        _wait_until_settled(f"http://127.0.0.1:{port}/api/v2/status")
    yield [(f"http://127.0.0.1:{port}", process) for port, process in zip(ports, started, strict=True)]
    for process in started:
        process.kill()
        process.wait()


def _wait_until_settled(status: str) -> None:
    """Wait until each knows its peer; before that, both would send notifications."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            with urllib.request.urlopen(status, timeout=2) as answer:  # noqa: S310  (ours)
                cluster = json.load(answer)["cluster"]
        except OSError:
            cluster = {}
        if cluster.get("status") == "ready" and len(cluster["peers"]) == 2:
            return
        assert time.monotonic() < deadline, cluster
        time.sleep(0.1)


def _wait_until_considered(address: str) -> None:
    """Wait until it has checked for each site whether its peer has sent the notification."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        with urllib.request.urlopen(f"{address}/metrics", timeout=20) as answer:  # noqa: S310  (ours)
            found = re.search(r"^alertmanager_nflog_queries_total (\S+)", answer.read().decode(), re.MULTILINE)
        if found and float(found[1]) >= SITES:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def put(connection: psycopg.Connection, *messages: Any) -> None:
    with connection.transaction():
        store(connection, messages, site_of=FleetConfig().site_of)


class Mail(socketserver.StreamRequestHandler):
    """A service that does not speak HTTP."""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"220 mail.example.org ready\r\n")


def post(notifier: Notifier, connection: psycopg.Connection, *, at: float = 0.0) -> int:
    """Post, retrying until the Alertmanagers listen."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            return notifier.post(connection, at=at)
        except UnavailableError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_each_site_gets_one_message_for_a_hundred_alerts_and_one_for_their_end(
    connection: psycopg.Connection, alertmanagers: list[tuple[str, subprocess.Popen[bytes]]], receiver: Receiver
):
    config = NotifyConfig(alertmanagers=tuple(address for address, _ in alertmanagers), web_url="https://fleet.test/")
    made = [alert(f"hall{site}-{number}") for site in range(SITES) for number in range(100)]
    old = [alert(f"yard-{number}", historical=True, when=now() - timedelta(hours=2)) for number in range(100)]
    put(connection, *made, *old)

    # Two notifiers post to both Alertmanagers, and the first one posts again.
    first, second = Notifier(config), Notifier(config)
    post(first, connection)
    post(second, connection)
    post(first, connection, at=AGAIN_SECONDS)
    receiver.wait(SITES)
    for address, _ in alertmanagers:
        _wait_until_considered(address)
    begun = receiver.wait(SITES)

    everywhere = sorted(f"hall{site}" for site in range(SITES))
    assert sorted(one["commonLabels"]["site"] for one in begun) == everywhere
    assert {(one["status"], len(one["alerts"])) for one in begun} == {("firing", 100)}
    assert begun[0]["alerts"][0]["generatorURL"].startswith("https://fleet.test/alerts/")

    alertmanagers[1][1].kill()
    put(connection, *(resolved(one) for one in made))
    post(first, connection, at=AGAIN_SECONDS)
    ended = receiver.wait(2 * SITES)[SITES:]

    assert sorted(one["commonLabels"]["site"] for one in ended) == everywhere
    assert {(one["status"], len(one["alerts"])) for one in ended} == {("resolved", 100)}


def test_notifications_are_repeated_only_after_an_interval(connection: psycopg.Connection, receiver: Receiver):
    one = alert()
    put(connection, one)
    notifier = Notifier(NotifyConfig(alertmanagers=(receiver.url,)))

    posted = [notifier.post(connection, at=at) for at in (0.0, 5.0, AGAIN_SECONDS)]
    put(connection, resolved(one))
    posted += [notifier.post(connection, at=AGAIN_SECONDS + 1)]

    assert posted == [1, 0, 1, 1]
    ends = [message[0]["endsAt"] for message in receiver.messages]  # type: ignore[index]  # a list, here
    assert ends[0] == ends[1] > ends[2]


def test_an_alert_with_a_wrong_time_is_forwarded(connection: psycopg.Connection):
    put(
        connection,
        alert("hall-1", when=now() + timedelta(days=400)),
        alert("hall-2", when=now() - timedelta(days=9000)),
    )

    found = Notifier(NotifyConfig()).state(connection)

    assert len(found) == 2
    assert all(one.content["startsAt"] < one.content["endsAt"] for one in found)


def test_an_alert_whose_end_was_stored_first_does_not_end_before_it_begins(connection: psycopg.Connection):
    # Another worker stored the resolution, and the device's clock is ahead. Alertmanager rejects such an alert, and
    # with it the answer to all that were posted together.
    one = alert(when=now() + timedelta(hours=1))
    put(connection, resolved(one))
    put(connection, one)

    (found,) = Notifier(NotifyConfig()).state(connection)

    assert found.is_over
    assert found.content["startsAt"] <= found.content["endsAt"]


def test_a_device_that_floods_hides_no_other(connection: psycopg.Connection):
    put(connection, *(alert("hall-1", number) for number in range(1, MAX_PER_DEVICE + 100)))
    put(connection, alert("hall-2"))

    found = Notifier(NotifyConfig()).state(connection)

    assert len(found) == MAX_PER_DEVICE + 1
    assert found[-1].content["labels"]["device"] == "hall-2"


def test_an_alert_without_an_end_ends_after_a_while(connection: psycopg.Connection):
    put(connection, alert())
    notifier = Notifier(NotifyConfig(ends_after_seconds=60.0))

    assert len(notifier.state(connection)) == 1
    connection.execute("update alerts set received = received - interval '1 hour'")
    assert notifier.state(connection) == []


def test_a_missing_alertmanager_is_reported_and_nothing_counts_as_posted(connection: psycopg.Connection):
    put(connection, alert())
    notifier = Notifier(NotifyConfig(alertmanagers=(f"http://127.0.0.1:{free_port()}",)))

    with pytest.raises(UnavailableError, match=r"notify\.alertmanagers"):
        notifier.post(connection, at=0.0)
    assert notifier._posted == {}


@pytest.fixture
def mail_port() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


def test_the_address_of_another_service_is_reported(connection: psycopg.Connection, mail_port: int):
    put(connection, alert())
    notifier = Notifier(NotifyConfig(alertmanagers=(f"http://127.0.0.1:{mail_port}",)))

    with pytest.raises(UnavailableError, match=r"notify\.alertmanagers"):
        notifier.post(connection, at=0.0)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1"])
def test_a_port_of_another_service_is_not_taken_for_rabbitmq(mail_port: int, host: str):
    broker = BrokerConfig(hosts=(host,), management_port=mail_port)

    with pytest.raises(UnavailableError, match=r"broker\.management_port"):
        Management(broker).get("overview")


class AnyPage(BaseHTTPRequestHandler):
    """Answers every request alike, as web servers and proxies do."""

    answer = (404, b"")

    def do_GET(self) -> None:
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.mark.parametrize("answer", [(404, b"nothing here"), (200, b""), (200, b"[]"), (200, b"{}"), (200, b"<html>")])
def test_a_web_server_is_not_taken_for_rabbitmq(
    connection: psycopg.Connection, conninfo: str, answer: tuple[int, bytes], capsys: pytest.CaptureFixture[str]
):
    handler = type("Handler", (AnyPage,), {"answer": answer})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        config = [
            "--set=broker.hosts=[127.0.0.1]",
            f"--set=broker.management_port={server.server_address[1]}",
            f"--set=database.conninfo={conninfo}",
        ]

        assert main(["init", *config]) == UnavailableError.exit_code
        assert "broker.management_port" in capsys.readouterr().err
        assert main(["doctor", *config]) == 1
        server.shutdown()

    assert "ok       broker" not in capsys.readouterr().out


def test_the_example_is_a_configuration_of_alertmanager():
    assert shutil.which("amtool")
    subprocess.run(["amtool", "check-config", ROOT / "deploy/alertmanager/alertmanager.yml"], check=True)
