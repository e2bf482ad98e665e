"""Options shared by all commands."""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent import command_line
from edge_agent.alerts.database import is_begun
from edge_agent.alerts.history import AlertHistory
from edge_agent.alerts.people import parse_day
from edge_agent.config.load import default_file, load_config
from edge_agent.foreign_text import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date

    from edge_agent.config.model import Config


def add_command(
    commands: Any,
    name: str,
    action: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    """Add a command with the common options, whose defaults are in cli.py; its `--help` ends with the example."""
    parser = command_line.add_command(commands, name, action, summary=summary, example=example)
    parser.add_argument(
        "--config",
        type=Path,
        # Otherwise that of a subcommand would replace what was given before the subcommand.
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="configuration file (default: /etc/maskwatch/config.yaml, if it exists)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=argparse.SUPPRESS,
        metavar="KEY=VALUE",
        help="set one key, such as faces.min_score=0.5",
    )
    return parser


def accept_json(parser: argparse._ActionsContainer) -> None:
    """Add --json."""
    parser.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print JSON lines and nothing else on stdout",
    )


def configured(options: argparse.Namespace) -> Config:
    """Read the configuration given by the options, and set the log level.

    Raises:
        ConfigError: it is invalid; the message lists all errors.
    """
    config = load_config(options.config or default_file(), overrides=options.set)
    logging.getLogger().setLevel(config.log.level.upper())
    return config


def stored_history(config: Config) -> AlertHistory:
    """The history of the agent with this configuration, read-only; a missing one is empty and reported on stderr.

    Raises:
        UnavailableError: it cannot be accessed.
    """
    if not is_begun(config.store_file):
        print(
            f"{config.store_file}: does not exist: no agent has run with this state_dir; give the agent's --config",
            file=sys.stderr,
        )
    return AlertHistory(config.store_file, only_reads=True)


def day(text: str) -> date:
    """The type of an option: a day.

    Raises:
        argparse.ArgumentTypeError: it is not one.
    """
    try:
        return parse_day(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: a day is YYYY-MM-DD, such as 2026-03-01") from error


def named(path: Path) -> Path:
    """A path by which to name outputs: absolute, without `..`, printable; links keep their names."""
    return Path(safe(os.path.abspath(path)))  # noqa: PTH100  (Path.resolve follows links)


def distinct(names: Iterable[str]) -> list[str]:
    """The names of outputs, in their order; those that came before get a number: door, door-2."""
    taken: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        taken[next(free for free in itertools.chain([name], numbered) if free not in taken)] = None
    return list(taken)


def print_json(value: object) -> None:
    """Print one JSON line and flush, because a program may wait for it.

    ASCII only, as file names that are not UTF-8 would otherwise make the line unreadable.
    """
    print(json.dumps(value), flush=True)


def alert_line(message: Mapping[str, Any]) -> str:
    """An alert message as one line of text."""
    crop = message["crop"]
    return safe(
        f"{message['when']} {message['device']}/{message['camera']}: {message['label']} "
        f"({message['score']:.0%} over {message['readings']} readings), "
        f"crop {crop['file'] if crop else 'missing: ' + message['crop_error']}"
    )
