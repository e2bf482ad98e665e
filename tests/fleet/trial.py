"""A demo fleet: three brokers, a database, workers, pages, Alertmanager, a real agent and 200 simulated devices."""

from __future__ import annotations

import argparse
import getpass
import os
import secrets
import signal
import subprocess
import sys
import threading

from fleet.simulation.simulation import Load
from tests.fleet.cluster import Cluster
from tests.mosquitto import free_port

AGENT = "example-1"


def main() -> int:
    """Start everything, print the addresses, and stop at Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--alerts-per-second", type=float, default=2.0)
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Cluster() as cluster:
        load = Load(options.devices)
        cluster.add_devices([*load.names(), AGENT])
        password, user = secrets.token_urlsafe(9), getpass.getuser()
        cluster.run("web", "--user", user, "--role", "admin", input=f"{password}\n")
        alertmanager = f"127.0.0.1:{free_port()}"
        cluster.start_alertmanager(alertmanager)
        cluster.start("web", "web")
        cluster.start("notify", "notify", "--set", f"notify.alertmanagers=[http://{alertmanager}]")
        simulate = ["simulate", "--devices", str(options.devices), "--seconds", "1e9"]
        simulate += ["--alerts-per-second", str(options.alerts_per_second)]
        cluster.start("simulate", *simulate, *cluster.device_options())
        agent = subprocess.Popen(
            [sys.executable, "-m", "edge_agent", "run", *cluster.agent_options(AGENT)],
            stdout=subprocess.DEVNULL,
            stderr=(cluster.folder / "agent.log").open("wb"),
            env={**os.environ},
        )
        rows = {
            "pages": f"http://127.0.0.1:{cluster.config.web.port}  (name {user}, password {password})",
            "Alertmanager": f"http://{alertmanager}",
            "RabbitMQ": f"http://127.0.0.1:{cluster.nodes[0].management_port}  (guest, guest)",
            "PostgreSQL": cluster.postgres.conninfo,
            "devices, MQTT over TLS": ", ".join(f"{node.address}:{node.mqtt_port}" for node in cluster.nodes),
            "configuration": str(cluster.file),
            "logs": f"{cluster.folder}/*.log",
        }
        sys.stdout.write("".join(f"{name:24}{text}\n" for name, text in rows.items()) + "Ctrl-C ends it.\n")
        sys.stdout.flush()
        stop.wait()
        agent.terminate()
        agent.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
