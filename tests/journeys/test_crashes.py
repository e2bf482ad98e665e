"""The short versions of `make proof-crashes` and `make proof-lost-writes`."""

from __future__ import annotations

import random
import shlex
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import cv2
import pytest

from tests.faces import HOPPER, scene
from tests.journeys.agent import QUICK, AgentProcess, wait_until
from tests.mosquitto import free_port
from tests.proofs import crashes, lost_writes

if TYPE_CHECKING:
    from pathlib import Path

    from examples.people import Portrait

SYNCS_OF_A_START = 12
"""Syncs while folders, files and the store are created."""
MAY_TRACE = (
    shutil.which("strace")
    and not subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode
)


def test_an_agent_that_is_killed_at_random_moments_loses_nothing_while_the_broker_comes_and_goes(tmp_path):
    figures = crashes.prove(tmp_path, kills=8, whole_kills=1, seed=random.SystemRandom().randrange(2**32))

    assert {promise: figures[promise] for promise in crashes.PROMISES} == dict.fromkeys(crashes.PROMISES, 0)
    assert figures["kills"] >= 8
    assert figures["acknowledged"] > 20
    assert figures["people"] > 5


class SimulatedCamera:
    """A camera whose picture the test chooses: people, or an empty background."""

    def __init__(self, folder: Path) -> None:
        self._file, self._next = folder / "shown.jpg", folder / "next.jpg"
        # The loop ends with the agent that reads it, even if that is killed.
        loop = f"while cat {shlex.quote(str(self._file))}; do sleep 0.1; done"
        self.source = f"pipe: sh -c {shlex.quote(loop)}"

    def show(self, *people: tuple[Portrait, bool, float, tuple[float, float]]) -> None:
        picture, _ = scene(*people)
        cv2.imwrite(str(self._next), picture)
        self._next.replace(self._file)


def alerts_in(store: Path) -> int:
    """Number of alerts in the store; none while the agent has not created it."""
    if not store.exists():
        return 0
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        try:
            (alerts,) = database.execute("SELECT count(*) FROM alerts").fetchone()
        except sqlite3.OperationalError:
            return 0
    return int(alerts)


def test_a_person_in_view_at_the_kill_is_counted_at_most_once(tmp_path):
    camera, store = SimulatedCamera(tmp_path), tmp_path / "state" / "alerts.sqlite"
    bare = (HOPPER, False, 0.5, (200.0, 60.0))
    config = {
        **QUICK,
        "rules": {"ignore_static_faces": False},
        "cameras": {"door": {"source": camera.source}},
        "mqtt": {"host": "127.0.0.1", "port": free_port()},
    }

    def is_alerted(times: int) -> None:
        wait_until(lambda: alerts_in(store) == times, f"alert {times}")

    def is_counted(people: int) -> None:
        wait_until(lambda: crashes.people_in(store) == {"door": people}, f"{people} people")

    camera.show(bare)
    with AgentProcess(tmp_path, {"state_dir": str(tmp_path / "state"), **config}) as agent:
        is_alerted(1)
        agent.end(signal.SIGKILL)
        assert crashes.people_in(store) == {}

        # The person is still in view, then leaves.
        agent.start()
        is_alerted(2)
        camera.show()
        is_counted(1)

        # At another place: a person visible in the first picture of an agent is part of its background.
        camera.show((HOPPER, False, 0.5, (20.0, 60.0)))
        is_alerted(3)
        agent.end(signal.SIGKILL)
        camera.show()
        # The person leaves while no agent is running: only the next visit is counted.
        agent.start()
        wait_until(lambda: agent.notifications.count("READY=1") == 3, "the third agent")
        camera.show(bare)
        is_alerted(4)
        camera.show()
        is_counted(2)
        assert agent.end() == 0
    assert crashes.people_in(store) == {"door": 2}


@pytest.mark.skipif(not MAY_TRACE, reason="needs strace, and the right to trace a process")
@pytest.mark.parametrize("with_broker", [False, True])
def test_a_power_loss_that_drops_unsynced_writes_loses_no_acknowledged_alert(tmp_path, with_broker):
    figures = lost_writes.prove(tmp_path / "proof", messages=25, cuts=10, with_broker=with_broker, seed=7)

    assert {promise: figures[promise] for promise in lost_writes.PROMISES} == dict.fromkeys(lost_writes.PROMISES, 0)
    assert figures["messages"] >= 25
    assert figures["cuts"] >= 20
    # An alert needs three syncs: file and folder of its crop, and the transaction. Removal from the outbox needs none.
    assert figures["syncs"] <= 3 * figures["messages"] + SYNCS_OF_A_START
