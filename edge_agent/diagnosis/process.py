"""Process measurement: startup time and memory of `edge-agent run`.

Measured on the real command in a process of its own, with the models and the runtime as configured, on a recording,
with its state in a folder that is deleted again and without a broker: an agent at work is not disturbed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import UnavailableError

if TYPE_CHECKING:
    from edge_agent.config.model import Config

READY_SECONDS = 120.0
"""A Raspberry Pi Zero 2 W takes a fifth of it."""
NO_BROKER_PORT = 9
"""Of the discard service, which hardly a machine offers: messages stay in the outbox that is deleted."""
LOOK_SECONDS = 0.1
KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Start:
    """What the start of `edge-agent run` takes, and the most memory that it held while it watched one camera.

    `version_cpu_seconds` is the processor's time of `edge-agent --version`, the least that any command takes.
    """

    ready_seconds: float
    ready_cpu_seconds: float
    version_cpu_seconds: float
    peak_memory_bytes: int
    watched_seconds: float


def measure_start(config: Config, recording: Path, *, watch_seconds: float) -> Start:
    """Start the agent on a recording, let it watch for so long once it is ready, and end it.

    Raises:
        UnavailableError: it does not get ready.
    """
    program = [sys.executable, "-m", "edge_agent"]
    version_cpu_seconds = _cpu_seconds_of([*program, "--version"])
    with tempfile.TemporaryDirectory(prefix="edge-agent-bench-") as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(json.dumps(_alone(config, Path(folder), recording)), encoding="utf-8")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(f"{folder}/notify")
            began = time.monotonic()
            process = subprocess.Popen(  # noqa: S603  (this Python, and names of our own)
                [*program, "run", "--config", str(file)],
                env={**os.environ, "NOTIFY_SOCKET": f"{folder}/notify"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                _await_ready(notify, process, until=began + READY_SECONDS)
                ready_seconds = time.monotonic() - began
                ready_cpu_seconds = _cpu_seconds(process.pid)
                peak_memory_bytes = _peak_memory_bytes(process, until=time.monotonic() + watch_seconds)
            finally:
                # Nothing is sent to one that has ended.
                process.send_signal(signal.SIGTERM)
                process.wait()
    return Start(
        round(ready_seconds, 2),
        round(ready_cpu_seconds, 2),
        round(version_cpu_seconds, 2),
        peak_memory_bytes,
        watch_seconds,
    )


def _alone(config: Config, folder: Path, recording: Path) -> dict[str, object]:
    """What the measured agent is configured with: nothing that others would see or hear."""
    changes = config.model_dump(mode="json", include={"runtime", "threads", "faces", "masks"}, exclude_unset=True)
    return {
        **changes,
        "state_dir": str(folder / "state"),
        "cameras": {"bench": {"source": str(recording)}},
        "mqtt": {"host": "127.0.0.1", "port": NO_BROKER_PORT},
    }


def _await_ready(notify: socket.socket, process: subprocess.Popen[bytes], *, until: float) -> None:
    notify.settimeout(0.1)
    while time.monotonic() < until and process.poll() is None:
        try:
            if b"READY=1" in notify.recv(KIBIBYTE):
                return
        except TimeoutError:
            continue
    raise UnavailableError(
        f"edge-agent run: not ready within {READY_SECONDS:.0f} s (exit status {process.poll()}); "
        "'edge-agent doctor' says what is wrong"
    )


def _cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken so far, in user and system mode."""
    # The name of the program, in brackets, may hold spaces; the times are the 14th and 15th field.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_memory_bytes(process: subprocess.Popen[bytes], *, until: float) -> int:
    """The most that was resident until then, or until the recording has ended and with it the process.

    getrusage would count what this process held when it made the other.
    """
    peak_kib = 0
    while time.monotonic() < until and process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            # A process that has just ended has none.
            if name == "VmHWM":
                peak_kib = int(value.split()[0])
        time.sleep(LOOK_SECONDS)
    return peak_kib * KIBIBYTE


def _cpu_seconds_of(command: list[str]) -> float:
    process = subprocess.Popen(  # noqa: S603  (as above)
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime
