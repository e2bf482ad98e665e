"""`maskwatch-fleet simulate`: simulates thousands of devices, and compares acknowledged with stored alerts."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.command_line import number
from edge_agent.config.secrets import read_password
from fleet import database
from fleet.simulation.device import Brokers
from fleet.simulation.ledger import Balance, Ledger, balance
from fleet.simulation.simulation import Load, Simulation

if TYPE_CHECKING:
    from fleet.config import FleetConfig

NAME = "simulate"
SUMMARY = "simulate thousands of devices, and compare acknowledged with stored alerts"
EXAMPLE = "maskwatch-fleet simulate --devices 2000 --alerts-per-second 60 --seconds 300"
STORED_WITHIN_SECONDS = 120.0
"""Time limit for the workers to empty the queues at the end."""
POLL_SECONDS = 0.5


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for load, brokers and output."""
    add, amount = parser.add_argument, number(least=0)
    add("--devices", type=number(least=1, kind=int), default=200, metavar="N", help="number of devices (default: 200)")
    add("--prefix", default="sim", metavar="TEXT", help="prefix of the device ids (default: sim)")
    add("--alerts-per-second", type=amount, default=10.0, metavar="N", help="mean total rate of alerts (default: 10)")
    add("--closed-loop", action="store_true", help="send a backlog as fast as it is acknowledged, without rate limit")
    add(
        "--backlog",
        type=number(least=0, kind=int),
        default=0,
        metavar="N",
        help="pending alerts per device at the start (default: 0)",
    )
    add("--seconds", type=amount, default=60.0, metavar="N", help="duration of the load (default: 60)")
    add("--drain-seconds", type=amount, default=600.0, metavar="N", help="time limit for pending alerts (default: 600)")
    add(
        "--reconnect-spread", type=amount, default=5.0, metavar="N", help="seconds to spread connects over (default: 5)"
    )
    add(
        "--broker",
        action="append",
        type=_address,
        metavar="HOST:PORT",
        help="address of a broker; repeatable (default: localhost:1883)",
    )
    add("--mqtt-version", choices=("5", "3.1.1"), default="5", help="3.1.1 for RabbitMQ before 3.13 (default: 5)")
    add("--username", default="", metavar="NAME", help="user name of all devices, without certificates")
    add("--password-file", type=Path, metavar="FILE", help="file whose first line is the password")
    add("--certificates", type=Path, metavar="FOLDER", help="use TLS with ca.pem, <device>.pem and <device>.key in it")
    add("--ledger", type=Path, metavar="FILE", help="write the id of each acknowledged alert to this file")
    add("--print-devices", action="store_true", help="only print the ids, for 'init --devices'")
    add("--json", action="store_true", help="print JSON lines and nothing else on stdout")


def run(config: FleetConfig, options: argparse.Namespace) -> int:
    """Generate load, then compare; returns 1 if alerts are missing, duplicated or out of sequence."""
    load_options = Load(
        devices=options.devices,
        prefix=options.prefix,
        alerts_per_second=options.alerts_per_second,
        closed_loop=options.closed_loop,
        backlog=options.backlog,
        reconnect_spread_seconds=options.reconnect_spread,
    )
    if options.print_devices:
        print("\n".join(load_options.names()))
        return 0
    password = read_password(options.password_file, key="--password-file") if options.password_file else ""
    brokers = Brokers(
        addresses=tuple(options.broker or [("localhost", 1883)]),
        topic_prefix=config.topic_prefix,
        mqtt_version=options.mqtt_version,
        username=options.username,
        password=password,
        certificates=options.certificates,
    )
    # Fail before the load starts if the comparison at its end would be impossible.
    database.open_database(config.database, application="maskwatch-fleet simulate").close()
    ledger = Ledger(options.ledger)
    with closing(ledger), closing(Simulation(load_options, brokers, ledger)) as simulation:
        begin, cpu = time.monotonic(), time.process_time()
        drained = simulation.run(seconds=options.seconds, drain_seconds=options.drain_seconds, report=_progress)
        wall, cpu = time.monotonic() - begin, time.process_time() - cpu
        waiting, totals = simulation.waiting, simulation.totals
    with database.open_database(config.database, application="maskwatch-fleet simulate") as connection:
        found = _settled(connection, ledger)
    delays = sorted(totals.acknowledge_seconds)
    result: dict[str, Any] = {
        **asdict(found),
        "waiting": waiting,
        "drained_seconds": round(drained, 1),
        "sent": totals.sent,
        "connects": totals.connects,
        "losses": totals.losses,
        "timeouts": totals.timeouts,
        "refused": totals.refused,
        "acknowledge_p99_seconds": round(delays[int(0.99 * (len(delays) - 1))], 3) if delays else None,
        "messages_per_second": round(totals.acknowledged / wall, 1),
        "cpu_seconds": round(cpu, 1),
    }
    if options.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name.replace('_', ' '):26}{value}" for name, value in result.items()))
    return int(not found.is_even or waiting > 0)


def _settled(connection: Any, ledger: Ledger) -> Balance:
    """Compare until everything acknowledged is stored, or the time limit is reached."""
    until = time.monotonic() + STORED_WITHIN_SECONDS
    while True:
        found = balance(connection, ledger.ids, ledger.devices)
        if found.is_even or time.monotonic() > until:
            return found
        time.sleep(POLL_SECONDS)


def _progress(simulation: Simulation) -> None:
    if sys.stderr.isatty():
        totals = simulation.totals
        text = f"{totals.connects} connects, {totals.acknowledged} acknowledged, {simulation.waiting} waiting"
        print(f"\r{text} \x1b[K", end="", file=sys.stderr, flush=True)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no HOST:PORT")
    return host, int(port)
