"""How does a fleet bear load? 60 alerts a second; 2,000 devices after an hour's outage; ten minutes without a database;
10,000 connections.

python -m tests.fleet.proofs.load steady | outage | full-queue | connections
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from fleet.definitions import ALERTS
from fleet.management import Management
from fleet.simulation.simulation import Load
from tests.fleet.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

AWAY_SECONDS = 600.0
SAMPLE_SECONDS = 10.0
FULL_QUEUE_BYTES = 5_000_000
"""Some seven thousand alerts: full within two of the ten minutes, so that the devices hold the rest."""


def main() -> int:
    """Run one scenario, and print what came of it; 1 where something is missing, twice, out of sequence or waits."""
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
    """From device to row at 60 alerts a second."""
    devices = options.devices or 200
    with Cluster() as cluster:
        cluster.admit(Load(devices).names())
        seconds = options.seconds or 180.0
        return _simulated(cluster, "--devices", str(devices), "--seconds", str(seconds), "--alerts-per-second", "60")


def outage(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """All come back at once, each with 60 alerts of an hour."""
    devices = options.devices or 2000
    with Cluster() as cluster:
        cluster.admit(Load(devices).names())
        words = ["--devices", str(devices), "--backlog", "60", "--alerts-per-second", "0", "--seconds", "1"]
        return _simulated(cluster, *words, "--reconnect-spread", "30", "--drain-seconds", "1800")


def full_queue(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """The database is away until the queue is full, and longer; then it comes back."""
    devices, seconds = options.devices or 200, options.seconds or AWAY_SECONDS
    with Cluster(max_queue_bytes=FULL_QUEUE_BYTES) as cluster:
        cluster.admit(Load(devices).names())
        cluster.postgres.stop()
        words = ["--devices", str(devices), "--seconds", str(seconds), "--alerts-per-second", "60"]
        back_at = time.monotonic() + seconds
        is_away = True

        def come_back() -> None:
            nonlocal is_away
            if is_away and time.monotonic() > back_at:
                cluster.postgres.start()
                is_away = False

        return _simulated(cluster, *words, "--drain-seconds", "1800", meanwhile=come_back)


def connections(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Many devices come within two minutes, with a certificate each, and stay; alerts arise as on a busy day."""
    devices = options.devices or 10_000
    with Cluster() as cluster:
        cluster.admit(Load(devices).names())
        words = ["--devices", str(devices), "--seconds", str(options.seconds or 300.0), "--reconnect-spread", "120"]
        return _simulated(cluster, *words, "--alerts-per-second", "12")


def _simulated(
    cluster: Cluster, *words: str, meanwhile: Callable[[], None] = lambda: None
) -> tuple[dict[str, Any], int]:
    """Run the devices, and look at queue and brokers' memory while they do."""
    management, begin = Management(cluster.config.broker), time.monotonic()
    curve, memory = [], 0
    command = cluster.command("simulate", "--json", *words, *cluster.device_options())
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        sample_at = begin
        while load.poll() is None:
            meanwhile()
            if time.monotonic() >= sample_at:
                sample_at += SAMPLE_SECONDS
                queue = management.get(f"queues/{{vhost}}/{ALERTS}")
                memory = max([memory, *(node.get("mem_used", 0) for node in management.get("nodes"))])
                connected = management.get("overview")["object_totals"]["connections"] - cluster.workers
                curve.append([round(time.monotonic() - begin), connected, queue.get("messages", 0)])
                sys.stderr.write("{:6} s {:6} devices {:8} messages in the queue\n".format(*curve[-1]))
            time.sleep(0.5)
        said = load.stdout.read() if load.stdout else ""
    result = json.loads(said)
    result["broker_cpu_seconds"] = round(cluster.broker_cpu_seconds(), 1)
    result["broker_memory_megabytes_at_most"] = round(memory / 1e6)
    result["second_devices_queue"] = curve
    return result, int(load.returncode)


SCENARIOS = {"steady": steady, "outage": outage, "full-queue": full_queue, "connections": connections}


if __name__ == "__main__":
    sys.exit(main())
