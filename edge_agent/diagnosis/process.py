"""Process measurement: startup time and memory of `edge-agent run`.

Runs the real command with the configured models and runtime on a recording, with a temporary state folder and without
a broker, so that a running agent is not disturbed.
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
from resource import RUSAGE_CHILDREN, getrusage
from typing import TYPE_CHECKING

from edge_agent.errors import UnavailableError
from edge_agent.host.stats import bytes_in

if TYPE_CHECKING:
    from edge_agent.config.model import Config

READY_SECONDS = 120.0
"""Five times what a Raspberry Pi Zero 2 W needs."""
NO_BROKER_PORT = 9
"""The discard service, which practically no machine offers: messages stay in the temporary outbox."""
POLL_SECONDS = 0.1
MAX_MESSAGE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Start:
    """Startup time of `edge-agent run`, and its peak memory with one camera.

    `version_cpu_seconds` is the CPU time of `edge-agent --version`, the minimum of any command.
    """

    ready_seconds: float
    ready_cpu_seconds: float
    version_cpu_seconds: float
    peak_memory_bytes: int
    watched_seconds: float


def measure_start(config: Config, recording: Path, *, watch_seconds: float) -> Start:
    """Start the agent on a recording, let it run for `watch_seconds` once it is ready, and stop it.

    Raises:
        UnavailableError: it does not become ready.
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
                # Does nothing if the process has ended.
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
    """The configuration of the measured agent: own state folder, and no broker."""
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
            if b"READY=1" in notify.recv(MAX_MESSAGE_BYTES):
                return
        except TimeoutError:
            continue
    raise UnavailableError(
        f"edge-agent run: not ready within {READY_SECONDS:.0f} s (exit status {process.poll()}); "
        "see 'edge-agent doctor'"
    )


def _cpu_seconds(pid: int) -> float:
    """User and system CPU time of a process so far."""
    # The second field, the program's name in parentheses, may contain spaces; utime and stime are the 14th and 15th.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_memory_bytes(process: subprocess.Popen[bytes], *, until: float) -> int:
    """Peak resident memory until `until` or the end of the process.

    getrusage is unsuitable: its peak starts at that of the parent process.
    """
    peak_bytes = 0
    while time.monotonic() < until and process.poll() is None:
        # Not stated once the process has ended.
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        peak_bytes = bytes_in(status, "VmHWM") or peak_bytes
        time.sleep(POLL_SECONDS)
    return peak_bytes


def _cpu_seconds_of(command: list[str]) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)  # noqa: S603  (as above)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
