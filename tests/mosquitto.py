"""A real broker for tests: mosquitto on a free loopback port, killed at the end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from itertools import cycle
from typing import TYPE_CHECKING, Any

from edge_agent.config.model import MqttConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

START_SECONDS = 60.0
# Debian installs it into a folder that is only in root's PATH.
PROGRAM = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
# Linux uses ports from 32768 up for outgoing connections and for programs that request any free port.
PORTS = range(20_000, 32_768)
WORKERS = 16
# `make test` runs the tests in two environments in parallel: the second one's workers use ports after the first one's.
BEFORE = int(os.environ.get("WORKERS_BEFORE", "0"))
WORKER = (BEFORE + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))) % WORKERS
OWN_PORTS = cycle(random.sample(PORTS[WORKER::WORKERS], len(PORTS) // WORKERS))
"""Ports of this pytest worker: no other one uses them while a broker is stopped. They are used in turn."""


def free_port() -> int:
    """A loopback port without a listener that no other test gets, even while its owner is stopped."""
    for port in OWN_PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a cycle has no end")


class Mosquitto:
    """A broker that keeps its port across `stop` and `start`; use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, str] | None = None,
        acl: str | None = None,
        certificates: Path | None = None,
        persistent: bool = False,
        websockets: bool = False,
        settings: str = "",
    ) -> None:
        """Prepare a broker: `users` with passwords, `acl` lines, a folder with ca.pem, server.pem and server.key.

        With WebSockets it also listens on `plain_port`.

        A persistent one keeps subscriptions and undelivered messages across `stop` and `start`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.log_file = folder / "mosquitto.log"
        self._acl_file = folder / "acl"
        self._process: subprocess.Popen[bytes] | None = None
        # The user matters only for root: mosquitto would otherwise switch to one that cannot read the test's folder.
        lines = []
        if websockets:
            # mosquitto 2.0.11 exits if it has only WebSocket listeners.
            self.plain_port = free_port()
            lines += [f"listener {self.plain_port} 127.0.0.1"]
        lines += [f"listener {self.port} 127.0.0.1", "user root", settings]
        lines += ["protocol websockets"] if websockets else []
        lines += ["persistence true", f"persistence_location {folder}/"] if persistent else ["persistence false"]
        if users is None:
            lines.append("allow_anonymous true")
        else:
            password_file = folder / "users"
            password_file.write_text("")
            for user, password in users.items():
                command = ["mosquitto_passwd", "-b", str(password_file), user, password]
                subprocess.run(command, check=True, capture_output=True)
            lines += ["allow_anonymous false", f"password_file {password_file}"]
        if acl is not None:
            self._acl_file.write_text(acl)
            lines.append(f"acl_file {self._acl_file}")
        if certificates is not None:
            lines += [
                f"{key} {certificates / name}"
                for key, name in (("cafile", "ca.pem"), ("certfile", "server.pem"), ("keyfile", "server.key"))
            ]
        self._settings_file = folder / "mosquitto.conf"
        self._settings_file.write_text("\n".join(lines) + "\n")

    def config(self, **keys: Any) -> MqttConfig:
        """A configuration for this broker in which alerts count as delivered without a subscriber."""
        return MqttConfig(**{"host": "127.0.0.1", "port": self.port, "no_subscribers_hold_seconds": 0, **keys})

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        with self.log_file.open("ab") as log:
            command = [PROGRAM, "-v", "-c", str(self._settings_file)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"mosquitto does not start:\n{self.log_file.read_text()}")

    def stop(self) -> None:
        """Terminate it and wait for its end; does nothing if it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it from answering, as a machine that is out of memory; the kernel still accepts connections."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue it."""
        self._signal(signal.SIGCONT)

    def allow(self, acl: str) -> None:
        """Replace its access list while it runs."""
        self._acl_file.write_text(acl)
        self._signal(signal.SIGHUP)

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _signal(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=60)
            self._process = None
