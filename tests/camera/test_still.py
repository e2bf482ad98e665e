"""Still pictures: a camera that is polled for each picture."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.server
import re
import socket
import ssl
import threading
import time
import zlib
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from edge_agent.camera import open_camera
from edge_agent.camera.feed import CameraFeed
from edge_agent.camera.still import MAX_PICTURE_BYTES, NOTHING, kind_of_address
from edge_agent.config.model import CameraConfig
from edge_agent.errors import CameraError
from tests.cameras import next_picture
from tests.mqtt.brokers import make_certificates

USER, PASSWORD, NONCE = "viewer", "s3cr:t@/#?%ä", "b7f3"
LOGIN = f"{USER}:{quote(PASSWORD, safe='')}@"


def basic(header, _method, _path):
    return header == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def digest(header, method, path, *, algorithm="MD5"):
    """RFC 7616, section 3.4.1."""
    fields = dict(re.findall(r'(\w+)="?([^",]+)"?', header))

    def hashed(*parts):
        name = algorithm.removesuffix("-sess").replace("-", "").lower()
        return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

    secret = hashed(USER, "cam", PASSWORD)
    if algorithm.endswith("-sess"):
        secret = hashed(secret, NONCE, fields.get("cnonce", ""))
    parts = [NONCE, *(fields[key] for key in ("nc", "cnonce", "qop") if key in fields)]
    return fields.get("response") == hashed(secret, *parts, hashed(method, path))


BASIC = 'Basic realm="cam"'
DIGEST = f'Digest realm="cam", nonce="{NONCE}"'


class Server(http.server.ThreadingHTTPServer):
    """A camera's web server that counts requests and answers."""

    daemon_threads = True
    raw: Any = None
    redirect = cookie = ""
    login: Any = None
    challenges = (BASIC,)
    content: bytes | None = None
    kind = "image/jpeg"
    status = 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.sent = self.unchanged = 0


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with a new picture for each request, or the same one with its entity tag."""

    server: Server

    def do_GET(self):
        server = self.server
        if server.raw:
            server.raw(self)
        elif server.redirect and self.path != server.redirect:
            self.answer(302, b"", ("Location", server.redirect))
        elif server.cookie and self.headers.get("Cookie") != server.cookie:
            self.answer(302, b"", ("Location", self.path), ("Set-Cookie", server.cookie))
        elif server.login and not server.login(self.headers.get("Authorization", ""), "GET", self.path):
            self.answer(401, b"", *(("WWW-Authenticate", challenge) for challenge in server.challenges))
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
        """Log nothing."""


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


def test_a_camera_is_polled_at_the_capture_rate():
    began_at = time.monotonic()
    with serving() as server, closing(open_camera(CameraConfig(source=address(server), capture_fps=20))) as camera:
        pictures = [next_picture(camera) for _ in range(5)]

    assert time.monotonic() - began_at >= 0.2
    assert all(picture.shape == (48, 64, 3) for picture in pictures)
    assert not np.array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize(
    ("login", "challenges"),
    [
        (basic, [BASIC]),
        (digest, [f'{DIGEST}, qop="auth", algorithm=MD5']),
        (digest, [DIGEST]),
        (digest, [f'{DIGEST}, qop="auth,auth-int", opaque="x"']),
        (partial(digest, algorithm="MD5-sess"), [f'{DIGEST}, qop="auth", algorithm=MD5-sess']),
        (partial(digest, algorithm="SHA-256"), [f'{DIGEST}, qop="auth", algorithm={a}' for a in ("MD5", "SHA-256")]),
        (digest, [f'{DIGEST}, qop="auth", algorithm={a}' for a in ("SHA-512-256", "MD5")]),
        (digest, ["Negotiate", f"{BASIC}, {DIGEST}"]),
    ],
)
def test_every_offered_authentication_scheme_is_answered(login, challenges):
    with serving(login=login, challenges=challenges) as server:
        camera = open_camera(CameraConfig(source=address(server, LOGIN), capture_fps=20))
        assert next_picture(camera).shape == (48, 64, 3)
        assert next_picture(camera).shape == (48, 64, 3)

        with pytest.raises(CameraError, match="user or password") as raised:
            open_camera(CameraConfig(source=address(server, "viewer:wrong@")))
    assert "wrong@" not in str(raised.value)


@pytest.mark.parametrize(
    ("credentials", "challenges", "reason"),
    [
        ("", [BASIC], "asks for user and password"),
        ("", [DIGEST], "asks for user and password"),
        (LOGIN, ['Bearer realm="cam"'], "neither basic nor digest"),
        (LOGIN, [BASIC], "refuses user or password"),
    ],
)
def test_a_failed_login_is_reported_with_its_cause(credentials, challenges, reason):
    refusing = serving(login=lambda *_: False, challenges=challenges)
    with refusing as server, pytest.raises(CameraError, match=reason):
        open_camera(CameraConfig(source=address(server, credentials)))


@pytest.mark.parametrize("place", ["/cgi/{}", "http://localhost:{}/"])
def test_a_redirect_is_followed_with_credentials_only_for_the_same_host(place):
    seen = []

    def login(header, method, path):
        seen.append(header)
        return basic(header, method, path)

    with serving(login=login) as other, serving(login=basic) as server:
        server.redirect = place.format(other.server_port)
        source = address(server, LOGIN)
        if "localhost" in place:
            with pytest.raises(CameraError, match="user or password"):
                open_camera(CameraConfig(source=source))
            assert seen == [""]
        else:
            assert next_picture(open_camera(CameraConfig(source=source))).shape == (48, 64, 3)


def test_a_redirect_to_another_protocol_is_not_followed():
    with socket.create_server(("127.0.0.1", 0)) as elsewhere, serving() as server:
        elsewhere.setblocking(False)
        server.redirect = f"ftp://127.0.0.1:{elsewhere.getsockname()[1]}/door.jpg"

        with pytest.raises(CameraError, match="unknown url type"):
            open_camera(CameraConfig(source=address(server), read_timeout_seconds=1.0))

        with pytest.raises(BlockingIOError):
            elsewhere.accept()


def test_a_session_cookie_is_kept():
    with serving(cookie="sid=1") as server, closing(open_camera(CameraConfig(source=address(server)))) as camera:
        assert next_picture(camera).shape == (48, 64, 3)


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}, {"Transfer-Encoding": "chunked"}])
def test_a_picture_without_a_stated_length_is_read_in_any_encoding(headers):
    def answer(handler):
        content = jpeg(1)
        if "Content-Encoding" in headers:
            content = gzip.compress(content)
        if "Transfer-Encoding" in headers:
            content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
        stated = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        kind = "image/jpeg" if "Content-Encoding" in headers else "application/octet-stream"
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{stated}\r\n".encode() + content)

    with (
        serving(raw=answer) as server,
        closing(open_camera(CameraConfig(source=address(server), capture_fps=20))) as camera,
    ):
        assert [next_picture(camera).shape for _ in range(3)] == [(48, 64, 3)] * 3


def raw_deflate(content):
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush()


@pytest.mark.parametrize("kind", ["image/jpeg", "application/octet-stream"])
@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)],
)
def test_a_compressed_picture_is_read(kind, encoding, compress):
    def answer(handler):
        handler.answer(200, compress(jpeg(1)), ("Content-Encoding", encoding))

    with (
        serving(raw=answer, kind=kind) as server,
        closing(open_camera(CameraConfig(source=address(server), capture_fps=20))) as camera,
    ):
        assert [next_picture(camera).shape for _ in range(2)] == [(48, 64, 3)] * 2


@pytest.mark.parametrize("kind", ["image/jpeg", "application/octet-stream", "multipart/x-mixed-replace"])
@pytest.mark.parametrize("encoding", ["br", "gzip, br"])
def test_an_unknown_content_encoding_is_named(kind, encoding):
    def answer(handler):
        handler.answer(200, b"\x8b\x07\x80" + jpeg(1), ("Content-Encoding", encoding))

    with serving(raw=answer, kind=kind) as server, pytest.raises(CameraError, match=encoding):
        next_picture(open_camera(CameraConfig(source=address(server))))


def test_a_picture_that_is_only_called_compressed_is_read():
    def answer(handler):
        handler.answer(200, jpeg(1), ("Content-Encoding", "gzip"))

    with serving(raw=answer) as server, closing(open_camera(CameraConfig(source=address(server)))) as camera:
        assert next_picture(camera).shape == (48, 64, 3)


def test_a_damaged_compressed_picture_is_no_empty_response():
    def answer(handler):
        handler.answer(200, b"\x1f\x8b\x08" + jpeg(1), ("Content-Encoding", "gzip"))

    with serving(raw=answer) as server, pytest.raises(CameraError) as raised:
        next_picture(open_camera(CameraConfig(source=address(server))))
    assert NOTHING not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "boundary", "header"),
    [
        ("multipart/x-mixed-replace; boundary=frame", b"--frame", b"Content-Type: image/jpg"),
        ("multipart/x-mixed-replace; boundary=frame", b"--frame", b"X-Time: 1"),
        ("multipart/x-mixed-replace; boundary=frame", b"frame", b"Content-Type: image/jpeg"),
        ("multipart/x-mixed-replace; boundary=frame", b"hello\r\n--frame", b"Content-Type: image/jpeg"),
        ("image/jpeg", b"--frame", b"Content-Type: image/jpeg"),
        ("image/jpeg", b"", b""),
    ],
)
def test_mjpeg_plays_with_any_boundaries_or_none(kind, boundary, header):
    def answer(handler):
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode())
        with suppress(OSError):
            for number in range(500):
                before = boundary + b"\r\n" + header + b"\r\n\r\n" if boundary else b""
                handler.wfile.write(before + jpeg(number) + (b"\r\n" if boundary else b""))
                time.sleep(0.02)

    with serving(raw=answer) as server, closing(open_camera(CameraConfig(source=address(server)))) as camera:
        assert [next_picture(camera).shape for _ in range(5)] == [(48, 64, 3)] * 5


@pytest.mark.parametrize(
    "stated",
    [
        lambda size, _number: size - 10,
        lambda size, _number: size + 100,
        lambda _size, _number: 1_000_000_000,
        lambda size, number: size - 100 * (number == 3),
        lambda size, number: size + 100 * (number > 3),
        lambda _size, _number: 0,
        lambda _size, _number: -1,
    ],
    ids=["short", "long", "endless", "short once", "long later", "none", "negative"],
)
@pytest.mark.parametrize(("boundary", "line_end"), [("frame", b"\r\n"), ('"frame"', b"\n"), ("--frame", b"\r\n")])
def test_mjpeg_plays_whatever_length_its_parts_state(stated, boundary, line_end):
    def answer(handler):
        kind = f"multipart/x-mixed-replace; boundary={boundary}"
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode())
        with suppress(OSError):
            for number in range(500):
                content = jpeg(number)
                length = b"Content-Length: %d" % stated(len(content), number)
                lines = [b"--frame", b"Content-Type: image/jpeg", length, b"", content, b""]
                handler.wfile.write(line_end.join(lines))
                time.sleep(0.02)

    with serving(raw=answer) as server, closing(open_camera(CameraConfig(source=address(server)))) as camera:
        assert [next_picture(camera).shape for _ in range(8)] == [(48, 64, 3)] * 8


def test_a_part_that_states_gigabytes_is_not_read_to_its_end():
    sent_bytes = 0

    def answer(handler):
        nonlocal sent_bytes
        part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 9999999999\r\n\r\n"
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n" + part)
        with suppress(OSError):
            while sent_bytes < 2 * MAX_PICTURE_BYTES:
                sent_bytes += handler.wfile.write(bytes(65536))

    with serving(raw=answer) as server:
        assert kind_of_address(CameraConfig(source=address(server))) == "pictures"
    assert sent_bytes < MAX_PICTURE_BYTES


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", "video/x-motion-jpeg", "multipart/x-mixed-replace; boundary=frame"]
)
@pytest.mark.parametrize("boundary", [b"", b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"], ids=["none", "stated"])
def test_a_recording_of_mjpeg_plays_whatever_its_content_type(kind, boundary):
    recording = b"".join(boundary + jpeg(number) + b"\r\n" for number in range(50))
    with (
        serving(content=recording, kind=kind) as server,
        closing(open_camera(CameraConfig(source=f"http://127.0.0.1:{server.server_port}/door.mjpeg"))) as camera,
    ):
        pictures = [next_picture(camera) for _ in range(5)]

    assert [picture.shape for picture in pictures] == [(48, 64, 3)] * 5
    assert not np.array_equal(pictures[0], pictures[4])


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 9999\r\n\r\n", b""])
def test_an_answer_that_trickles_in_is_a_loss_after_the_read_timeout(head):
    def answer(handler):
        handler.wfile.write(head)
        with suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\n" * 100 if not head else jpeg(1):
                handler.wfile.write(bytes([byte]))
                time.sleep(0.1)

    with serving(raw=answer) as server, pytest.raises(CameraError, match="completely within 1 s"):
        next_picture(open_camera(CameraConfig(source=address(server), read_timeout_seconds=1.0)))


def test_occasional_damaged_pictures_are_skipped():
    def answer(handler):
        handler.server.sent += 1
        content = jpeg(handler.server.sent)
        handler.answer(200, content[:600] if handler.server.sent % 3 == 0 else content)

    with (
        serving(raw=answer) as server,
        closing(open_camera(CameraConfig(source=address(server), capture_fps=50))) as camera,
    ):
        for _ in range(6):
            assert next_picture(camera).shape == (48, 64, 3)


def test_a_camera_that_always_answers_not_modified_is_polled_unconditionally():
    def answer(handler):
        handler.server.sent += 1
        unchanged = "If-Modified-Since" in handler.headers
        handler.answer(
            304 if unchanged else 200,
            b"" if unchanged else jpeg(handler.server.sent),
            ("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
        )

    with (
        serving(raw=answer) as server,
        closing(open_camera(CameraConfig(source=address(server), capture_fps=50))) as camera,
    ):
        assert len({next_picture(camera).tobytes() for _ in range(10)}) == 10


def test_a_camera_that_answers_not_modified_before_its_first_picture_is_lost():
    with serving() as server, closing(open_camera(CameraConfig(source=address(server)))) as camera:
        server.raw = lambda handler: handler.answer(304, b"")

        with pytest.raises(CameraError, match="304"):
            next_picture(camera)


def test_a_self_signed_certificate_of_a_camera_is_accepted(tmp_path):
    folder = make_certificates(tmp_path)
    with serving() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        source = address(server).replace("http:", "https:")
        with closing(open_camera(CameraConfig(source=source, capture_fps=20))) as camera:
            assert [next_picture(camera).shape for _ in range(2)] == [(48, 64, 3)] * 2


def test_a_path_with_spaces_is_requested_and_not_repeated_in_errors():
    with serving(status=404) as server, pytest.raises(CameraError, match="no such path") as raised:
        open_camera(CameraConfig(source=f"{address(server)}&password=two words ä"))

    assert "words" not in str(raised.value)


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain", "binary/jpeg", "text/html"])
def test_a_picture_is_recognised_whatever_its_content_type(kind):
    with (
        serving(kind=kind) as server,
        closing(open_camera(CameraConfig(source=address(server), capture_fps=20))) as camera,
    ):
        assert [next_picture(camera).shape for _ in range(3)] == [(48, 64, 3)] * 3


def test_an_unmodified_picture_is_not_sent_again_and_counts_as_frozen():
    with serving(content=jpeg(1)) as server:
        feed = CameraFeed("yard", CameraConfig(source=address(server), capture_fps=20, frozen_seconds=0.5))
        feed.start()
        until = time.monotonic() + 60
        while not feed.state().faults and time.monotonic() < until:
            time.sleep(0.02)
        faults = feed.state().faults
        feed.close()

    assert [fault.code for fault in faults] == ["camera_frozen"]
    # It is sent whenever the camera is opened, and occasionally to check that it is really unmodified.
    assert server.unchanged >= server.sent


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"content": jpeg(1)[:500]}, "damaged"),
        ({"content": b"BM of a kind", "kind": "image/bmp"}, "other than JPEG"),
        ({"content": b"GIF89a", "kind": "image/gif"}, "other than JPEG"),
        ({"content": b"", "raw": lambda handler: handler.answer(200, b"")}, "empty response"),
        ({"raw": lambda handler: handler.wfile.write(b"\0\n\n")}, "not with HTTP"),
        ({"status": 429}, "too often"),
        ({"status": 302}, "redirects"),
        ({"status": 404}, "no such path"),
        ({"status": 503}, "server error"),
        ({"status": 403}, "user or password"),
        ({"content": b"<html>Log in</html>", "kind": "text/html; charset=utf-8"}, "web page"),
        ({"content": b'{"error": 1}', "kind": "application/json"}, "web page"),
        ({"content": b"<html>Log in</html>", "kind": "application/octet-stream"}, "web page"),
    ],
)
def test_each_unusable_answer_has_its_own_message(settings, reason):
    with serving(**settings) as server, pytest.raises(CameraError, match=reason):
        next_picture(open_camera(CameraConfig(source=address(server), capture_fps=20, read_timeout_seconds=4.0)))


def test_a_stop_request_ends_the_wait_between_two_pictures():
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

    # The next picture is due in a quarter of an hour.
    assert time.monotonic() - began_at < 60
