"""Webhook delivery: at least once, in order, whatever the receiver does, without blocking anything else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.alerts.events import EventQueue
from edge_agent.alerts.store import AlertStore
from edge_agent.config.model import WebhookConfig
from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.foreign_text import safe
from edge_agent.webhooks import delivery as delivery_module
from edge_agent.webhooks import post as post_module
from edge_agent.webhooks.delivery import WebhookDelivery
from edge_agent.webhooks.post import addresses_of, post, read_secret
from tests.answering import answering
from tests.mqtt.samples import BOOT_ID, eventually, put

SECRET = b"0123456789abcdef0123456789abcdef"
KINDS = ("alert", "resolved", "status")


class Receiver:
    """A server that records posts; `answers` are its next statuses, then 204."""

    def __init__(self):
        self.posts: list[Any] = []
        self.answers: list[int] = []
        self.hangs = threading.Event()
        self.hangs.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                receiver.hangs.wait(240)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answers.pop(0) if receiver.answers else 204
                receiver.posts.append((status, dict(self.headers), body, self.path))
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_arguments):
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=x"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def taken(self):
        return [json.loads(body)["id"] for status, _, body, _ in self.posts if status == 204]

    def close(self):
        self.hangs.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    with closing(Receiver()) as opened:
        yield opened


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(delivery_module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(delivery_module, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(delivery_module, "MAX_PAUSE_SECONDS", 0.1)


def opened(folder, *webhooks):
    return closing(AlertStore(folder / "alerts.sqlite", boot_id=BOOT_ID, webhooks=webhooks))


@contextmanager
def delivering(folder, url, *, name="hook", kinds=KINDS, secret=SECRET):
    queue = EventQueue(folder / "alerts.sqlite", webhook=name, kinds=kinds)
    delivery = WebhookDelivery(url, queue, name=name, secret=secret)
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.close()


def test_alerts_resolutions_and_status_are_posted_as_they_are(tmp_path, receiver):
    with opened(tmp_path, "hook") as store:
        alert = put(store)
        resolved = put(store, "resolved")
        put(store, "telemetry")
        store.put_event("status", "01950000-0000-7000-8000-000000000000", json.dumps({"id": "status"}))
        with delivering(tmp_path, receiver.url):
            eventually(lambda: len(receiver.posts) == 3, "three posts")

    assert [json.loads(body) for _, _, body, _ in receiver.posts] == [alert, resolved, {"id": "status"}]
    assert {path for *_, path in receiver.posts} == {"/hook?token=x"}


def test_posts_are_signed_per_the_specification(tmp_path, receiver):
    with opened(tmp_path, "hook") as store:
        alert = put(store)
        with delivering(tmp_path, receiver.url):
            eventually(lambda: receiver.posts, "a post")

    _, headers, body, _ = receiver.posts[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    assert headers["webhook-id"] == alert["id"]
    assert abs(int(headers["webhook-timestamp"]) - datetime.now(timezone.utc).timestamp()) < 60
    expected = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("answers", [[500, 503, 500], [301], [302], [307], [308], [404], [410], [429]])
def test_a_failed_event_is_retried_in_order(tmp_path, receiver, answers):
    receiver.answers = list(answers)
    with opened(tmp_path, "hook") as store:
        ids = [put(store)["id"] for _ in range(3)]
        with delivering(tmp_path, receiver.url) as delivery:
            eventually(lambda: receiver.taken == ids, "all of them, in order")
            eventually(lambda: not delivery.reason, "no trouble any more")

    assert len(receiver.posts) == len(ids) + len(answers)
    assert {path for *_, path in receiver.posts} == {"/hook?token=x"}, "no redirect is followed"


def test_events_wait_over_restarts_and_are_posted_once(tmp_path, receiver):
    with opened(tmp_path, "hook") as store:
        first = put(store)["id"]
        with delivering(tmp_path, "http://127.0.0.1:9/") as delivery:
            eventually(lambda: delivery.reason, "trouble")
    with opened(tmp_path, "hook") as store:
        second = put(store)["id"]
        with delivering(tmp_path, receiver.url):
            eventually(lambda: len(receiver.posts) == 2, "both")
    with opened(tmp_path, "hook"), delivering(tmp_path, receiver.url):
        time.sleep(0.2)

    assert receiver.taken == [first, second]


def test_a_receiver_that_hangs_delays_no_other(tmp_path, receiver):
    with closing(Receiver()) as hanging:
        hanging.hangs.clear()
        with opened(tmp_path, "hook", "slow") as store:
            ids = [put(store)["id"] for _ in range(3)]
            with delivering(tmp_path, hanging.url, name="slow"), delivering(tmp_path, receiver.url):
                eventually(lambda: receiver.taken == ids, "all at the other")
                assert hanging.posts == []
                assert store.count() == 3, "of the broker's outbox none is gone"
                hanging.hangs.set()
                eventually(lambda: hanging.taken == ids, "all at the slow one")


def test_each_webhook_gets_its_configured_kinds(tmp_path, receiver):
    with opened(tmp_path, "hook") as store:
        put(store)
        resolved = put(store, "resolved")
        with delivering(tmp_path, receiver.url, kinds=("resolved",)):
            eventually(lambda: receiver.posts, "a post")

    assert receiver.taken == [resolved["id"]]


def test_a_new_webhook_starts_with_the_next_event(tmp_path, receiver):
    with opened(tmp_path, "hook") as store:
        put(store)
    with opened(tmp_path, "hook", "new") as store:
        new = put(store)["id"]
        with delivering(tmp_path, receiver.url, name="new"):
            eventually(lambda: receiver.posts, "a post")

    assert receiver.taken == [new]


def test_without_webhooks_nothing_is_kept_for_them(tmp_path):
    with opened(tmp_path, "hook") as store:
        put(store)
    with opened(tmp_path) as store:
        put(store)
    with opened(tmp_path, "hook"):
        assert EventQueue(tmp_path / "alerts.sqlite", webhook="hook", kinds=KINDS).oldest() is None


def test_without_webhooks_nothing_of_them_is_imported():
    asks = (
        "import sys; from contextlib import ExitStack; from edge_agent.commands import run; "
        "from edge_agent.config.model import Config; from edge_agent.wiring import open_webhooks; "
        "assert open_webhooks(Config(), ExitStack()) == []; "
        "sys.exit(any(name.startswith('edge_agent.webhooks.') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", asks], check=False).returncode == 0


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%lo", "::ffff:169.254.1.1", "100.100.100.200"])
def test_names_that_lead_to_metadata_are_refused(monkeypatch, address):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_arguments, **_more: [(0, 0, 0, "", (address, 80))])

    with pytest.raises(UnavailableError, match="link-local or metadata"):
        addresses_of("harmless.example", 80)


def test_all_addresses_of_a_name_are_tried(receiver, monkeypatch):
    # Like localhost, whose first address is ::1: this receiver listens only at the second.
    found, lookup = ["127.0.0.2", "127.0.0.1"], socket.getaddrinfo
    monkeypatch.setattr(
        "socket.getaddrinfo",
        lambda host, *rest, **more: [
            one for address in (found if host == "name.example" else [host]) for one in lookup(address, *rest, **more)
        ],
    )

    post(receiver.url.replace("127.0.0.1", "name.example"), b'{"id": "1"}', {})

    assert receiver.taken == ["1"]


@pytest.mark.parametrize(
    "parts", [[b"HTTP/1.1 200 OK\r\nX: ", *[b"a"] * 100], [b"HTTP/1.1 100 Continue\r\n\r\n"] * 100]
)
def test_an_answer_that_never_ends_counts_as_none(monkeypatch, parts):
    monkeypatch.setattr(post_module, "TIMEOUT_SECONDS", 0.5)
    with answering(parts, pause_seconds=0.05) as url:
        began_at = time.monotonic()
        with pytest.raises(UnavailableError):
            post(url, b"{}", {})

        assert time.monotonic() - began_at < 0.05 * len(parts)


def test_an_answer_that_is_not_http_is_not_repeated():
    with answering([b"\x1b[2J secret\r\n"]) as url, pytest.raises(UnavailableError) as failed:
        post(url, b"{}", {})

    assert "secret" not in str(failed.value)


def test_an_address_that_is_named_is_meant():
    assert addresses_of("169.254.1.1", 80) == ["169.254.1.1"]


@pytest.mark.parametrize(
    "line", ["", "plain-words", "whsec_", "whsec_!!!", "whsec_" + base64.b64encode(b"short").decode()]
)
def test_a_secret_that_is_none_is_refused_without_being_shown(tmp_path, line):
    file = tmp_path / "secret"
    file.write_text(line)

    with pytest.raises(ConfigError, match="secret_file") as refused:
        read_secret(file, key="webhooks.0.secret_file")
    assert line.removeprefix("whsec_") in ("", "!!!") or line not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "https://user:hunter2@example.com/", "https:///path", "https://[::1", "https://a:99999/"],
)
def test_a_url_that_cannot_be_posted_to_is_refused_without_being_shown(url):
    with pytest.raises(ValidationError) as refused:
        WebhookConfig(url=url)

    assert all("hunter2" not in error["msg"] for error in refused.value.errors())


def test_webhooks_of_one_host_are_told_apart_in_the_log():
    names = [safe(f"webhook {WebhookConfig(url=f'https://example.com/{path}').name}: fails") for path in "ab"]

    assert len(set(names)) == 2


def test_the_name_of_a_webhook_shows_no_secret():
    webhook = WebhookConfig(url="https://hooks.example.com/services/T000/secret?token=secret")

    assert webhook.name.startswith("https://hooks.example.com ")
    assert "secret" not in webhook.name


def test_a_new_event_is_posted_at_once_without_polling(tmp_path, receiver, monkeypatch):
    monkeypatch.setattr(delivery_module, "POLL_SECONDS", 3600.0)
    with opened(tmp_path, "hook") as store, delivering(tmp_path, receiver.url) as delivery:
        for _ in range(3):
            new = put(store)["id"]
            delivery.wake()
            eventually(lambda new=new: new in receiver.taken, "the new one")  # type: ignore[misc]


def test_an_event_that_no_code_expects_ends_no_delivery(tmp_path, receiver):
    """A flipped bit makes a text a blob; SQLite notices nothing."""
    with opened(tmp_path, "hook") as store:
        alert = put(store)["id"]
        with closing(sqlite3.connect(store.path)) as damaged, damaged:
            damaged.execute("UPDATE events SET message = CAST(message AS BLOB)")
        with delivering(tmp_path, receiver.url) as delivery:
            eventually(lambda: delivery.reason, "trouble")
            with closing(sqlite3.connect(store.path)) as repaired, repaired:
                repaired.execute("UPDATE events SET message = CAST(message AS TEXT)")
            eventually(lambda: receiver.taken == [alert], "the alert")


def test_new_events_are_posted_although_the_store_was_damaged_after_all_others(tmp_path):
    with opened(tmp_path, "hook") as store:
        queue = EventQueue(tmp_path / "alerts.sqlite", webhook="hook", kinds=KINDS)
        for _ in range(3):
            put(store)
        while event := queue.oldest():
            queue.take(event)
        with closing(sqlite3.connect(store.path)) as database:
            database.execute("DROP TABLE last_sequence")
        new = put(store)["id"]
        event = queue.oldest()

        assert store.damage
        assert event is not None
        assert event.id == new


def test_the_reason_is_that_of_the_last_failure_and_the_log_has_the_first(tmp_path, receiver, caplog):
    with opened(tmp_path, "hook") as store:
        put(store)
        queue = EventQueue(tmp_path / "alerts.sqlite", webhook="hook", kinds=KINDS)
        delivery = WebhookDelivery(receiver.url, queue, name="hook", secret=None)
        receiver.answers = [429, 301]

        delivery.deliver_next()
        delivery.deliver_next()

    assert "301" in delivery.reason
    assert [record.args[-1] for record in caplog.records] == ["127.0.0.1: answers 429 Too Many Requests"]


def test_a_receiver_that_fails_for_an_hour_gets_everything_afterwards(tmp_path, receiver, monkeypatch):
    monkeypatch.setattr(delivery_module, "FIRST_PAUSE_SECONDS", 2.0)
    monkeypatch.setattr(delivery_module, "MAX_PAUSE_SECONDS", 300.0)
    with opened(tmp_path, "hook") as store:
        ids = [put(store)["id"] for _ in range(3)]
        queue = EventQueue(tmp_path / "alerts.sqlite", webhook="hook", kinds=KINDS)
        delivery = WebhookDelivery(receiver.url, queue, name="hook", secret=None)
        at, attempts = 0.0, 0
        while at < 3600.0:
            receiver.answers = [500]
            pause = delivery.deliver_next()
            assert pause
            assert delivery.reason
            at, attempts = at + pause, attempts + 1
        receiver.answers = []
        while (pause := delivery.deliver_next()) is not None:
            assert pause == 0.0

    assert receiver.taken == ids
    assert not delivery.reason
    assert 12 <= attempts <= 40
    assert at < 3600.0 + 2 * 300.0


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1", b"\x00\xff\r\n\r\n", b"HTTP/1.1 two hundred\r\n\r\n"])
def test_a_receiver_that_closes_or_talks_nonsense_has_not_taken_anything(tmp_path, said):
    with closing(socket.create_server(("127.0.0.1", 0))) as listener, opened(tmp_path, "hook") as store:

        def serve():
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    client.recv(65_536)
                    client.sendall(said)
                    client.close()

        threading.Thread(target=serve, daemon=True).start()
        put(store)
        queue = EventQueue(tmp_path / "alerts.sqlite", webhook="hook", kinds=KINDS)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        delivery = WebhookDelivery(url, queue, name="hook", secret=None)

        assert delivery.deliver_next()
        assert delivery.reason
        assert queue.oldest()
        listener.shutdown(socket.SHUT_RDWR)
