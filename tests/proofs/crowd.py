"""Load on the console: viewers that show every picture they get, and programs that send requests at a steady rate.

    python -m tests.proofs.crowd URL --viewers 20 --requests-per-second 50

With `--hostile` they send expensive requests: every hostile picture in turn, and JSON that is expensive to parse.

Starts at the line `start` on standard input, stops at `stop` and then prints its results as a line of JSON. It is a
separate process with the lowest priority, because in the field it runs on another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from itertools import cycle
from typing import Any

import cv2
import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.faces import COLLINS, HOPPER, scene
from tests.hostile.bodies import JSON_BOMBS
from tests.hostile.pictures import HOSTILE

LOWEST_PRIORITY = 19
CONNECTIONS = 20
TIMEOUT_SECONDS = 30.0
WIDTH_PX = 640
DETECT, ALERTS = "/api/v1/detect", "/api/v1/alerts"


def normal_requests() -> list[tuple[str, dict[str, Any]]]:
    """Requests of programs, as path and body; no body for requests that only read."""
    picture, _ = scene((COLLINS, True, 0.6, (-20, 40)), (HOPPER, False, 0.3, (300, 180)))
    return [(DETECT, _upload(cv2.imencode(".jpg", picture)[1].tobytes())), (ALERTS, {})]


def hostile_requests() -> list[tuple[str, dict[str, Any]]]:
    """Requests of an attacker who wants to exhaust the console's CPU time or memory."""
    return [
        *((DETECT, _upload(picture())) for picture in HOSTILE.values()),
        *(
            (DETECT, {"content": body(), "headers": {"Content-Type": "application/json"}})
            for body in JSON_BOMBS.values()
        ),
    ]


def _upload(picture: bytes) -> dict[str, Any]:
    return {"files": {"file": ("picture", picture, "application/octet-stream")}}


class Crowd:
    """Running viewers and programs."""

    def __init__(
        self, url: str, *, viewers: int, requests_per_second: float, requests: list[tuple[str, dict[str, Any]]]
    ) -> None:
        self._url, self._viewers, self._pause = url, viewers, 1 / requests_per_second
        self._requests = requests
        self._tasks: list[asyncio.Task[None]] = []
        self._begin()

    def _begin(self) -> None:
        self.got: Counter[str] = Counter()
        self.waited_ms: list[float] = []

    def start(self) -> None:
        """Start all viewers and requests."""
        self._begin()
        self._tasks = [asyncio.ensure_future(self._view()) for _ in range(self._viewers)]
        self._tasks.append(asyncio.ensure_future(self._send_steadily()))

    async def stop(self) -> dict[str, object]:
        """Stop, and return the results."""
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        failures = [repr(end) for end in ends if isinstance(end, Exception)]
        self.waited_ms.sort()
        return {
            "got": dict(self.got),
            "answers_ms": {
                name: round(self.waited_ms[int(share * (len(self.waited_ms) - 1))], 1) if self.waited_ms else None
                for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
            },
            "failures": failures,
        }

    async def _view(self) -> None:
        """View every camera and confirm each picture, as a page does."""
        socket = f"{self._url.replace('http', 'ws')}/live"
        async with connect(socket, origin=self._url, max_size=None) as line:  # type: ignore[arg-type]
            await line.send(json.dumps({"watch": ["door"], "width_px": WIDTH_PX}))
            async for message in line:
                if isinstance(message, bytes):
                    self.got["pictures"] += 1
                    self.got["picture bytes"] += len(message)
                    await line.send(json.dumps({"shown": "door"}))
                elif "alert" in json.loads(message):
                    self.got["alerts shown"] += 1

    async def _send_steadily(self) -> None:
        """Send requests by the clock, even if earlier ones are still unanswered."""
        limits = httpx.Limits(max_connections=CONNECTIONS)
        pending: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_SECONDS, limits=limits) as client:
            due = time.monotonic()
            for path, posted in cycle(self._requests):
                task = asyncio.ensure_future(self._send(client, path, posted))
                pending.add(task)
                task.add_done_callback(pending.discard)
                due += self._pause
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _send(self, client: httpx.AsyncClient, path: str, posted: dict[str, Any]) -> None:
        began = time.monotonic()
        try:
            answer = await client.request("POST" if posted else "GET", path, **posted)
        except httpx.HTTPError as error:
            self.got[f"{path} {type(error).__name__}"] += 1
        else:
            self.got[f"{path} {answer.status_code}"] += 1
            self.waited_ms.append(1000 * (time.monotonic() - began))


async def run_commands(crowd: Crowd) -> None:
    """Execute the commands on standard input, to its end."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() == "start":
            crowd.start()
        else:
            sys.stdout.write(json.dumps(await crowd.stop()) + "\n")
            sys.stdout.flush()


def main() -> None:
    """Read the command line and wait for commands."""
    parser = argparse.ArgumentParser(description="View a console and send it requests at a steady rate.")
    parser.add_argument("url")
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--requests-per-second", type=float, default=50.0)
    parser.add_argument("--hostile", action="store_true")
    options = parser.parse_args()
    os.nice(LOWEST_PRIORITY)
    with suppress(KeyboardInterrupt, WebSocketException):
        crowd = Crowd(
            options.url,
            viewers=options.viewers,
            requests_per_second=options.requests_per_second,
            requests=hostile_requests() if options.hostile else normal_requests(),
        )
        asyncio.run(run_commands(crowd))


if __name__ == "__main__":
    main()
