"""The agent without cameras, to be killed: the components that store and send alerts are real.

Started once; for each line `BOOT_ID SECONDS` on stdin it forks an agent that raises alerts for that long, as fast as
the disk accepts them, then delivers pending messages and exits. It prints the agent's process id, and then a line for
each message that its store has acknowledged, and for each person who is counted.
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
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.alerts.crops import Crops
from edge_agent.alerts.recorder import Recorder
from edge_agent.alerts.retention import Retention
from edge_agent.alerts.store import AlertStore
from edge_agent.alerts.timeline import Timeline
from edge_agent.config.model import CropsConfig, MqttConfig
from edge_agent.domain import Person, Resolved
from edge_agent.host.clock import is_clock_synchronised
from edge_agent.messages.alert import Model
from edge_agent.messages.ids import uuid7
from edge_agent.messages.sender import Sender
from edge_agent.mqtt.kept_connection import KeptConnection
from edge_agent.mqtt.publisher import Publisher, Timing
from tests.values import a_face, a_track, an_alert

if TYPE_CHECKING:
    from edge_agent.alerts.database import Change
    from edge_agent.domain import Alert
    from edge_agent.messages.message import QueuedMessage

IMPATIENT = Timing(first_pause_seconds=0.02, max_pause_seconds=0.2, steady_seconds=0.0, acknowledge_seconds=3.0)
DRAIN_SECONDS = 60.0
CUTOUT = np.random.default_rng(7).integers(0, 255, (48, 48, 3), np.uint8)
TIMELINE = Timeline((), 6.8, -2.3, (0, 0, 48, 48))
# Limits far above the possible backlog of a run: nothing is dropped.
MAX_MESSAGES = 1_000_000
FEW_QUEUED = 20


class ReportingStore(AlertStore):
    """Reports acknowledged messages immediately: data in a pipe survives when the process is killed."""

    def put(self, message: QueuedMessage, *history: Change, since: float | None = None) -> None:
        super().put(message, *history, since=since)
        if not self.write_error:
            crop = getattr(message, "crop", None)
            sha256 = crop.sha256 if crop else ""
            named = {"id": message.id, "boot_id": message.boot_id, "sequence": message.sequence}
            report({"kind": message.kind, "crop": sha256, **named})

    def count_person(self, person: Person) -> None:
        super().count_person(person)
        if not self.write_error:
            report({"counted": person.camera})

    def remove(self, *keys: str) -> None:
        report({"removes": keys})
        super().remove(*keys)


def report(value: object) -> None:
    """Write a line atomically: writes of less than 4096 bytes to a pipe are atomic."""
    os.write(1, json.dumps(value).encode() + b"\n")


def a_recorder(store: AlertStore, publisher: Publisher, folder: Path, boot_id: str) -> Recorder:
    """A recorder with real components only."""
    return Recorder(
        store,
        pictures=Crops(folder / "state" / "crops", CropsConfig(keep_free_bytes=0)),
        # Crops of delivered alerts are kept too, so that they can be checked at the end.
        retention=Retention(folder / "state" / "crops", keep_days=30, keep_bytes=10**12),
        snapshots=Retention(folder / "state" / "crops" / "snapshots", keep_days=30, keep_bytes=10**12),
        sender=Sender(
            "lobby",
            boot_id,
            Model(name="masks", sha256="0" * 64),
            next_sequence=store.next_sequence,
            is_clock_synchronised=is_clock_synchronised,
        ),
        keep_days=30.0,
        keep_counts_days=400.0,
        wake=publisher.wake,
        publish=publisher.publish_unstored,
    )


def alert_for(recorder: Recorder, seconds: float) -> None:
    """Record alerts, resolutions of some of them, and people who have left, as the agent does."""
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        if recorder._jobs.qsize() > FEW_QUEUED:
            time.sleep(0.001)
            continue
        number += 1
        alert = an_alert_now(number)
        recorder.record_alert(alert, TIMELINE, scene=None)
        if number % 3 == 0:
            track, when = alert.verdict.track, alert.when
            recorder.record_resolved(Resolved(alert.id, track, "without_mask", "left", when, when, 1.0), ())
            # A separate camera for each person, because the store only keeps sums.
            recorder.record_person(Person(alert.id, "without_mask", False, when))


def an_alert_now(number: int) -> Alert:
    """A new alert."""
    now = datetime.now(timezone.utc)
    alert = an_alert(track=a_track(number, face=a_face()))
    best = replace(alert.verdict.best, cutout=CUTOUT)
    return replace(alert, id=uuid7(now), verdict=replace(alert.verdict, best=best), when=now)


def live(folder: Path, port: int, boot_id: str, seconds: float) -> None:
    """One life of an agent, unless it is killed earlier."""
    mqtt = MqttConfig(host="127.0.0.1", port=port, messages_per_second=5000, publish_crop_paths=True)
    file = folder / "state" / "alerts.sqlite"
    with closing(ReportingStore(file, boot_id=boot_id, max_messages=MAX_MESSAGES)) as store, KeptConnection() as kept:
        publisher = Publisher(store, mqtt, "lobby", kept=kept, timing=IMPATIENT)
        publisher.start()
        recorder = a_recorder(store, publisher, folder, boot_id)
        recorder.start()
        alert_for(recorder, seconds)
        recorder.close(timeout_seconds=DRAIN_SECONDS)
        until = time.monotonic() + DRAIN_SECONDS
        while store.count() and time.monotonic() < until:
            time.sleep(0.02)
        publisher.close()


def main() -> None:
    """Fork an agent for each line."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    assert threading.active_count() == 1, "only a process of one thread may be forked"
    for line in sys.stdin:
        boot_id, seconds = line.split()
        child = os.fork()
        if child == 0:
            report({"process": os.getpid()})
            status = 1
            try:
                live(folder, port, boot_id, float(seconds))
                status = 0
            # Any exception belongs in the log of the proof.
            except Exception:  # noqa: BLE001
                traceback.print_exc()
            finally:
                # Never return into the loop of the forking process.
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        report({"ended": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main()
