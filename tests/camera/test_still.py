"""Still pictures: a camera that is polled for each picture."""

from __future__ import annotations

import base64
import hashlib
import http.server
import re
import threading
import time
from contextlib import closing, contextmanager
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.camera import open_camera
from edge_agent.camera.feed import CameraFeed
from edge_agent.config.model import CameraConfig
from edge_agent.errors import CameraError
from tests.cameras import next_picture

USER, PASSWORD, NONCE = "viewer", "s3cr:t@", "b7f3"


def md5(text):
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def basic(header, _method, _path):
    return header == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def digest(header, method, path):
    said = dict(re.findall(r'(\w+)="?([^",]+)"?', header))
    first, second = md5(f"{USER}:cam:{PASSWORD}"), md5(f"{method}:{path}")
    parts = [first, NONCE, *(said[key] for key in ("nc", "cnonce", "qop") if key in said), second]
    return said.get("response") == md5(":".join(parts))


CHALLENGES = {basic: 'Basic realm="cam"', digest: f'Digest realm="cam", nonce="{NONCE}", qop="auth", algorithm=MD5'}


class Server(http.server.ThreadingHTTPServer):
    """What it was asked and what it gave."""

    daemon_threads = True
    login: Any = None
    content: bytes | None = None
    kind = "image/jpeg"
    status = 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.sent = self.unchanged = 0


class Handler(http.server.BaseHTTPRequestHandler):
    """A new picture for each request, or the same with its tag."""

    server: Server

    def do_GET(self):
        server = self.server
        if server.login and not server.login(self.headers.get("Authorization", ""), "GET", self.path):
            self.answer(401, b"", ("WWW-Authenticate", CHALLENGES[server.login]))
        elif server.content and self.headers.get("If-None-Match") == '"1"':
            server.unchanged += 1
            self.answer(304, b"")
        else:
            server.sent += 1
            self.answer(
                server.status, server.content or jpeg(server.sent), ("ETag", '"1"' if server.content else '"x"')
            )

    def answer(self, status, content, *headers):
        self.send_response(status)
        for name, value in (("Content-Type", self.server.kind), ("Content-Length", str(len(content))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Tests are quiet."""


def jpeg(number):
    picture = np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", picture)[1].tobytes()


@contextmanager
def serving(**settings):
    server = Server()
    for name, value in settings.items():
        setattr(server, name, value)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def address(server, credentials=""):
    return f"http://{credentials}127.0.0.1:{server.server_port}/snapshot.jpg?channel=1"


def test_a_camera_is_asked_for_each_picture_at_its_rate():
    began_at = time.monotonic()
    with serving() as server, closing(open_camera(CameraConfig(source=address(server), capture_fps=20))) as camera:
        pictures = [next_picture(camera) for _ in range(5)]

    assert time.monotonic() - began_at >= 0.2
    assert all(picture.shape == (48, 64, 3) for picture in pictures)
    assert not np.array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize("login", [basic, digest])
def test_a_login_is_answered_as_the_camera_asks(login):
    with serving(login=login) as server:
        camera = open_camera(CameraConfig(source=address(server, "viewer:s3cr%3At%40@"), capture_fps=20))
        assert next_picture(camera).shape == (48, 64, 3)
        assert next_picture(camera).shape == (48, 64, 3)

        with pytest.raises(CameraError, match="user or password") as raised:
            open_camera(CameraConfig(source=address(server, "viewer:wrong@")))
    assert "wrong@" not in str(raised.value)


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain", "binary/jpeg"])
def test_a_picture_is_seen_to_be_one_whatever_the_camera_calls_it(kind):
    with (
        serving(kind=kind) as server,
        closing(open_camera(CameraConfig(source=address(server), capture_fps=20))) as camera,
    ):
        assert [next_picture(camera).shape for _ in range(3)] == [(48, 64, 3)] * 3


def test_a_picture_that_has_not_changed_is_not_sent_again_and_counts_as_frozen():
    with serving(content=jpeg(1)) as server:
        feed = CameraFeed("yard", CameraConfig(source=address(server), capture_fps=20, frozen_seconds=0.5))
        feed.start()
        until = time.monotonic() + 60
        while not feed.state().faults and time.monotonic() < until:
            time.sleep(0.02)
        faults = feed.state().faults
        feed.close()

    assert [fault.code for fault in faults] == ["camera_frozen"]
    # Each time that it is opened, it is sent once.
    assert server.unchanged >= server.sent


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"content": jpeg(1)[:500]}, "the picture: "),
        ({"status": 404}, "no such path"),
        ({"status": 503}, "error of its own"),
        ({"status": 403}, "user or password"),
        ({"content": b"<html>Log in</html>", "kind": "text/html; charset=utf-8"}, "web page"),
        ({"content": b'{"error": 1}', "kind": "application/json"}, "web page"),
        ({"content": b"<html>Log in</html>", "kind": "application/octet-stream"}, "no video"),
    ],
)
def test_what_is_no_picture_is_told_apart(settings, reason):
    with serving(**settings) as server, pytest.raises(CameraError, match=reason):
        next_picture(open_camera(CameraConfig(source=address(server))))


def test_a_stop_is_heard_between_two_pictures():
    stop = threading.Event()
    with (
        serving() as server,
        closing(open_camera(CameraConfig(source=address(server), capture_fps=0.001), stop)) as camera,
    ):
        next_picture(camera)
        threading.Timer(0.2, stop.set).start()
        began_at = time.monotonic()
        with pytest.raises(CameraError, match="asked to stop"):
            camera.grab()

    # The next one is due in a quarter of an hour.
    assert time.monotonic() - began_at < 60
