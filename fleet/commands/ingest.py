"""`maskwatch-fleet ingest`: stores device messages until SIGTERM. Any number of processes may run side by side."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from edge_agent.host.systemd import Notifier
from fleet.ingest import Worker

if TYPE_CHECKING:
    import argparse

    from fleet.config import FleetConfig
NAME = "ingest"
SUMMARY = "store the messages of devices, from RabbitMQ to PostgreSQL"
EXAMPLE = "maskwatch-fleet ingest --config /etc/maskwatch/fleet.yaml"


def add_options(_parser: argparse.ArgumentParser) -> None:
    """No further options."""


def run(config: FleetConfig, _options: argparse.Namespace) -> int:
    """Ingest until SIGTERM or Ctrl-C."""
    notifier, stop = Notifier(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    worker = Worker(config, stop=stop, alive=notifier.alive)
    worker.run(ready=notifier.ready)
    notifier.stopping()
    return 0
