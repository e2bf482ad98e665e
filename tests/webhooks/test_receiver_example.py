"""The example receiver forwards genuine events once, and lets maskwatch keep those that it cannot forward."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from edge_agent.alerts.events import EventQueue
from edge_agent.webhooks.delivery import WebhookDelivery
from edge_agent.webhooks.post import signature
from tests.mqtt.samples import put
from tests.webhooks.test_delivery import KINDS, SECRET, Receiver, opened

EXAMPLE = Path(__file__).parents[2] / "examples" / "webhook_receiver.py"


@contextmanager
def running(folder, target, place):
    (folder / "secret").write_text(f"whsec_{base64.b64encode(SECRET).decode()}\n")
    command = [sys.executable, EXAMPLE, "--secret-file", folder / "secret", "--port", "0", target, place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def delivery_to(url, folder):
    queue = EventQueue(folder / "alerts.sqlite", webhook="hook", kinds=KINDS)
    return WebhookDelivery(url, queue, name="hook", secret=SECRET)


@pytest.mark.parametrize("target", ["ntfy", "slack"])
def test_alerts_and_resolutions_become_a_sentence(tmp_path, target):
    with (
        closing(Receiver()) as service,
        running(tmp_path, target, service.url) as url,
        opened(tmp_path, "hook") as store,
    ):
        put(store)
        put(store, "resolved")
        store.put_event(
            "status",
            "01950000-0000-7000-8000-000000000000",
            json.dumps({"schema": "maskwatch.status/1", "device": "lobby", "state": "degraded", "reasons": []}),
        )
        delivery = delivery_to(url, tmp_path)
        while delivery.deliver_next() is not None:
            assert not delivery.reason

    bodies = [body.decode() for _, _, body, _ in service.posts]
    texts = [json.loads(body)["text"] for body in bodies] if target == "slack" else bodies
    assert texts[0].startswith("No mask at entrance (lobby), ")
    assert texts[1:] == ["entrance (lobby): left", "lobby is degraded"]


def test_a_program_gets_the_whole_message_and_its_status_decides(tmp_path):
    program = tmp_path / "on-alert.sh"
    program.write_text(f"#!/bin/sh\ntest -e {tmp_path}/ready || exit 1\ncat > {tmp_path}/taken\n")
    program.chmod(0o700)
    with running(tmp_path, "run", str(program)) as url, opened(tmp_path, "hook") as store:
        alert = put(store)
        delivery = delivery_to(url, tmp_path)
        assert delivery.deliver_next()
        assert "503" in delivery.reason
        (tmp_path / "ready").touch()
        assert delivery.deliver_next() == 0.0

    assert json.loads((tmp_path / "taken").read_text()) == alert


def test_forged_old_and_repeated_events_are_not_forwarded(tmp_path):
    def answer(url, *, secret=SECRET, age_seconds=0):
        body, timestamp = b'{"schema": "maskwatch.alert/1"}', int(time.time()) - age_seconds  # noqa: TID251
        headers = {
            "webhook-id": "one",
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(secret, id="one", timestamp=timestamp, body=body),
        }
        return httpx.post(url, content=body, headers=headers, timeout=20).status_code

    count = tmp_path / "count"
    program = tmp_path / "on-alert.sh"
    program.write_text(f"#!/bin/sh\necho once >> {count}\n")
    program.chmod(0o700)
    with running(tmp_path, "run", str(program)) as url:
        assert answer(url, secret=b"x" * 32) == 401
        assert answer(url, age_seconds=1000) == 401
        assert answer(url) == 204
        assert answer(url) == 204

    assert count.read_text() == "once\n"
