"""The command line: which command is it, and with which exit status (sysexits.h, or 3 for a gate) does it end?"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from converter.commands import bench, calibrate, card, convert, evaluate, inspect, release, sizes
from converter.progress import shown
from edge_agent.errors import AgentError
from edge_agent.foreign_text import SafeArgumentParser, safe_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

INTERRUPTED = 130
"""What shells report for Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = build_parser().parse_args(arguments)
    try:
        with shown("working"):
            return int(options.action(options))
    except AgentError as error:
        print(safe_lines(f"edge-convert: {error}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe, such as `| head`, has seen enough; nothing more may be flushed into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> argparse.ArgumentParser:
    """Describe every command."""
    parser = SafeArgumentParser(
        prog="edge-convert",
        description="Turns mask classifiers and face detectors into TFLite models with their cards, and judges them.",
        epilog="example: edge-convert convert mask_detector.model --labels with_mask,without_mask "
        "--calibration faces/ --output models/",
    )
    parser.add_argument("--version", action="version", version=f"maskwatch {version('maskwatch')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (convert, card, evaluate, calibrate, inspect, bench, sizes, release):
        command.add_to(commands)
    return parser
