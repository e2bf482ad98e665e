"""An agent for journeys: the real command in a separate process, with its state in the test's folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = Path(__file__).parents[2] / "examples" / "street_door.mp4"
# For loading models and the first frame on a busy machine; two such waits fit into a test's limit of 300 s.
TIMEOUT_SECONDS = 140.0
# The service manager waits 10 s; a busy machine takes longer.
END_SECONDS = 60.0
# For a recording, which plays in real time even on a busy machine: analyse few frames and decide early.
QUICK: dict[str, Any] = {
    "faces": {"input_long_side_px": 400, "min_face_px": 60},
    "decision": {"false_positive_rate": 0.01},
}


def wait_until(is_so: Callable[[], object], what: str, *, seconds: float = TIMEOUT_SECONDS) -> None:
    """Wait until a condition holds that another process causes."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.02)


def run_command(*arguments: str | Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run `edge-agent ARGUMENTS` to its end."""
    command = [sys.executable, "-m", "edge_agent", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False, **settings)


class AgentProcess:
    """`edge-agent run` on a configuration that it writes; a context manager that kills what is left."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        """`config` is the content of config.yaml without state_dir."""
        # A relative state_dir would be one below the folder of config.yaml.
        folder = folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config_file = folder / "config.yaml"
        self.log_file = folder / "agent.log"
        self.notify_file = folder / "notify"
        self.configure({"state_dir": str(folder / "state"), **config})
        # Left by an earlier run in the same folder.
        self.notify_file.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(self.notify_file))
        self._notify.setblocking(False)
        self._heard: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, config: dict[str, Any]) -> None:
        """Write the configuration file."""
        self.config_file.write_text(yaml.safe_dump(config), encoding="utf-8")

    def start(self) -> None:
        """Start it; its log is appended to that of earlier starts."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_agent", "run", "--config", str(self.config_file)],
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(self.notify_file)},
            )

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status; the negative signal number if it was killed."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.wait(seconds=END_SECONDS)

    def wait(self, *, seconds: float = TIMEOUT_SECONDS) -> int:
        """Wait until it exits and return the exit status, receiving its service manager notifications meanwhile."""
        assert self.process is not None
        process = self.process
        wait_until(lambda: (self.notifications, process.poll())[1] is not None, "the end of the agent", seconds=seconds)
        return process.returncode

    @property
    def log(self) -> str:
        """Everything it has logged."""
        return self.log_file.read_text(encoding="utf-8")

    @property
    def notifications(self) -> list[str]:
        """Notifications that it has sent to the service manager so far."""
        while True:
            try:
                self._heard.append(self._notify.recv(4096).decode())
            except BlockingIOError:
                return self._heard

    def __enter__(self) -> AgentProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._notify.close()


class ConsoleProcess:
    """`edge-agent console` on the configuration of an agent."""

    def __init__(self, config_file: Path, *, log_file: Path) -> None:
        """Prepare the process; `start` starts it."""
        self.config_file, self.log_file = config_file, log_file
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, niceness: int = 0) -> None:
        """Start it; its log is appended to that of earlier starts."""
        nice = ["nice", "-n", str(niceness)] if niceness else []
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*nice, sys.executable, "-m", "edge_agent", "console", "--config", str(self.config_file)],
                stdout=log,
                stderr=log,
            )

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(timeout=TIMEOUT_SECONDS)

    def kill(self) -> None:
        """Kill what is left of it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def log(self) -> str:
        """Everything it has logged."""
        return self.log_file.read_text(encoding="utf-8")
