"""Pipe: reads pictures from the standard output of a program."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from edge_agent.camera import EagerCamera
from edge_agent.camera.byte_stream import JpegStream, RawStream
from edge_agent.camera.presets import PACKAGES, command_of
from edge_agent.config.redaction import secrets_in, shown_source
from edge_agent.errors import CameraError
from edge_agent.foreign_text import mask

if TYPE_CHECKING:
    import threading

    from edge_agent.config.model import CameraConfig

# Programs take up to this long to their first picture, to find the sensor or connect to a camera.
START_SECONDS = 10.0
# Interval at which a stop is noticed while nothing arrives.
STOP_CHECK_SECONDS = 0.1
# Time between SIGTERM and SIGKILL, for the program to shut down its camera.
END_SECONDS = 0.5
END_CHECK_SECONDS = 0.01
# Maximum for unprivileged users (fs.pipe-max-size), so that the program is not blocked while a picture is decoded.
PIPE_BYTES = 1024 * 1024
# From linux/fcntl.h; Python 3.10 has it, but not all type stubs do.
F_SETPIPE_SZ = 1031
# Chunks read in a row: a program that writes faster than this reads must not delay the pictures.
MAX_CHUNKS = 16
# Enough of the end of stderr to explain a failure.
KEPT_MESSAGE_BYTES = 4096
SHOWN_LINES = 3
# FFmpeg's "[rtsp @ 0x55d0c0ffee40]" differs between runs, so the same reason would look like a new one.
ADDRESS_IN_MEMORY = re.compile(r" @ 0x[0-9a-f]+")
SHOWN_CHARACTERS = 300
MARK = "MASKWATCH_PIPE"
# Attempts to kill all child processes of a program that keeps starting new ones.
MAX_SCANS, ENOUGH_SCANS, SCAN_SECONDS = 8, 2, 0.03


class PipeCamera(EagerCamera):
    """A program in its own process group, without a shell. Owned by one thread."""

    def __init__(self, config: CameraConfig, *, stop: threading.Event) -> None:
        """Start the command of a source `pipe`, `rpicam`, `jetson-csi` or `ffmpeg`.

        A grab ends soon after `stop` is set.

        Raises:
            CameraError: the program does not exist or cannot be started.
        """
        self._command, self._shown, self._stop = command_of(config), shown_source(config.source), stop
        self._stream: JpegStream | RawStream = JpegStream()
        if config.pixel_format != "mjpeg" and config.frame_size is not None:
            width_px, height_px = config.frame_size
            self._stream = RawStream(config.pixel_format, width_px=width_px, height_px=height_px)
        self._silence_seconds = config.read_timeout_seconds
        self._timeout_seconds = max(self._silence_seconds, START_SECONDS)
        self._stderr = b""
        self._has_written = False
        self._mark = secrets.token_hex(16)
        try:
            self._process = subprocess.Popen(  # noqa: S603  (the command stands in the configuration for this)
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                # Inherited by all child processes, also in another session, so that all are found at the end.
                env={**os.environ, MARK: self._mark},
            )
        except (OSError, ValueError) as error:
            raise CameraError(f"{self._shown}: {_why_not_started(self._command[0], error)}") from error
        self._pictures, self._messages = _open_end(self._process.stdout), _open_end(self._process.stderr)
        self._waiting = select.poll()
        for end in (self._pictures, self._messages):
            self._waiting.register(end, select.POLLIN)

    def grab(self) -> bool:
        """Wait for the next picture, as `Camera`, and take the newest if there are several."""
        until = time.monotonic() + self._timeout_seconds
        while time.monotonic() < until:
            if self._stop.is_set():
                raise CameraError(f"{self._shown}: asked to stop")
            goes_on = self._read_output()
            picture = self._stream.newest()
            if picture is not None:
                self.grabbed = picture
                self._timeout_seconds = self._silence_seconds
                return True
            if not goes_on:
                raise CameraError(f"{self._shown}: {self._why_ended()}")
        raise CameraError(f"{self._shown}: {self._why_silent()}")

    def close(self) -> None:
        """Terminate the program and all its child processes."""
        self._signal(signal.SIGTERM)
        self._has_ended_within(END_SECONDS)
        # Also if the program has ended: its children may be alive. The id of the group cannot have been reused, because
        # the program was not waited for yet.
        self._signal(signal.SIGKILL)
        scans_without_any = 0
        for _ in range(MAX_SCANS):
            scans_without_any = 0 if _kill_marked(self._mark) else scans_without_any + 1
            # One is not enough: while a process starts another program, its environment cannot be read.
            if scans_without_any == ENOUGH_SCANS:
                break
            time.sleep(SCAN_SECONDS)
        # A process in uninterruptible sleep, as in a hanging driver, is abandoned.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        for end in (self._process.stdout, self._process.stderr):
            if end is not None:
                end.close()

    def _read_output(self) -> bool:
        """Wait briefly for output of the program; False once it has closed its stdout."""
        ready = {end for end, _ in self._waiting.poll(STOP_CHECK_SECONDS * 1000)}
        if self._messages in ready:
            self._read_stderr()
        if self._pictures not in ready:
            return True
        for _ in range(MAX_CHUNKS):
            try:
                chunk = os.read(self._pictures, PIPE_BYTES)
            except BlockingIOError:
                break
            if not chunk:
                return False
            self._has_written = True
            self._stream.add(chunk)
        return True

    def _read_stderr(self) -> None:
        """Keep the end of the program's stderr."""
        try:
            message = os.read(self._messages, PIPE_BYTES)
        except BlockingIOError:
            return
        if not message:
            # Otherwise it stays readable forever. It may already be unregistered when the program ends.
            with suppress(KeyError):
                self._waiting.unregister(self._messages)
        self._stderr = (self._stderr + message)[-KEPT_MESSAGE_BYTES:]

    def _why_ended(self) -> str:
        ended = self._has_ended_within(END_SECONDS)
        self._read_stderr()
        if ended is None:
            return f"the program has closed its output{self._stderr_end()}"
        how = "has ended with exit status" if ended.si_code == os.CLD_EXITED else "was ended by signal"
        return f"the program {how} {ended.si_status}{self._stderr_end()}"

    def _why_silent(self) -> str:
        seconds = f"{self._timeout_seconds:.0f} s"
        if self._has_written:
            return f"no picture for {seconds}; check its power and cable, and that pixel_format is its output format"
        return f"has written nothing for {seconds}{self._stderr_end()}"

    def _stderr_end(self) -> str:
        text = ADDRESS_IN_MEMORY.sub("", self._stderr.decode(errors="replace"))
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        shown = mask("; ".join(lines[-SHOWN_LINES:]), secrets_in(self._command))[-SHOWN_CHARACTERS:]
        return f": {shown}" if shown else "; run it manually to see why"

    def _has_ended_within(self, seconds: float) -> os.waitid_result | None:
        """How the program itself has ended, without reaping it, so that its process id is not reused."""
        until = time.monotonic() + seconds
        while True:
            ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None or time.monotonic() >= until:
                return ended
            time.sleep(END_CHECK_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        # The id of a process group is that of its first process.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def _kill_marked(mark: str) -> bool:
    """Kill every process whose environment has this mark; False if there is none."""
    found = False
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            # It has ended, or belongs to another user.
            with suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
                    found = True
    return found


def _open_end(end: IO[bytes] | None) -> int:
    """The file descriptor of this end of a pipe, made non-blocking."""
    if end is None:
        raise AssertionError("opened with subprocess.PIPE")
    # Fails if the user has too many large pipes.
    with suppress(OSError):
        fcntl.fcntl(end, F_SETPIPE_SZ, PIPE_BYTES)
    os.set_blocking(end.fileno(), False)
    return end.fileno()


def _why_not_started(program: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        package = PACKAGES.get(program)
        return f"{program}: no such program; " + (
            f"apt-get install {package}" if package else "install it, or give its full path"
        )
    reason = getattr(error, "strerror", None) or error
    return f"{program}: cannot be started ({reason}); check the path and its permissions"
