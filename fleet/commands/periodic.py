"""Periodic: runs a periodic database task as a service that survives database outages."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING

import psycopg

from edge_agent.errors import UnavailableError
from edge_agent.host import systemd
from fleet import database

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet.config import DatabaseConfig

log = logging.getLogger(__name__)


def repeat(
    config: DatabaseConfig,
    task: Callable[[psycopg.Connection], None],
    *,
    every_seconds: float,
    application: str,
    always: Callable[[], None] = lambda: None,
) -> None:
    """Call `task` until SIGTERM or Ctrl-C; log a database outage once and retry.

    `always` is called before each attempt, also during an outage.

    Raises:
        ConfigError: the database has no schema, or that of another version.
    """
    watchdog, stop, problem = systemd.Notifier(), threading.Event(), ""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    connection: psycopg.Connection | None = None
    while not stop.is_set():
        watchdog.alive()
        always()
        try:
            if connection is None or connection.closed:
                connection = database.open_database(config, application=application)
            task(connection)
        except (UnavailableError, psycopg.Error) as error:
            text = database.describe_error(error) if isinstance(error, psycopg.Error) else str(error)
            if text != problem:
                log.warning("%s", text)
            problem = text
        else:
            watchdog.ready()
            problem = ""
        stop.wait(every_seconds)
    watchdog.stopping()
    if connection is not None:
        connection.close()
