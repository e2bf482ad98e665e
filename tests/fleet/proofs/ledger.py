"""Is anything lost while leader, two of three nodes, a worker and PostgreSQL are killed under load?"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from fleet.simulation.simulation import Load
from tests.fleet.cluster import Cluster

PAUSE_SECONDS = 15.0
DATABASE_AWAY_SECONDS = 60.0


def main() -> int:
    """Generate load, kill servers, and print the balance; returns 1 if messages are missing or duplicate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--alerts-per-second", type=float, default=60.0)
    options = parser.parse_args()
    with Cluster() as cluster:
        cluster.add_devices(Load(options.devices).names())
        # The kills, two consecutive restarts of a node, the minute without a database, and a quiet period.
        seconds = DATABASE_AWAY_SECONDS + 10 * PAUSE_SECONDS
        command = cluster.command("simulate", "--devices", str(options.devices), "--seconds", str(seconds), "--json")
        command += ["--alerts-per-second", str(options.alerts_per_second), "--ledger", str(cluster.folder / "ledger")]
        command += cluster.device_options()
        _log("load begins")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
            _kill_in_turn(cluster)
            output = load.communicate()[0]
        result = json.loads(output)
        result["broker_cpu_seconds_since_restart"] = round(cluster.broker_cpu_seconds(), 1)
        result["load_average"] = round(os.getloadavg()[1], 1)
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return int(load.returncode)


def _kill_in_turn(cluster: Cluster) -> None:
    time.sleep(PAUSE_SECONDS)
    leader = cluster.leader()
    _log(f"killing the leader, node {leader + 1}")
    cluster.nodes[leader].kill()
    time.sleep(PAUSE_SECONDS)
    other = (leader + 1) % len(cluster.nodes)
    _log(f"killing node {other + 1} as well: the remaining node accepts no messages")
    cluster.nodes[other].kill()
    time.sleep(PAUSE_SECONDS)
    _log("starting both again")
    for number in (leader, other):
        cluster.nodes[number].start()
    for number in (leader, other):
        cluster.nodes[number].wait()
    _log("killing a worker")
    cluster.kill("worker 0")
    time.sleep(PAUSE_SECONDS)
    cluster.start_worker(0)
    _log("killing PostgreSQL")
    cluster.postgres.stop()
    time.sleep(DATABASE_AWAY_SECONDS)
    cluster.postgres.start()
    _log("killing everything in turn")
    for node in cluster.nodes:
        node.kill()
        node.start()
        node.wait()
    cluster.kill("worker 1")
    cluster.postgres.stop()
    cluster.postgres.start()
    cluster.start_worker(1)
    _log("load continues, then pending messages are delivered")


def _log(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


if __name__ == "__main__":
    sys.exit(main())
