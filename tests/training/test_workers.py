"""Workers: batches in order, and the end of the processes, also after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from training.workers import Workers

PATIENCE_SECONDS = 60.0
HELD_UP = """
from tests.training.test_workers import process_of
from training.workers import Workers

if __name__ == "__main__":
    with Workers(process_of, count=2) as workers:
        for process in workers.batches(epoch=0, count=10**6):
            print(process, flush=True)
"""


def process_of(epoch: int, number: int) -> int:
    """A batch that is the id of the process that makes it."""
    return os.getpid()


def numbers(epoch: int, number: int) -> tuple[int, int]:
    return epoch, number


def is_running(process: int) -> bool:
    """Whether there is such a process, other than one that has ended and is not collected yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_batches_come_in_order():
    with Workers(numbers, count=2) as workers:
        assert list(workers.batches(epoch=3, count=20)) == [(3, number) for number in range(20)]


def test_workers_end_with_a_killed_training(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(HELD_UP)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as training:
        assert training.stdout is not None
        made_by = {int(training.stdout.readline()) for _ in range(50)}
        training.kill()

    deadline = time.monotonic() + PATIENCE_SECONDS
    while running := [process for process in made_by if is_running(process)]:
        assert time.monotonic() < deadline, running
        time.sleep(0.05)
