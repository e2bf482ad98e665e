"""Command line of `edge-convert`: parser and exit status (sysexits.h, or 3 for a failed accuracy check)."""

from __future__ import annotations

import contextlib
import signal
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from converter.commands import bench, calibrate, card, convert, evaluate, inspect, release, sizes
from converter.progress import show_progress
from edge_agent.command_line import run_command
from edge_agent.foreign_text import SafeArgumentParser
from training.disk_errors import disk_errors_as_config_errors

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from types import FrameType

ENDED_BY_SIGNAL = 128
"""What shells add to the number of the signal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""

    def action() -> int:
        options = build_parser().parse_args(arguments)
        with ended_in_order(), show_progress("working"), disk_errors_as_config_errors():
            return int(options.action(options))

    return run_command(action, program="edge-convert")


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """End a command at SIGTERM or SIGHUP as at Ctrl-C: temporary files are removed, and processes of its own ended.

    Signals that the caller ignores, as `nohup` does, stay ignored.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        sys.exit(ENDED_BY_SIGNAL + number)

    ends = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in ends:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ends:
            signal.signal(number, signal.SIG_DFL)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = SafeArgumentParser(
        prog="edge-convert",
        description="Converts mask classifiers and face detectors to TFLite models with cards, and evaluates them.",
        epilog="example: edge-convert convert mask_detector.model --labels with_mask,without_mask "
        "--calibration faces/ --output models/",
    )
    parser.add_argument("--version", action="version", version=f"maskwatch {version('maskwatch')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (convert, card, evaluate, calibrate, inspect, bench, sizes, release):
        command.add_to(commands)
    return parser
