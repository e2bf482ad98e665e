"""Processes: leftovers of a camera's program are ended, and endless reloads are rate-limited."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from edge_agent.camera.pipe import PipeCamera
from edge_agent.commands.run import RELOAD_SECONDS, _Lifecycle
from edge_agent.config.model import CameraConfig
from tests.journeys.agent import wait_until

ESCAPES = {
    "a session of its own": "setsid sleep 300 & wait",
    "a grandchild whose parent has gone": "setsid sh -c 'setsid sleep 300 &' & sleep 300",
    "one that ignores signals": "setsid sh -c 'trap \"\" TERM HUP INT; sleep 300' & wait",
}


def processes_with(word):
    """Ids of processes whose environment contains a word."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and word.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_child_of_a_pipe_survives_it(tmp_path, escape, monkeypatch):
    word = f"WORD={tmp_path.name}-{os.getpid()}"
    monkeypatch.setenv(*word.split("="))
    script = tmp_path / "camera"
    script.write_text(f"#!/bin/sh\n{ESCAPES[escape]}\n", encoding="utf-8")
    script.chmod(0o755)
    camera = PipeCamera(CameraConfig(source=f"pipe: {script}"), stop=threading.Event())
    wait_until(lambda: len(processes_with(word)) >= 2, "the children")

    camera.close()

    wait_until(lambda: processes_with(word) == [], "the end of all children")


def test_endless_reloads_are_applied_one_after_the_other():
    kept = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)
    }
    lifecycle = _Lifecycle()
    try:
        taken, began_at = 0, time.monotonic()
        while time.monotonic() - began_at < RELOAD_SECONDS + 1.0:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.001)
            taken += lifecycle.wake.is_set() and lifecycle.takes_reload()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in kept.items():
            signal.signal(number, handler)

    # The first reload is applied at once, and all others together as one after the pause.
    assert taken == 2


def test_the_last_of_many_reloads_is_not_forgotten(monkeypatch):
    monkeypatch.setattr("edge_agent.commands.run.RELOAD_SECONDS", 2.0)
    kept = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)
    }
    lifecycle = _Lifecycle()
    try:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            if lifecycle.wake.wait(0.05):
                assert lifecycle.takes_reload()
        assert not lifecycle.wake.is_set()
        assert lifecycle.wake.wait(60.0)
        assert lifecycle.takes_reload()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in kept.items():
            signal.signal(number, handler)
