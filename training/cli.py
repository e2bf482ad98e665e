"""Command line of `edge-train`: parses arguments and maps outcomes to exit statuses."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from edge_agent.command_line import run_command
from edge_agent.foreign_text import SafeArgumentParser, SafeReportFormatter
from training.commands import empty, explore, merge, mine, synthesise, train
from training.disk_errors import disk_errors_as_config_errors
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 success, 78 invalid file or recipe, 130 interrupted."""

    def action() -> int:
        options = build_parser().parse_args(arguments)
        try:
            with disk_errors_as_config_errors():
                return int(options.action(options))
        except KeyboardInterrupt:
            sys.stderr.write("edge-train: interrupted; to resume a training run, give the same command again\n")
            raise

    with quiet_tensorflow():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(SafeReportFormatter("%(message)s"))
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        return run_command(action, program="edge-train")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = SafeArgumentParser(
        prog="edge-train",
        description="Trains the models of maskwatch on a workstation.",
        epilog="example: edge-train masks training/recipes/masks-1.yaml --output runs/masks-1",
    )
    parser.add_argument("--version", action="version", version=f"maskwatch {version('maskwatch')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (train, merge, synthesise, empty, mine, explore):
        command.add_to(commands)
    return parser
