"""Options shared by all commands."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.config.load import default_file, load_config
from edge_agent.foreign_text import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from edge_agent.config.model import Config

QUIET_SECONDS = 2.0
REDRAW_SECONDS = 0.2


def add_command(
    commands: Any,
    name: str,
    action: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    example: str,
    is_below: bool = False,
) -> argparse.ArgumentParser:
    """Add a command with the options that every command has; `--help` ends with the example.

    `is_below` another command: an option before its name counts, unless it is repeated behind it.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"example: {example}"
    )
    parser.set_defaults(action=action)
    parser.add_argument(
        "--config",
        type=Path,
        default=argparse.SUPPRESS if is_below else None,
        metavar="FILE",
        help="configuration file (default: /etc/maskwatch/config.yaml, if there)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=argparse.SUPPRESS if is_below else [],
        metavar="KEY=VALUE",
        help="set one key, such as faces.min_score=0.5",
    )
    return parser


def accept_json(parser: argparse.ArgumentParser, *, is_below: bool = False) -> None:
    """Add --json for commands whose answer a program may read; `is_below`: as of `add_command`."""
    parser.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS if is_below else False,
        help="print JSON lines and nothing else on stdout",
    )


def configured(options: argparse.Namespace) -> Config:
    """Read the configuration that the options name, and log as loudly as it says.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    config = load_config(options.config or default_file(), overrides=options.set)
    logging.getLogger().setLevel(config.log.level.upper())
    return config


def print_json(value: object) -> None:
    """Print one JSON line, at once: a program may be waiting for it.

    ASCII alone: a file name that is no UTF-8 would otherwise be a line that no program can read.
    """
    print(json.dumps(value), flush=True)


def alert_line(message: Mapping[str, Any]) -> str:
    """An alert in one line for a person."""
    crop = message["crop"]
    return safe(
        f"{message['when']} {message['device']}/{message['camera']}: {message['label']} "
        f"({message['score']:.0%} over {message['readings']} readings), "
        f"crop {crop['file'] if crop else 'missing: ' + message['crop_error']}"
    )


def with_progress(items: Sequence[Any], *, unit: str) -> Iterator[Any]:
    """Go through items; work of more than two seconds shows how far it is, where stderr is a terminal."""
    began = shown = time.monotonic()
    drew = False
    for number, item in enumerate(items, 1):
        now = time.monotonic()
        if sys.stderr.isatty() and now - began > QUIET_SECONDS and now - shown > REDRAW_SECONDS:
            shown, drew = now, True
            left = (now - began) / number * (len(items) - number)
            print(f"\r{number} of {len(items)} {unit}, {left:.0f} s left \x1b[K", end="", file=sys.stderr, flush=True)
        yield item
    if drew:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
