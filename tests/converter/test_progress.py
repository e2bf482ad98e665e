"""Progress is shown without a terminal too: in lines."""

from __future__ import annotations

import subprocess
import sys

from converter import progress


def test_items_are_counted_in_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)

    assert list(progress.with_progress(iter("abc"), total=3, what="reading")) == ["a", "b", "c"]

    assert capsys.readouterr().err.splitlines() == ["reading: 0 of 3", "reading: 1 of 3", "reading: 2 of 3"]


def test_what_is_done_in_a_moment_prints_nothing(capsys):
    list(progress.with_progress(range(5), total=5, what="reading"))
    with progress.working("loading"):
        pass

    assert capsys.readouterr().err == ""


def test_a_step_prints_how_long_it_takes_while_tensorflow_is_silent():
    """In a process of its own, whose stderr is a real file descriptor, which is turned away meanwhile."""
    program = """
import threading
from converter import progress
from converter.silence import quiet_tensorflow

progress.QUIET_SECONDS = 0.01
with progress.working("loading"), quiet_tensorflow():
    threading.Event().wait(0.5)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stderr.startswith("loading ... 0 s\n")
