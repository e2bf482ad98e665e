"""Does the agent raise one alert for every event with every kind of network camera, and how soon?

    python -m tests.proofs.rtsp_kinds --folder FOLDER [--only h265]

A real RTSP server sends the example recording, in ten formats of cameras, to a real agent with a real broker. An event
begins with the first frame in which a replay of the recording detects the face; its delay ends when a subscriber has
the alert. Prints a line of JSON for each format, and one for all; exits with 1 if an event is missed or raises two
alerts, or if the median delay is above 1.1 s.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import statistics
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.journeys.agent import EXAMPLE, AgentProcess, run_command
from tests.journeys.subscriber import Subscriber
from tests.mosquitto import Mosquitto, free_port
from tests.recordings import ffmpeg
from tests.rtsp_server import RtspServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST_MEDIAN_SECONDS = 1.1
STILL_SECONDS = 8.0
"""Still frames before the recording, while the agent connects and learns the background."""
EXAMPLE_SECONDS = 9.2
AFTER_SECONDS = 2.0
"""Longest delay of an alert after the last frame."""
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
NO_B_FRAMES = (*X264, "-bf", "0", "-g", "25")
H264 = "h264parse ! rtph264pay name=pay0 pt=96 config-interval=1"
# RFC 2326, section 10.12: `$`, a channel and a length before each packet; then the header of RFC 3550, section 5.1.
INTERLEAVED, LENGTH, HEADER_BYTES = 0x24, slice(2, 4), 4
TIME_STAMP = slice(HEADER_BYTES + 4, HEADER_BYTES + 8)


@dataclass(frozen=True, slots=True)
class Kind:
    """A format of cameras: ffmpeg's encoding of the recording, the packets, and their timestamps."""

    coding: tuple[str, ...]
    packets: str = H264
    filters: tuple[str, ...] = ()
    has_sound: bool = False
    stamp: Callable[[int], int] | None = None


def wrong(stamp: int) -> int:
    """A clock of 90 kHz that runs seven times too fast and is sometimes an hour ahead."""
    ahead = random.Random(stamp).random() < 0.2  # noqa: S311  (repeatable)
    return (stamp * 7 + ahead * 90_000 * 3600) % 2**32


KINDS = {
    "h264-with-sound": Kind((*NO_B_FRAMES, "-c:a", "aac"), has_sound=True),
    "b-frames": Kind((*X264, "-bf", "3", "-g", "50")),
    "long-gop": Kind((*X264, "-bf", "0", "-g", "1000", "-sc_threshold", "0")),
    "h265": Kind(
        ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-x265-params", "log-level=error:bframes=0"),
        packets="h265parse ! rtph265pay name=pay0 pt=96 config-interval=1",
    ),
    "mjpeg": Kind(
        ("-c:v", "mjpeg", "-q:v", "4", "-huffman", "default", "-pix_fmt", "yuvj420p"),
        packets="jpegparse ! rtpjpegpay name=pay0",
    ),
    # Two of five frames are left out at random.
    "variable-rate": Kind((*NO_B_FRAMES, "-fps_mode", "vfr"), filters=(r"select=gt(random(3)\,0.4)",)),
    "wrong-time-stamps": Kind(NO_B_FRAMES, stamp=wrong),
    "zero-time-stamps": Kind(NO_B_FRAMES, stamp=lambda _: 0),
    "interlaced": Kind(
        (*NO_B_FRAMES, "-flags", "+ilme+ildct", "-x264opts", "tff=1"), filters=("fps=50", "tinterlace=interleave_top")
    ),
    "anamorphic": Kind(NO_B_FRAMES, filters=("scale=320:360", "setsar=2")),
}


def made(kind: Kind, file: Path) -> Path:
    """Write the recording in this format, with a still beginning."""
    file.parent.mkdir(parents=True, exist_ok=True)
    filters = ("fps=25", f"tpad=start_mode=clone:start_duration={STILL_SECONDS}", *kind.filters)
    sound = ("-f", "lavfi", "-t", STILL_SECONDS + EXAMPLE_SECONDS, "-i", "sine") if kind.has_sound else ()
    ffmpeg("-i", EXAMPLE, *sound, "-vf", ",".join(filters), *kind.coding, file)
    return file


def launch_of(kind: Kind, file: Path) -> str:
    """The server's pipeline, in the syntax of gst-launch."""
    sound = "d. ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97" if kind.has_sound else ""
    return f"( filesrc location={file} ! matroskademux name=d d. ! queue ! {kind.packets} {sound} )"


def events() -> list[float]:
    """When each event of the recording begins, in seconds."""
    done = run_command("replay", EXAMPLE, "--json")
    alerts = [alert for line in done.stdout.splitlines() if "id" in (alert := json.loads(line))]
    return [alert["at_seconds"] - (_when(alert["when"]) - _when(alert["first_seen"])) for alert in alerts]


def _when(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@contextmanager
def restamped(port: int, stamp: Callable[[int], int]) -> Iterator[int]:
    """Forward a server's stream on another port, with changed timestamps in its video packets."""
    listening = socket.create_server(("127.0.0.1", free_port()))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(("127.0.0.1", port))
                threading.Thread(target=_pass_on, args=(client, server), daemon=True).start()
                threading.Thread(target=_pass_on, args=(server, client, stamp), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with listening:
        yield listening.getsockname()[1]


def _pass_on(source: socket.socket, sink: socket.socket, stamp: Callable[[int], int] | None = None) -> None:
    waiting = bytearray()
    with suppress(OSError):
        while received := source.recv(65_536):
            waiting += received
            sink.sendall(_taken_from(waiting, stamp) if stamp else waiting)
            if not stamp:
                waiting.clear()
    for end in (source, sink):
        end.close()


def _taken_from(waiting: bytearray, stamp: Callable[[int], int]) -> bytes:
    """Take complete packets; sender reports, on odd channels, are left out."""
    taken = b""
    while waiting:
        if waiting[0] != INTERLEAVED:
            # A text response, up to the next packet.
            end = waiting.find(INTERLEAVED)
            size = len(waiting) if end < 0 else end
            taken += waiting[:size]
        else:
            size = HEADER_BYTES + int.from_bytes(waiting[LENGTH], "big")
            if len(waiting) < max(size, HEADER_BYTES):
                break
            packet = waiting[:size]
            packet[TIME_STAMP] = stamp(int.from_bytes(packet[TIME_STAMP], "big")).to_bytes(4, "big")
            taken += packet if packet[1] % 2 == 0 else b""
        del waiting[:size]
    return taken


def watched(kind: Kind, folder: Path, begins: list[float]) -> dict[str, Any]:
    """Let an agent analyse one playback, and return the delay of each event's alert."""
    with ExitStack() as stack:
        server = stack.enter_context(RtspServer(launch=launch_of(kind, made(kind, folder / "recording.mkv"))))
        port = stack.enter_context(restamped(server.port, kind.stamp)) if kind.stamp else server.port
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        subscriber = stack.enter_context(Subscriber(broker))
        config = {
            "device": {"id": "door"},
            "cameras": {"door": {"source": f"rtsp://127.0.0.1:{port}/live"}},
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
        }
        agent = stack.enter_context(AgentProcess(folder / "agent", config))
        played_at = server.played_at() + STILL_SECONDS
        arrived: list[float] = []
        while (now := time.monotonic()) < played_at + EXAMPLE_SECONDS + AFTER_SECONDS:
            arrived += [now] * (len(subscriber.alerts) - len(arrived))
            assert agent.notifications is not None
            time.sleep(0.005)
        delays = [round(at - played_at - begin, 2) for at, begin in zip(arrived, begins, strict=False)]
        return {"events": len(begins), "alerts": len(arrived), "delays_seconds": delays}


def main() -> int:
    """Run all formats and judge the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--only", choices=KINDS)
    options = parser.parse_args()
    begins, delays, holds = events(), [], True
    for name in [options.only] if options.only else KINDS:
        found = watched(KINDS[name], options.folder / name, begins)
        sys.stdout.write(json.dumps({"kind": name, **found}) + "\n")
        sys.stdout.flush()
        delays += found["delays_seconds"]
        holds &= found["alerts"] == found["events"]
    median = statistics.median(delays) if delays else float("inf")
    holds &= median <= LONGEST_MEDIAN_SECONDS
    sys.stdout.write(json.dumps({"median_delay_seconds": round(median, 2), "holds": holds}) + "\n")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
