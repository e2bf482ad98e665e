"""Uploads: bounded cost, one clear error per invalid picture, and the next one is analysed."""

from __future__ import annotations

import base64
import json
import socket
import tempfile
from contextlib import suppress

import httpx
import numpy as np
import pytest

from tests.console.served import TIMEOUT_SECONDS, jpeg, served
from tests.hostile.pictures import GREY, black_png


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """One console for all tests, so that each upload follows those before."""
    with served(tmp_path_factory.mktemp("uploads")) as opened:
        yield opened


def send(client, content):
    return client.post("/api/v1/detect", files={"file": content})


def test_a_picture_of_a_hundred_megapixels_is_refused_by_its_header(console, client):
    bomb = black_png(10_000, 10_000, colour=GREY)
    assert len(bomb) < 200_000

    answer = send(client, bomb)

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"the picture: 10000x10000 pixels in {len(bomb)} bytes are too large; ")
    assert send(client, jpeg()).status_code == 200


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"not a picture", 415, "not a JPEG, PNG, WebP or BMP picture"),
        (b"", 422, "the picture is empty"),
        (b"\xff\xd8\xff", 422, "not a JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(3), 422, "not a JPEG"),
        (b"<svg onload='alert(1)'/>", 415, "not a JPEG"),
        (b"GIF89a" + bytes(100), 415, "not a JPEG"),
        (b"II*\0" + bytes(100), 415, "not a JPEG"),
    ],
)
def test_an_upload_that_is_not_a_picture_is_rejected(client, content, status, reason):
    for answer in (
        send(client, content),
        client.post("/api/v1/detect", json={"image": base64.b64encode(content).decode()}),
    ):
        assert answer.status_code == status
        assert reason in answer.json()["detail"]


def test_a_truncated_picture_is_rejected(client):
    whole = jpeg()
    statuses = {send(client, whole[:length]).status_code for length in (20, 300, len(whole) // 2, len(whole) - 2)}

    assert statuses <= {200, 422}
    assert send(client, black_png(64, 64)[:60]).status_code == 422


def test_random_bytes_after_a_valid_header_are_rejected(client):
    random = np.random.default_rng(1)
    for start in (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF\x10\x00\x00\x00WEBPVP8 "):
        for _ in range(5):
            assert send(client, start + random.bytes(500)).status_code in (200, 422)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"[" * 10_000, "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}, 400),
        ({"json": {}}, 422),
        ({"json": []}, 422),
        ({"json": {"image": 5}}, 422),
        ({"json": {"image": "not base64!"}}, 422),
        ({"json": {"image": "é"}}, 422),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; charset=latin-1; boundary="}}, 400),
        ({"files": {"picture": b"x"}}, 422),
        ({"data": {"file": "x"}, "files": {"other": b"x"}}, 422),
        ({"files": [("file", b"x"), ("file", b"y")]}, 400),
        ({"data": {str(number): "x" for number in range(200)}, "files": {"file": b"x"}}, 400),
        ({"content": jpeg(), "headers": {"Content-Type": "image/jpeg"}}, 415),
        ({"content": b""}, 415),
    ],
)
def test_an_invalid_body_is_rejected(client, options, status):
    answer = client.post("/api/v1/detect", **options)

    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


def test_too_many_bytes_are_refused_before_they_are_sent(tmp_path):
    with served(tmp_path, largest_upload_bytes=100_000) as console, console.client() as client:
        with socket.create_connection(("127.0.0.1", console.config.console.port), timeout=TIMEOUT_SECONDS) as line:
            head = "POST /api/v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            line.sendall(f"{head}Content-Length: 999999999999\r\n\r\n".encode())
            answer = line.recv(65536)
        stated = send(client, bytes(200_000))
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert stated.status_code == 413
        assert "console.largest_upload_bytes" in stated.json()["detail"]


def test_excess_bytes_are_rejected_on_arrival_without_a_content_length(tmp_path):
    sent = 0

    def endless():
        nonlocal sent
        while True:
            sent += 65_536
            yield bytes(65_536)

    with served(tmp_path, largest_upload_bytes=100_000) as console, console.client() as client:
        # The server may close the connection while the client is still writing.
        with suppress(httpx.WriteError, httpx.ReadError):
            answer = client.post("/api/v1/detect", content=endless(), headers={"Content-Type": "application/json"})
            assert answer.status_code == 413
        assert sent < 20_000_000
        assert send(client, jpeg()[:90_000]).status_code in (200, 422)


def test_an_upload_that_ends_in_the_middle_leaves_nothing_behind(console, client):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", console.config.console.port)) as line:
            head = (
                "POST /api/v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            )
            line.sendall(f"{head}Content-Length: 10000000\r\n\r\n--x\r\n".encode() + bytes(100_000))

    assert send(client, jpeg()).status_code == 200


def test_no_upload_is_written_to_the_disk(console, client, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    folder.chmod(0o500)
    large = jpeg() + bytes(5_000_000)

    assert send(client, large).status_code == 200
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("escaped", ["/", "+"])
def test_escapes_that_programs_write_in_base64_are_accepted(client, escaped):
    """Such as .NET: + as \\u002B."""
    encoded = base64.b64encode(jpeg()).decode()
    assert escaped in encoded
    body = json.dumps({"image": encoded}).replace(escaped, f"\\u{ord(escaped):04X}")

    answer = client.post("/api/v1/detect", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 200, answer.text


def test_base64_of_the_largest_size_is_accepted(console, client):
    image = base64.b64encode(jpeg() + bytes(14_000_000)).decode()

    assert (
        client.post(
            "/api/v1/detect", content=json.dumps({"image": image}), headers={"Content-Type": "application/json"}
        ).status_code
        == 200
    )
