"""A complete fleet on this machine: three RabbitMQ nodes, PostgreSQL and workers, in a Debian 13 root folder.

RabbitMQ and PostgreSQL are Debian 13's; `maskwatch-fleet` runs with the Python of this checkout. All nodes use the same
ports on different loopback addresses, like nodes on three machines.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet.config import FleetConfig
from fleet.definitions import ALERTS
from fleet.management import Management
from tests.fleet.authority import Authority
from tests.fleet.engines import HERE, Postgres, RabbitMq, within
from tests.mosquitto import free_port

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(os.environ.get("MASKWATCH_FLEET_ROOT", "/var/tmp/maskwatch-debian-13-fleet"))  # noqa: S108  (deploy/fleet-root makes it)
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
WORKERS = 2
EXAMPLE = Path(__file__).parents[2] / "examples/street_door.mp4"
SETTINGS = """
mqtt.listeners.tcp = none
mqtt.listeners.ssl.1 = {address}:{mqtt_port}
ssl_options.cacertfile = {certificates}/ca.pem
ssl_options.certfile = {certificates}/server.pem
ssl_options.keyfile = {certificates}/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
mqtt.ssl_cert_login = true
ssl_cert_login_from = common_name
mqtt.ssl_cert_client_id_from = subject_alternative_name
mqtt.ssl_cert_login_san_type = dns
vm_memory_high_watermark.absolute = 800MB
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = fleet1@localhost
cluster_formation.classic_config.nodes.2 = fleet2@localhost
cluster_formation.classic_config.nodes.3 = fleet3@localhost
"""


class Cluster:
    """All servers of the fleet; use it as a context manager."""

    def __init__(self, *, root: Path = ROOT, workers: int = WORKERS, **broker: Any) -> None:
        """`broker` are keys of that section of the configuration."""
        self._root, self.workers, self._broker = root, workers, broker
        self._stack = ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Cluster:
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix="maskwatch-fleet-", dir=self._root / "tmp"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.authority = Authority(self.folder / "certificates")
            self.authority.broker(ADDRESSES)
            stack.callback(self._end_all)
            # Nodes find each other through epmd, which must survive when a node is killed.
            self._start("epmd", within(self._root, ["epmd", "-address", "127.0.0.1"], user="root"))
            ports = (free_port(), free_port(), free_port())
            certificates = HERE / (self.folder / "certificates").relative_to(self._root)
            self.nodes = [
                RabbitMq(
                    self.folder,
                    root=self._root,
                    name=f"fleet{number}",
                    address=address,
                    ports=ports,
                    settings=SETTINGS.format(address=address, mqtt_port=ports[1], certificates=certificates),
                )
                for number, address in enumerate(ADDRESSES, 1)
            ]
            for node in self.nodes:
                stack.callback(node.kill)
                node.start()
            self.postgres = stack.enter_context(Postgres(root=self._root, durable=True))
            for node in self.nodes:
                node.wait()
            self.file = self.folder / "fleet.yaml"
            self.config = self._config()
            self.file.write_text(self.config.model_dump_json())
            self.run("init")
            for number in range(self.workers):
                self.start_worker(number)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _config(self) -> FleetConfig:
        node = self.nodes[0]
        broker = {"hosts": ADDRESSES, "port": node.port, "management_port": node.management_port, "username": "guest"}
        broker |= self._broker
        return FleetConfig.model_validate(
            {"database": {"conninfo": self.postgres.conninfo}, "broker": broker, "web": {"port": free_port()}}
        )

    def command(self, *words: str) -> list[str]:
        """A command of maskwatch-fleet for this fleet."""
        return [sys.executable, "-m", "fleet", words[0], "--config", str(self.file), *words[1:]]

    def run(self, *words: str, **keys: Any) -> str:
        """Run a command to its end; returns its output."""
        command = self.command(*words)
        return str(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **keys).stdout)

    def start(self, name: str, *words: str) -> None:
        """Start a long-running command; `kill` ends it."""
        self._start(name, self.command(*words))

    def device_options(self) -> list[str]:
        """Options of `simulate` for brokers and certificates."""
        brokers = [f"--broker={node.address}:{node.mqtt_port}" for node in self.nodes]
        return [*brokers, "--certificates", str(self.authority.folder)]

    def agent_options(self, device: str) -> list[str]:
        """Options that make a real agent a member of this fleet, on the example recording."""
        folder, node = self.authority.folder, self.nodes[0]
        # An hour long, because the agent exits at the end of a recording.
        recording = self.folder / "door.mp4"
        repeat = [
            "ffmpeg",
            "-loglevel",
            "error",
            "-stream_loop",
            "999",
            "-i",
            str(EXAMPLE),
            "-c",
            "copy",
            str(recording),
        ]
        subprocess.run(repeat, check=True)
        keys = {
            "device.id": device,
            "state_dir": self.folder / "agent",
            "cameras.door.source": recording,
            "mqtt.profile": "fleet",
            "mqtt.host": node.address,
            "mqtt.port": node.mqtt_port,
            "mqtt.tls": "true",
            "mqtt.ca_file": folder / "ca.pem",
            "mqtt.cert_file": folder / f"{device}.pem",
            "mqtt.key_file": folder / f"{device}.key",
        }
        return [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]

    def start_alertmanager(self, address: str) -> None:
        """Start Debian 13's Alertmanager with a receiver that does nothing."""
        route = {"receiver": "nowhere", "group_by": ["site"]}
        file = self.folder / "alertmanager.json"
        file.write_text(json.dumps({"route": route, "receivers": [{"name": "nowhere"}]}))
        inside = HERE / file.relative_to(self._root)
        command = ["prometheus-alertmanager", f"--config.file={inside}", f"--storage.path={inside.parent}/alertmanager"]
        command += [f"--web.listen-address={address}", "--cluster.listen-address="]
        self._start("alertmanager", within(self._root, command, user="root"))

    def start_worker(self, number: int) -> None:
        """Start an ingest worker."""
        self.start(f"worker {number}", "ingest")

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def add_devices(self, devices: list[str]) -> None:
        """Issue certificates for devices and admit them to the brokers."""
        for device in devices:
            self.authority.device(device)
        file = self.folder / "devices.txt"
        file.write_text("\n".join(devices))
        self.run("init", "--devices", str(file))

    def leader(self) -> int:
        """The node that leads the queue of alerts."""
        found = Management(self.config.broker).get(f"queues/{{vhost}}/{ALERTS}")
        return next(number for number, node in enumerate(self.nodes) if node.name == found["leader"])

    def broker_usage(self) -> list[tuple[float, int]]:
        """CPU-seconds since the start and resident bytes of each running node."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "comm").read_text() == "beam.smp\n" and (process / "root").resolve() == self._root:
                    fields = (process / "stat").read_text().rpartition(")")[2].split()
                    found.append(((int(fields[11]) + int(fields[12])) / CLOCK_TICKS, int(fields[21]) * PAGE_BYTES))
            except OSError:
                continue
        return found

    def broker_cpu_seconds(self) -> float:
        """Total CPU-seconds of all running nodes since their start."""
        return sum(cpu for cpu, _ in self.broker_usage())

    def log(self, name: str) -> str:
        """The log of a process."""
        return (self.folder / f"{name.replace(' ', '-')}.log").read_text()

    def _start(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name.replace(' ', '-')}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _end_all(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10.0
        for process in self._processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
