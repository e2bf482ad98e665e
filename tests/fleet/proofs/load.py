"""How does a fleet perform under load? 60 alerts a second; 2,000 devices after an hour's outage; ten minutes without a
database; 10,000 connections.

python -m tests.fleet.proofs.load steady | outage | full-queue | connections
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from fleet.definitions import ALERTS
from fleet.management import Management
from fleet.simulation.simulation import Load
from tests.fleet.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

DEVICES_A_PROCESS = 4000
"""A device needs four open files, and the limit of a process is often 20,000."""
SLOWEST = ("p50_seconds", "p99_seconds", "drained_seconds", "acknowledge_p99_seconds")
"""Results of which the maximum of all processes counts; others are summed."""
AWAY_SECONDS = 600.0
SAMPLE_SECONDS = 10.0
FULL_QUEUE_BYTES = 5_000_000
"""About seven thousand alerts: full within two of the ten minutes, so that devices keep the others."""


def main() -> int:
    """Run a scenario and print its results; returns 1 if messages are missing, duplicate, out of order or pending."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument(
        "--devices", type=int, help="connections (default: 200; after the outage 2,000; connections: 10,000)"
    )
    parser.add_argument(
        "--seconds", type=float, help="how long (default: 180; 600 without a database; connections: 300)"
    )
    options = parser.parse_args()
    result, status = SCENARIOS[options.scenario](options)
    result["load_average"] = round(os.getloadavg()[1], 1)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return status


def steady(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Latency from device to row at 60 alerts a second."""
    with Cluster() as cluster:
        loads = _admitted(cluster, options.devices or 200)
        return _simulated(cluster, loads, "--seconds", str(options.seconds or 180.0), per_second=60.0)


def outage(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """All devices reconnect at once, each with 60 alerts from an hour."""
    words = ["--backlog", "60", "--seconds", "1", "--reconnect-spread", "30", "--drain-seconds", "2400"]
    with Cluster() as cluster:
        return _simulated(cluster, _admitted(cluster, options.devices or 2000), *words)


def full_queue(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """The database is unavailable until after the queue is full, then returns."""
    seconds = options.seconds or AWAY_SECONDS
    with Cluster(max_queue_bytes=FULL_QUEUE_BYTES) as cluster:
        loads = _admitted(cluster, options.devices or 200)
        cluster.postgres.stop()
        back_at = time.monotonic() + seconds
        is_away = True

        def restart_database() -> None:
            nonlocal is_away
            if is_away and time.monotonic() > back_at:
                cluster.postgres.start()
                is_away = False

        words = ["--seconds", str(seconds), "--drain-seconds", "1800"]
        return _simulated(cluster, loads, *words, per_second=60.0, meanwhile=restart_database)


def connections(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Many devices, each with a certificate, connect within two minutes and stay; alerts occur as on a busy day."""
    words = ["--seconds", str(options.seconds or 300.0), "--reconnect-spread", "120"]
    with Cluster() as cluster:
        return _simulated(cluster, _admitted(cluster, options.devices or 10_000), *words, per_second=12.0)


def _admitted(cluster: Cluster, devices: int) -> list[Load]:
    """Admit devices; returns those of each process."""
    loads = [
        Load(min(DEVICES_A_PROCESS, devices - begin), prefix=f"sim{begin // DEVICES_A_PROCESS}-")
        for begin in range(0, devices, DEVICES_A_PROCESS)
    ]
    begin = time.monotonic()
    cluster.add_devices([name for load in loads for name in load.names()])
    sys.stderr.write(f"admitted {devices} devices with certificates in {time.monotonic() - begin:.0f} s\n")
    return loads


def _simulated(
    cluster: Cluster,
    loads: list[Load],
    *words: str,
    per_second: float = 0.0,
    meanwhile: Callable[[], None] = lambda: None,
) -> tuple[dict[str, Any], int]:
    """Run the devices, and monitor queue and brokers meanwhile."""
    management, begin, curve = Management(cluster.config.broker), time.monotonic(), []
    devices = sum(load.devices for load in loads)
    with ExitStack() as stack:
        processes = []
        for load in loads:
            rate = per_second * load.devices / devices
            command = cluster.command("simulate", "--json", "--devices", str(load.devices), "--prefix", load.prefix)
            command += ["--alerts-per-second", str(rate), *words, *cluster.device_options()]
            processes.append(stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)))
        sample_at = begin
        while any(process.poll() is None for process in processes):
            meanwhile()
            if time.monotonic() >= sample_at:
                sample_at += SAMPLE_SECONDS
                curve.append(_sample(cluster, management, seconds=time.monotonic() - begin))
            time.sleep(0.5)
        results = [json.loads(process.stdout.read() if process.stdout else "") for process in processes]
    result = {key: (max if key in SLOWEST else sum)(one[key] for one in results) for key in results[0]}
    result["broker_cpu_seconds"] = round(cluster.broker_cpu_seconds(), 1)
    result["broker_resident_megabytes_at_most"] = max(row[4] for row in curve)
    result["seconds, devices, queue, brokers' CPU-seconds, megabytes of the largest"] = curve
    return result, max(process.returncode for process in processes)


def _sample(cluster: Cluster, management: Management, *, seconds: float) -> list[float]:
    queue = management.get(f"queues/{{vhost}}/{ALERTS}") or {}
    connected = management.get("overview")["object_totals"]["connections"] - cluster.workers
    usage = cluster.broker_usage()
    row = [round(seconds), connected, queue.get("messages", 0)]
    row += [round(sum(cpu for cpu, _ in usage), 1), round(max((resident for _, resident in usage), default=0) / 1e6)]
    sys.stderr.write("{:6} s {:6} devices {:8} messages in the queue {:8} CPU-seconds {:6} MB\n".format(*row))
    return row


SCENARIOS = {"steady": steady, "outage": outage, "full-queue": full_queue, "connections": connections}


if __name__ == "__main__":
    sys.exit(main())
