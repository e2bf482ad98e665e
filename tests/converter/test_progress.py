"""Progress: no command is silent for long, with and without a terminal."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
import threading

import pytest

from converter import progress


class Stderr(io.StringIO):
    """A stderr on which one can wait for what is written."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self.written = threading.Condition()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal

    def write(self, text: str) -> int:
        with self.written:
            self.written.notify_all()
            return super().write(text)

    def waits_for(self, pattern: str) -> bool:
        """Whether something like this is written from now on."""
        with self.written:
            start = self.tell()
            return self.written.wait_for(lambda: bool(re.search(pattern, self.getvalue()[start:])), timeout=60)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.01)


@contextlib.contextmanager
def show_progress(*, on_terminal=False):
    """The progress of a command, whose stderr is given."""
    with contextlib.redirect_stderr(Stderr(is_terminal=on_terminal)) as stderr, progress.show_progress("working"):
        yield stderr


@pytest.mark.usefixtures("impatient")
def test_progress_lines_continue_while_one_item_takes_long():
    with show_progress() as stderr:
        for number, _ in enumerate(progress.with_progress("ab", total=2, what="reading")):
            assert stderr.waits_for(f"reading: {number} of 2\n")
            assert stderr.waits_for(f"reading: {number} of 2\n")


@pytest.mark.usefixtures("impatient")
def test_the_innermost_step_and_other_lines_are_shown():
    with show_progress() as stderr:
        with progress.progress_step("loading"):
            list(progress.with_progress("ab", total=2, what="reading"))
            assert stderr.waits_for(r"loading \.\.\. \d+ s\n")
        assert stderr.waits_for(r"working \.\.\. \d+ s\n")


@pytest.mark.usefixtures("impatient")
def test_a_message_replaces_the_progress_line_of_a_terminal():
    with show_progress(on_terminal=True) as stderr:
        assert stderr.waits_for("\r\033\\[Kworking \\.\\.\\. \\d+ s")
        progress.print_message("done")

    assert "\r\033[Kdone\n" in stderr.getvalue()


def test_a_short_step_prints_nothing(capsys, monkeypatch):
    # A moment of a busy machine may take two seconds.
    monkeypatch.setattr(progress, "QUIET_SECONDS", 60.0)

    with progress.show_progress("working"):
        list(progress.with_progress(range(5), total=5, what="reading"))
        with progress.progress_step("loading"):
            pass

    assert capsys.readouterr().err == ""


def test_a_step_prints_its_duration_while_tensorflow_output_is_suppressed():
    """In a process of its own, whose stderr is a real file descriptor, which is turned away meanwhile."""
    program = """
import threading
from converter import progress
from training.tensorflow_logs import quiet_tensorflow

progress.QUIET_SECONDS = 0.01
with progress.show_progress("working"), progress.progress_step("loading"), quiet_tensorflow():
    threading.Event().wait(2.0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert re.search(r"(loading \.\.\. \d+ s\n){2}", done.stderr)
