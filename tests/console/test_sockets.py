"""Sockets: flow control of pictures; slow and hostile clients do not affect others."""

from __future__ import annotations

import base64
import json
import os
import socket
import sqlite3
import struct
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from edge_agent.vision.images import decode_picture
from tests.console.served import TIMEOUT_SECONDS, TOKEN, connect, jpeg, served
from tests.faces import HOPPER, portrait

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection


@dataclass
class Shown:
    head: dict[str, Any]
    jpeg: bytes


class Page:
    """The live page: subscribes to cameras and acknowledges shown pictures."""

    def __init__(self, console, **options):
        address = f"{console.url.replace('http', 'ws')}/live"
        self.line: ClientConnection = connect(address, origin=console.url, **options)

    def send(self, **message):
        self.line.send(json.dumps(message))

    def receive(self, kind):
        """Return the next message of a kind: "picture", or the key of a JSON message."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            message = self.line.recv(timeout=max(0.0, deadline - time.monotonic()))
            if isinstance(message, bytes):
                if kind == "picture":
                    (length,) = struct.unpack(">I", message[:4])
                    return Shown(json.loads(message[4 : 4 + length]), message[4 + length :])
            elif kind in (content := json.loads(message)):
                return content[kind]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.line.close()


def refused(console, path="/live", **headers) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        connect(f"{console.url.replace('http', 'ws')}{path}", additional_headers=headers)
    return refusal.value.response.status_code


def test_a_page_gets_a_picture_and_the_next_only_when_it_was_shown(console):
    with Page(console) as page:
        page.send(watch=["door", "unknown"], width_px=320)
        console.show(portrait(HOPPER), index=1)
        first = page.receive("picture")
        for number in range(2, 9):
            console.show(portrait(HOPPER), index=number)
        # Two overviews arrive meanwhile, and no picture.
        messages = [page.line.recv(timeout=TIMEOUT_SECONDS) for _ in range(2)]
        assert all(isinstance(message, str) for message in messages)
        page.send(shown="door")
        second = page.receive("picture")

    assert (first.head["index"], second.head["index"]) == (1, 8)
    assert first.head["width"] == 320
    assert decode_picture(first.jpeg).shape[1] == 320


def test_twenty_viewers_share_one_encoding(console, client):
    pages = [Page(console) for _ in range(20)]
    for page in pages:
        page.send(watch=["door"])
    console.show(portrait(HOPPER), index=1)

    heads = [page.receive("picture").head["index"] for page in pages]

    assert heads == [1] * 20
    figures = client.get("/metrics").text
    assert "maskwatch_console_pictures_encoded_total 1.0" in figures
    assert "maskwatch_console_viewers 20.0" in figures
    for page in pages:
        page.line.close()


def test_a_page_gets_alerts_and_the_status(console):
    with Page(console) as page:
        assert page.receive("overview")["cameras"][1]["reason"] == "unplugged"
        alert_id = console.keep_alert()
        alert = page.receive("alert")

    assert (alert["id"], alert["label"], alert["crop"]) == (alert_id, "without_mask", "none")


def test_alerts_that_move_up_when_newer_ones_are_deleted_are_not_new(console):
    ids = [console.keep_alert() for _ in range(15)]
    with Page(console) as page:
        page.receive("overview")
        with closing(sqlite3.connect(console.config.store_file)) as database, database:
            database.executemany("DELETE FROM alerts WHERE id = ?", [(alert_id,) for alert_id in ids[3:]])
        newest = console.keep_alert()

        assert page.receive("alert")["id"] == newest


def test_alerts_are_not_new_when_the_history_can_be_read_again(console):
    console.keep_alert()
    store = console.config.store_file
    with Page(console) as page:
        page.receive("overview")
        aside = store.rename(store.with_name("aside"))
        store.mkdir()
        for _ in range(3):
            page.receive("overview")
        store.rmdir()
        aside.rename(store)
        newest = console.keep_alert()

        assert page.receive("alert")["id"] == newest


def test_a_hanging_agent_is_reported_to_the_page(console):
    with Page(console) as page:
        page.receive("overview")
        console.is_silent = True
        assert page.receive("error")


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '"watch"', "[" * 3000, b"\0\1", "x" * 5000], ids=lambda text: repr(text)[:12]
)
def test_a_page_that_sends_invalid_messages_is_disconnected(console, text):
    with Page(console) as page:
        page.line.send(text)
        with pytest.raises(ConnectionClosed) as closed:
            page.receive("nothing")

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code in (1003, 1009)


def test_invalid_messages_of_a_page_are_ignored(console):
    with Page(console) as page:
        page.send(watch="door", width_px="wide", shown=7)
        page.send(watch=[1, None, {"a": "b"}], width_px=-5, shown="unknown")
        page.send(watch=["door"], width_px=10**400)
        console.show(portrait(HOPPER))
        assert page.receive("picture").head["camera"] == "door"


def send_three_megabytes(page):
    page.line.send(b"x" * 3_000_000)
    page.receive("nothing")


def test_a_message_of_three_megabytes_is_rejected(console):
    with Page(console) as page, pytest.raises(ConnectionClosed) as closed:
        send_three_megabytes(page)

    # Sending may fail on the closed connection before the close code is read.
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009


# access


def test_a_page_of_another_site_gets_no_socket(console):
    assert refused(console, Origin="https://evil.example") == 403
    assert refused(console, Origin="null") == 403
    assert refused(console, Host="evil.example") in (400, 421)


def test_a_socket_needs_a_login(locked):
    assert refused(locked) == 401
    assert refused(locked, "/webcam") == 401
    assert refused(locked, Cookie=f"maskwatch-{locked.config.console.port}=guess") == 401
    assert refused(locked, Authorization="Bearer guess") == 401
    with connect(
        f"{locked.url.replace('http', 'ws')}/live", additional_headers={"Authorization": f"Bearer {TOKEN}"}
    ) as line:
        assert line.recv(timeout=TIMEOUT_SECONDS)


def test_the_number_of_viewers_is_limited(tmp_path):
    with served(tmp_path, max_viewers=2) as console:
        with Page(console), Page(console), Page(console) as third:
            with pytest.raises(ConnectionClosed) as closed:
                third.receive("nothing")
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4429, "too many viewers; close another page")
        with Page(console) as page:
            assert page.receive("overview")


# slow clients


def test_a_client_that_reads_nothing_is_disconnected_and_others_continue(console, client):
    deaf = socket.create_connection(("127.0.0.1", console.config.console.port))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    key = base64.b64encode(os.urandom(16)).decode()
    deaf.sendall(
        f"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    with Page(console) as page:
        page.send(watch=["door"])
        indices: list[int] = []
        deadline = time.monotonic() + 2 * TIMEOUT_SECONDS
        while "maskwatch_console_viewers 2.0" not in client.get("/metrics").text:
            assert time.monotonic() < deadline
        while "maskwatch_console_viewers 2.0" in client.get("/metrics").text:
            assert time.monotonic() < deadline
            console.show(portrait(HOPPER), index=len(indices))
            indices.append(page.receive("picture").head["index"])
            page.send(shown="door")
    deaf.close()

    assert indices == sorted(indices)
    assert len(indices) > 10


# the webcam


def test_a_webcam_is_answered_as_the_api_answers(console, client):
    with connect(f"{console.url.replace('http', 'ws')}/webcam", origin=console.url) as line:
        line.send(jpeg())
        found = json.loads(line.recv(timeout=TIMEOUT_SECONDS))
        line.send(b"not a picture")
        wrong = json.loads(line.recv(timeout=TIMEOUT_SECONDS))
        line.send(jpeg()[:300])
        half = json.loads(line.recv(timeout=TIMEOUT_SECONDS))
        line.send(jpeg())
        again = json.loads(line.recv(timeout=TIMEOUT_SECONDS))

    answer = client.post("/api/v1/detect", files={"file": jpeg()}).json()
    assert found["faces"] == again["faces"] == answer["faces"]
    assert wrong == {"error": "not a JPEG, PNG, WebP or BMP picture"}
    assert set(half) == {"error"}


def test_a_webcam_that_sends_text_is_disconnected(console):
    with connect(f"{console.url.replace('http', 'ws')}/webcam", origin=console.url) as line:
        line.send("words")
        with pytest.raises(ConnectionClosed) as closed:
            line.recv(timeout=TIMEOUT_SECONDS)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


def test_a_webcam_that_does_not_wait_for_answers_gets_them_one_by_one(console, client):
    with connect(f"{console.url.replace('http', 'ws')}/webcam", origin=console.url) as line:
        for _ in range(10):
            line.send(jpeg())
        answers = [json.loads(line.recv(timeout=TIMEOUT_SECONDS)) for _ in range(10)]
        # Meanwhile others are served.
        assert client.get("/health").status_code == 200

    assert all(len(answer["faces"]) == 1 for answer in answers)
