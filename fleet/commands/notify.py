"""`maskwatch-fleet notify`: pass alerts and their ends on to Alertmanager, until SIGTERM."""

from __future__ import annotations

import logging
import signal
import threading
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import psycopg

from edge_agent.errors import UnavailableError
from edge_agent.host import systemd
from fleet import database
from fleet.config import load
from fleet.notify import Notifier

if TYPE_CHECKING:
    import argparse

NAME = "notify"
SUMMARY = "pass alerts and their ends on to Prometheus Alertmanager"
EXAMPLE = "maskwatch-fleet notify --set 'notify.alertmanagers=[http://one:9093, http://two:9093]'"
TURN_SECONDS = 2.0

log = logging.getLogger(__name__)


def add_options(_parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(options: argparse.Namespace) -> int:
    """Notify until SIGTERM or Ctrl-C."""
    config = load(options.config, overrides=options.set)
    watchdog, stop = systemd.Notifier(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    notifier, trouble = Notifier(config.notify), ""
    connection: psycopg.Connection | None = None
    while not stop.is_set():
        watchdog.alive()
        try:
            if connection is None or connection.closed:
                connection = database.open_database(config.database, application="maskwatch-fleet notify")
            notifier.turn(connection, when=datetime.now(timezone.utc), at=time.monotonic())
        except (UnavailableError, psycopg.Error) as error:
            said = f"PostgreSQL: {database.one_line(error)}" if isinstance(error, psycopg.Error) else str(error)
            if said != trouble:
                log.warning("%s", said)
            trouble = said
        else:
            watchdog.ready()
            trouble = ""
        stop.wait(TURN_SECONDS)
    watchdog.stopping()
    if connection is not None:
        connection.close()
    return 0
