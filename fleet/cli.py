"""Command line: parses arguments and maps outcomes to exit statuses (sysexits.h)."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from pika.exceptions import AMQPError

from edge_agent.command_line import add_command, run_command
from edge_agent.errors import UnavailableError
from edge_agent.foreign_text import SafeArgumentParser
from edge_agent.host.systemd import log_handler
from fleet import amqp, database
from fleet.commands import dead_letters, doctor, ingest, init, notify, rollout, simulate, web
from fleet.config import load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

PROGRAM = "maskwatch-fleet"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    logging.basicConfig(level=logging.INFO, handlers=[log_handler(PROGRAM)], force=True)
    # Lost connections are logged by our own code.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    # It logs every missing signature of staged metadata; the commands print how many are missing.
    logging.getLogger("tuf").setLevel(logging.WARNING)

    def action() -> int:
        options = build_parser().parse_args(arguments)
        config = load(options.config, overrides=options.set)
        try:
            return int(options.action(config, options))
        except psycopg.Error as error:
            raise UnavailableError(database.describe_error(error)) from error
        except AMQPError as error:
            raise UnavailableError(f"RabbitMQ: {amqp.describe_error(error)}; run 'maskwatch-fleet doctor'") from error

    return run_command(action, program=PROGRAM)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = SafeArgumentParser(
        prog=PROGRAM,
        description="Stores, shows and forwards the messages of many devices.",
        epilog=f"example: {PROGRAM} doctor",
    )
    parser.add_argument("--version", action="version", version=f"maskwatch {version('maskwatch')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (ingest, web, notify, rollout, init, doctor, dead_letters, simulate):
        _add(commands, command)
    return parser


def _add(commands: Any, command: Any) -> None:
    """Add a command with the common options; its `--help` ends with its example."""
    parser = add_command(commands, command.NAME, command.run, summary=command.SUMMARY, example=command.EXAMPLE)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration file (default: /etc/maskwatch/fleet.yaml, if it exists)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set one key, such as ingest.prefetch=100"
    )
    command.add_options(parser)
