"""`maskwatch-fleet web`: serves the pages and the API, or adds a user."""

from __future__ import annotations

import asyncio
import getpass
import signal
import sys
from typing import TYPE_CHECKING

from edge_agent.console import server
from edge_agent.host.systemd import Notifier
from fleet import database
from fleet.web.app import build
from fleet.web.auth import FleetAuth, console_config
from fleet.web.users import ROLES, set_user

if TYPE_CHECKING:
    import argparse

    from fleet.config import FleetConfig

NAME = "web"
SUMMARY = "serve the pages and API of the fleet, or add a user"
EXAMPLE = "maskwatch-fleet web --user alice --role operator"
FEED_SECONDS = 5.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --user and --role."""
    parser.add_argument("--user", metavar="NAME", help="only add or change this user; prompts for the password")
    parser.add_argument("--role", choices=ROLES, help="role of the user (default: the present one, or viewer)")


def run(config: FleetConfig, options: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    with database.open_database(config.database, application="maskwatch-fleet web") as connection:
        if options.user is not None:
            set_user(connection, options.user, options.role, _read_password(options.user))
            return 0
    asyncio.run(_serve(config))
    return 0


def _read_password(name: str) -> str:
    """Read a line; a terminal does not show it. Ctrl-D is an empty one."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    try:
        return getpass.getpass(f"Password of {name}: ")
    except EOFError:
        return ""


async def _serve(config: FleetConfig) -> None:
    end, notifier = asyncio.Event(), Notifier()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    pool = database.connection_pool(config.database, application="maskwatch-fleet web")
    auth = FleetAuth(config.web, pool)
    pool.open()
    feeding = asyncio.ensure_future(_feed(notifier))
    try:
        await server.serve(build(config, pool, auth), console_config(config.web), end=end, listening=notifier.ready)
    finally:
        feeding.cancel()
        notifier.stopping()
        pool.close()


async def _feed(notifier: Notifier) -> None:
    while True:
        notifier.alive()
        await asyncio.sleep(FEED_SECONDS)
