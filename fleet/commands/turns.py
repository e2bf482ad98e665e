"""Turns: how does a process that looks into the database every few seconds live, and outlive the database?"""

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
    turn: Callable[[psycopg.Connection], None],
    *,
    every_seconds: float,
    application: str,
    always: Callable[[], None] = lambda: None,
) -> None:
    """Call `turn` until SIGTERM or Ctrl-C; while the database is away, say so once and try again.

    `always` is called before it, and also without a database.

    Raises:
        ConfigError: the database holds no schema, or another version's.
    """
    watchdog, stop, trouble = systemd.Notifier(), threading.Event(), ""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    connection: psycopg.Connection | None = None
    while not stop.is_set():
        watchdog.alive()
        always()
        try:
            if connection is None or connection.closed:
                connection = database.open_database(config, application=application)
            turn(connection)
        except (UnavailableError, psycopg.Error) as error:
            said = f"PostgreSQL: {database.one_line(error)}" if isinstance(error, psycopg.Error) else str(error)
            if said != trouble:
                log.warning("%s", said)
            trouble = said
        else:
            watchdog.ready()
            trouble = ""
        stop.wait(every_seconds)
    watchdog.stopping()
    if connection is not None:
        connection.close()
