"""Real servers for tests: Debian's PostgreSQL and RabbitMQ on free loopback ports, in the test's folder."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from fleet.config import FleetConfig
from tests.mosquitto import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

START_SECONDS = 90.0
PLUGINS = "rabbitmq_management,rabbitmq_mqtt,rabbitmq_auth_mechanism_ssl"
# PostgreSQL does not run as root; Debian's package creates this user for it.
UNPRIVILEGED = "postgres"
HERE = Path("/")


def _as_unprivileged(command: Sequence[str], *, root: Path = HERE) -> list[str]:
    if root != HERE:
        return within(root, command, user=UNPRIVILEGED)
    return ["setpriv", f"--reuid={UNPRIVILEGED}", "--clear-groups", *command] if os.geteuid() == 0 else [*command]


def within(root: Path, command: Sequence[str], *, user: str) -> list[str]:
    """A command in another Debian root with its own process namespace, killed with it, and the host's network."""
    script = f'mount -t proc proc {root}/proc && exec chroot --userspec={user} {root} "$@"'
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "bash", "-c", script, "bash", *command]


class Postgres:
    """A PostgreSQL server with one database; use it as a context manager."""

    def __init__(self, *, root: Path = HERE, durable: bool = False) -> None:
        """Prepare a server of the Debian in `root`; a durable one syncs its writes to disk."""
        # Not in pytest's folder, which other users, such as the server's, cannot access.
        self.folder = Path(tempfile.mkdtemp(prefix="maskwatch-postgres-", dir=root / "tmp"))
        self.port = free_port()
        self._root, self._durable = root, durable
        programs = (root / "usr/lib/postgresql").glob("*/bin")
        self._programs = HERE / max(programs, key=lambda path: int(path.parent.name)).relative_to(root)
        self._data = str(HERE / self.folder.relative_to(root) / "data")
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            user = _as_unprivileged(["id", "-u"], root=root)
            os.chown(self.folder, int(subprocess.run(user, check=True, capture_output=True).stdout), -1)

    @property
    def conninfo(self) -> str:
        """Connection string for libpq."""
        return f"host=127.0.0.1 port={self.port} user=fleet dbname=postgres"

    def __enter__(self) -> Postgres:
        command = [str(self._programs / "initdb"), "-D", self._data, "-U", "fleet", "--auth=trust", "--no-sync"]
        command += ["-E", "UTF8", "--locale=C"]
        subprocess.run(_as_unprivileged(command, root=self._root), check=True, capture_output=True)
        self.start()
        return self

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "shared_buffers": "32MB"}
        if not self._durable:
            # The machine stays up, so written data survives even if the server is killed.
            settings |= {"fsync": "off", "full_page_writes": "off", "max_wal_size": "4GB"}
        command = [str(self._programs / "postgres"), "-D", self._data, "-p", str(self.port)]
        command += [f"-c{name}={value}" for name, value in settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(_as_unprivileged(command, root=self._root), stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                psycopg.connect(self.conninfo, connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError((self.folder / "log").read_text())

    def program(self, name: str, *words: str) -> None:
        """Run one of the server's programs, such as pg_dump."""
        subprocess.run([str(self._programs / name), *words], check=True)

    def stop(self) -> None:
        """Stop it immediately; in another Debian root by killing all its processes."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if self._root == HERE else signal.SIGKILL)
            self._process.wait(timeout=20)
            self._process = None

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def database(self, *, template: str = "template1") -> str:
        """Create a database, empty or from a template; returns its conninfo."""
        name = f"d{secrets.token_hex(6)}"
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(f"create database {name} template {template}")
        return f"host=127.0.0.1 port={self.port} user=fleet dbname={name}"

    def drop(self, conninfo: str) -> None:
        """Drop a database, even with open connections."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(f"drop database {conninfo.rpartition('=')[2]} with (force)")


class RabbitMq:
    """A RabbitMQ node with the MQTT and management plug-ins; use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        root: Path = HERE,
        name: str = "",
        address: str = "127.0.0.1",
        ports: tuple[int, int, int] | None = None,
        settings: str = "",
    ) -> None:
        """Prepare a node in a folder inside the Debian at `root`; nodes of a cluster have names."""
        self.folder = folder / f"rabbitmq{name}"
        self.folder.mkdir()
        self.address = address
        self.port, self.mqtt_port, self.management_port = ports or (free_port(), free_port(), free_port())
        self.name = f"{name or 'fleet-' + secrets.token_hex(4)}@localhost"
        self._root = root
        (self.folder / "plugins").write_text(f"[{PLUGINS}].")
        # The shared cookie authenticates nodes of a cluster to each other.
        (self.folder / ".erlang.cookie").write_text("MASKWATCHFLEET")
        (self.folder / ".erlang.cookie").chmod(0o400)
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {address}:{self.port}\n"
            f"management.tcp.ip = {address}\nmanagement.tcp.port = {self.management_port}\n"
            "mqtt.vhost = maskwatch\nlog.console = true\nlog.console.level = warning\nlog.file = false\n"
            f"disk_free_limit.absolute = 100MB\n{settings or f'mqtt.listeners.tcp.1 = {address}:{self.mqtt_port}'}\n"
        )
        self._distribution_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RabbitMq:
        self.start()
        self.wait()
        return self

    def start(self) -> None:
        """Start it."""
        home = str(HERE / self.folder.relative_to(self._root))
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": home,
            "LC_ALL": "C.UTF-8",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_LOG_BASE": f"{home}/log",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_PID_FILE": f"{home}/pid",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Two cores are shared with other tests: idle scheduler threads must not busy-wait.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        }
        command = ["/usr/lib/rabbitmq/bin/rabbitmq-server"]
        if self._root != HERE:
            command = within(self._root, command, user="root")
        with (self.folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )

    def wait(self) -> None:
        """Wait until all its listeners are open; AMQP is the last one."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            try:
                for port in (self.management_port, self.mqtt_port, self.port):
                    socket.create_connection((self.address, port), timeout=2).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError((self.folder / "log.txt").read_text()[-5000:])

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=20)
            self._process = None

    def __exit__(self, *_: object) -> None:
        self.kill()

    def config(self, conninfo: str, **keys: Any) -> FleetConfig:
        """A configuration for this broker and a database."""
        broker = {
            "hosts": ["127.0.0.1"],
            "port": self.port,
            "management_port": self.management_port,
            "username": "guest",
        }
        return FleetConfig.model_validate({"database": {"conninfo": conninfo}, "broker": broker, **keys})
