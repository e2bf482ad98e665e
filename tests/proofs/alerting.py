"""An agent without eyes, to be killed: everything that makes an alert durable and sends it is the real thing.

Started once; for each line `BOOT_ID SECONDS` on stdin it forks an agent that alerts as fast as the disk takes it for so
long, then delivers what waits and ends. The agent's process id goes to stdout, and then a line for each message that
its outbox has acknowledged.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.config import MqttConfig
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.publisher import Publisher, Timing
from edge_agent.delivery.signature import Signature
from edge_agent.evidence.retention import Retention
from tests.test_agent import an_agent
from tests.values import a_face, a_track, an_alert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.agent import Agent
    from edge_agent.delivery.outbox import Kind

IMPATIENT = Timing(first_pause_seconds=0.02, longest_pause_seconds=0.2, steady_seconds=0.0, acknowledge_seconds=3.0)
DRAIN_SECONDS = 60.0
CUTOUT = np.random.default_rng(7).integers(0, 255, (48, 48, 3), np.uint8)
# Bounds far above what a run can leave waiting: nothing is dropped here.
KEEP_ROWS = 1_000_000


class TellingOutbox(Outbox):
    """Writes down what it has acknowledged, at once: a pipe outlives a process that is killed."""

    def put(self, message: Mapping[str, Any], *, kind: Kind = "alert") -> dict[str, Any]:
        put = super().put(message, kind=kind)
        if not self.trouble:
            crop = put["crop"]["sha256"] if put.get("crop") else ""
            tell({"kind": kind, "id": put["id"], "boot_id": put["boot_id"], "sequence": put["sequence"], "crop": crop})
        return put

    def remove(self, *keys: str) -> None:
        tell({"removes": keys})
        super().remove(*keys)


def tell(value: object) -> None:
    """One line that is whole or not there: a pipe takes less than 4096 bytes at once."""
    os.write(1, json.dumps(value).encode() + b"\n")


def open_agent(folder: Path, port: int, boot_id: str) -> Agent:
    """An agent whose pictures, outbox and publisher are real; `alert_for` takes the place of cameras and pipelines."""
    outbox = TellingOutbox(folder / "state" / "outbox.sqlite", boot_id=boot_id, keep_rows=KEEP_ROWS)
    mqtt = MqttConfig(host="127.0.0.1", port=port, messages_per_second=5000)
    publisher = Publisher(outbox, mqtt, "lobby", timing=IMPATIENT)
    publisher.start()
    return an_agent(
        outbox,
        folder / "state",
        [],
        publisher=publisher,
        signature=Signature("lobby", boot_id, "masks", "0" * 64),
        # Crops of delivered alerts stay as well, so that they can be looked at in the end.
        retention=Retention(folder / "state" / "crops", keep_days=30, keep_bytes=10**12),
    )


def alert_for(agent: Agent, seconds: float) -> None:
    """Record alerts, with some ends of alerts and figures between them, as the agent's loop would."""
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        number += 1
        alert = an_alert(track=a_track(number, face=a_face()))
        best = replace(alert.verdict.best, cutout=CUTOUT)
        now = datetime.now(timezone.utc)
        agent._record(replace(alert, verdict=replace(alert.verdict, best=best), when=now), at=time.monotonic())
        if number % 3 == 0:
            common = {"id": f"{os.getpid()}-{time.monotonic_ns()}", "boot_id": agent.signature.boot_id}
            agent._keep(common, kind="ended")
        agent._tell_how_it_goes()


def live(folder: Path, port: int, boot_id: str, seconds: float) -> None:
    """One life of an agent, unless somebody ends it sooner."""
    agent = open_agent(folder, port, boot_id)
    with closing(agent.outbox):
        alert_for(agent, seconds)
        until = time.monotonic() + DRAIN_SECONDS
        while agent.outbox.count() and time.monotonic() < until:
            time.sleep(0.02)
        agent.publisher.close()


def main() -> None:
    """Fork an agent for each line."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    assert threading.active_count() == 1, "only a process of one thread may be forked"
    for line in sys.stdin:
        boot_id, seconds = line.split()
        child = os.fork()
        if child == 0:
            tell({"process": os.getpid()})
            status = 1
            try:
                live(folder, port, boot_id, float(seconds))
                status = 0
            # Whatever it is, it belongs into the log of the proof.
            except Exception:  # noqa: BLE001
                traceback.print_exc()
            finally:
                # Never back into the loop of the process that forks.
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        tell({"ended": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main()
