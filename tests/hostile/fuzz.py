"""Fuzzing: mutate valid pictures, recordings, models, messages and a broker's packets, and check that nothing crashes.

    python -m tests.hostile.fuzz --pictures 100000 --recordings 500 --models 1000 --messages 10000 --packets 10000

Each case depends only on its kind and number, so that a failure can be reproduced: --only models:317. Each kind runs in
a separate process; if it crashes or hangs, the case is reported and the process continues after it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.camera import open_camera
from edge_agent.config.model import CameraConfig, MqttConfig, shipped
from edge_agent.errors import AgentError
from edge_agent.messages.command import REQUESTS, read_command, request_id
from edge_agent.mqtt.client import Message, open_connection
from edge_agent.mqtt.subscriber import _parsed
from edge_agent.vision.classifier import open_classifier
from edge_agent.vision.images import decode_picture
from tests.hostile.pictures import (
    animated_webp,
    apng,
    black_png,
    black_webp,
    bmp,
    encoded,
    grey_tiff,
    jpeg,
    many_pages,
    progressive_jpeg,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_SECONDS = 3.0
"""CPU time of a case; on a busy machine it takes longer."""
HANGING_SECONDS = 60.0
MAX_MEGABYTES = 400
MAX_PIXELS = 1_000_000
MAX_FRAMES = 200
NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
ALERT = (
    b'{"schema": "maskwatch.alert/1", "id": "01950000-0000-7000-8000-000000000001", "device": "lobby", "box": [1, 2]}'
)


def picture_seeds() -> list[bytes]:
    return [
        jpeg(),
        jpeg(progressive=True),
        progressive_jpeg(64, 48, scans=3),
        black_png(40, 30),
        black_png(40, 30, bits=16),
        apng(16, 16, frames=3),
        black_webp(32, 32),
        animated_webp(16, 16, frames=3),
        bmp(16, 16, data=bytes(768)),
        bmp(16, 16, compression=1, bits=8, data=b"\x04\x05" * 60),
        grey_tiff(16, 16, data=bytes(256)),
        many_pages(3),
        encoded("TIFF", [_noise()], compression="tiff_lzw"),
        encoded("JPEG", [_noise()], exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
    ]


def _noise() -> Any:
    from PIL import Image

    return Image.frombytes("RGB", (24, 24), random.Random(1).randbytes(24 * 24 * 3))  # noqa: S311  (repeatable)


def mutated(content: bytes, chance: random.Random, *, others: list[bytes]) -> bytes:
    """Change some bytes, cut, repeat or move a piece, or insert a piece of another input."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if changed:
            _mutate(changed, chance, others=others)
    return bytes(changed)


def _mutate(changed: bytearray, chance: random.Random, *, others: list[bytes]) -> None:
    at, size = chance.randrange(len(changed)), chance.choice((1, 2, 4, 16, 256))
    match chance.randrange(7):
        case 0:
            changed[at] = chance.randrange(256)
        case 1:
            changed[at : at + size] = chance.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * size
        case 2:
            del changed[at : at + size]
        case 3:
            changed[at:at] = changed[at : at + size] * chance.choice((1, 2, 50))
        case 4:
            other = chance.choice(others)
            begin = chance.randrange(len(other))
            changed[at : at + size] = other[begin : begin + size]
        case 5:
            del changed[at:]
        case _:
            changed[at] ^= 1 << chance.randrange(8)


def pictures(folder: Path) -> Callable[[random.Random], None]:
    seeds = picture_seeds()

    def case(chance: random.Random) -> None:
        decode_picture(mutated(chance.choice(seeds), chance, others=seeds), max_pixels=MAX_PIXELS)

    return case


def recordings(folder: Path) -> Callable[[random.Random], None]:
    seed = (shipped("examples") / "street_door.mp4").read_bytes()
    file = folder / "recording.mp4"

    def case(chance: random.Random) -> None:
        file.write_bytes(mutated(seed, chance, others=[seed]))
        with closing(open_camera(CameraConfig(source=str(file)))) as camera:
            for _ in range(MAX_FRAMES):
                if not camera.grab():
                    break
            else:
                camera.retrieve()

    return case


def models(folder: Path) -> Callable[[random.Random], None]:
    model, card = (shipped("models") / name for name in ("masks.tflite", "masks.json"))
    tflite, text = model.read_bytes(), card.read_bytes()
    for name in (model, card):
        shutil.copy(name, folder)

    def case(chance: random.Random) -> None:
        is_card = chance.random() < 0.5
        (folder / model.name).write_bytes(tflite if is_card else mutated(tflite, chance, others=[tflite]))
        (folder / card.name).write_bytes(mutated(text, chance, others=[text]) if is_card else text)
        open_classifier(folder / model.name)

    return case


def messages(folder: Path) -> Callable[[random.Random], None]:
    seeds = [b"", b'{"id": "1", "seconds": 600, "camera": "door", "on": false}', b'{"a": [1, {"b": null}]}', ALERT]

    def case(chance: random.Random) -> None:
        payload = mutated(chance.choice(seeds) or b"{}", chance, others=[*seeds[1:], b"[" * 600, b"\xed\xa0\x80\0"])
        name = chance.choice([*REQUESTS, mutated(b"pause", chance, others=[ALERT]).decode("utf-8", "surrogateescape")])
        request_id(payload)
        with suppress(ValueError):
            _parsed(Message(f"maskwatch/{name}/alerts", payload))
        read_command(name, payload, retained=chance.random() < 0.1)

    return case


# A broker's packets by protocol level (4 is 3.1.1), as type and body; the length goes between them. The first
# subscription has packet identifier 1.
BROKER_PACKETS = {
    5: [
        (0x20, b"\0\0\x12\x21\0\x0a\x27\0\x01\0\0\x25\1\x24\1\x22\0\x05\x13\0\x1e"),
        (0x90, b"\0\1\0\1"),
        (0x32, b"\0\1a\0\7\x0f\x01\1\2\0\0\0\x3c\x08\0\1r\x09\0\1c{}"),
        (0x30, b"\0\1a\x0a\x26\0\1k\0\1v\x23\0\1{}"),
        (0x34, b"\0\1a\0\x09\0payload"),
        (0x62, b"\0\x09\0\0"),
        (0x40, b"\0\2\x10\7\x1f\0\4text"),
        (0xD0, b""),
        (0xE0, b"\x8e\7\x1f\0\4text"),
    ],
    4: [
        (0x20, b"\0\0"),
        (0x90, b"\0\1\1"),
        (0x32, b"\0\1a\0\7{}"),
        (0x34, b"\0\1a\0\x09payload"),
        (0x62, b"\0\x09"),
        (0x40, b"\0\2"),
        (0xD0, b""),
    ],
}


def packet(head: int, body: bytes) -> bytes:
    """Prefix a body with its length, seven bits per byte."""
    length, left = bytearray(), len(body)
    while True:
        left, digit = divmod(left, 128)
        length.append(digit | (128 if left else 0))
        if not left:
            return bytes([head, *length]) + body


def broker_packets(folder: Path) -> Callable[[random.Random], None]:
    said: dict[int, bytes] = {}
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            connected, _ = server.accept()
            with connected, suppress(OSError):
                # The protocol level follows the protocol name.
                connected.sendall(said[connected.recv(4096).partition(b"MQTT")[2][0]])
                connected.shutdown(socket.SHUT_WR)
                while connected.recv(65_536):
                    pass

    broker = threading.Thread(target=serve, daemon=True)
    broker.start()
    mqtt = MqttConfig(host="127.0.0.1", port=server.getsockname()[1])

    def case(chance: random.Random) -> None:
        for level, packets in BROKER_PACKETS.items():
            bodies = [body for _, body in packets if body]
            if chance.random() < 0.5:
                which = chance.randrange(len(packets))
                sent = [
                    packet(head, mutated(body, chance, others=bodies) if number == which else body)
                    for number, (head, body) in enumerate(packets)
                ]
            else:
                whole = b"".join(packet(*one) for one in packets)
                sent = [mutated(whole, chance, others=[whole])]
            said[level] = b"".join(sent)
        assert broker.is_alive()
        with open_connection(mqtt, client_id="fuzzed", device="lobby") as connection:
            connection.subscribe("a")
            while True:
                # The broker closes the connection after its last packet.
                connection.turn(MAX_SECONDS)

    return case


KINDS: dict[str, Callable[[Path], Callable[[random.Random], None]]] = {
    "pictures": pictures,
    "recordings": recordings,
    "models": models,
    "messages": messages,
    "packets": broker_packets,
}


def work(kind: str, first: int, last: int) -> None:
    """Run cases in this process, printing the number before each."""
    # The messages of thousands of refused inputs are not printed.
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        case = KINDS[kind](Path(folder))
        # Start the decoder process before measuring time.
        decode_picture(jpeg())
        for number in range(first, last):
            print(number, flush=True)
            began_at = time.process_time()
            with suppress(AgentError):
                case(random.Random(f"{kind}:{number}"))  # noqa: S311  (repeatable)
            # Every frame of a recording is read; the time limit applies to a single frame.
            assert time.process_time() - began_at < MAX_SECONDS * (10 if kind == "recordings" else 1)
        # Of this process only: the peak of getrusage starts with the memory of its parent.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        print("peak", next(int(line.split()[1]) // 1024 for line in status.splitlines() if "VmHWM" in line), flush=True)


def lines_of(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """The output of a process until it ends; it is killed if it prints nothing for too long."""
    assert process.stdout is not None
    said = b""
    while True:
        if not select.select([process.stdout], [], [], HANGING_SECONDS)[0]:
            process.kill()
            yield "hangs"
            return
        part = os.read(process.stdout.fileno(), 65_536)
        if not part:
            return
        *whole, said = (said + part).split(b"\n")
        yield from (line.decode() for line in whole)


def run(kind: str, count: int) -> dict[str, Any]:
    """Run this many cases of a kind and return their results."""
    failures, first, peak, began_at = [], 0, 0, time.monotonic()
    while first < count:
        command = [sys.executable, "-m", "tests.hostile.fuzz", "--work", kind, str(first), str(count)]
        number, is_whole = first, False
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            hangs = False
            for line in lines_of(process):
                if line.startswith("peak"):
                    peak, is_whole = max(peak, int(line.split()[1])), True
                elif line == "hangs":
                    hangs = True
                else:
                    number = int(line)
            assert process.stderr is not None
            said = process.stderr.read()[-300:].decode(errors="replace")
        if is_whole:
            break
        failures.append({"case": f"{kind}:{number}", "how": "hangs" if hangs else f"{process.returncode}: {said}"})
        first = number + 1
    return {
        "kind": kind,
        "cases": count,
        "seconds": round(time.monotonic() - began_at),
        "peak_mb": peak,
        "failures": failures,
    }


def main() -> int:
    """Fuzz every requested kind; returns 1 if any case failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, default=0)
    parser.add_argument("--only", metavar="KIND:NUMBER", help="one case, in this process")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        kind, first, last = options.work
        work(kind, int(first), int(last))
        return 0
    if options.only:
        kind, number = options.only.split(":")
        work(kind, int(number), int(number) + 1)
        return 0
    has_failed = False
    for kind in KINDS:
        if count := getattr(options, kind):
            found = run(kind, count)
            has_failed |= bool(found["failures"]) or found["peak_mb"] > MAX_MEGABYTES
            print(json.dumps(found), flush=True)
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
