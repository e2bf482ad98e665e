"""Command line of `edge-agent`: parser and exit status (sysexits.h)."""

from __future__ import annotations

import gc
import io
import logging
import os
import sys
import threading
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from edge_agent.command_line import run_command
from edge_agent.foreign_text import SafeArgumentParser
from edge_agent.host.systemd import log_handler
from edge_agent.host.threads import CAMERA_THREAD, WORKER_THREAD

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

COMMANDS = (
    "run",
    "console",
    "detect",
    "replay",
    "doctor",
    "bench",
    "config",
    "outbox",
    "alerts",
    "counts",
    "models",
    "rollout",
)
"""Modules of edge_agent.commands in the order of --help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    status = _run(arguments)
    # A caller that gives arguments goes on with its process.
    if arguments is None and any(
        thread.name.startswith((CAMERA_THREAD, WORKER_THREAD)) for thread in threading.enumerate()
    ):
        # A hanging camera or worker thread was abandoned. If its call returned during Python's shutdown, FFmpeg's
        # thread would abort the process; all our resources are closed by now.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _run(arguments: Sequence[str] | None) -> int:
    # Read when NumPy is imported: OpenBLAS threads would busy-wait and compete with the camera threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    given = sys.argv[1:] if arguments is None else arguments
    # Imported objects live until exit: collecting garbage among them takes a seventh of the startup time.
    gc.disable()
    try:
        parser = build_parser(_needed(given[0] if given else ""))
    finally:
        gc.enable()
    logging.basicConfig(level=logging.INFO, handlers=[log_handler()], force=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names need not be UTF-8, and the terminal's encoding may lack characters of a camera's name.
        sys.stdout.reconfigure(errors="backslashreplace")

    def action() -> int:
        options = parser.parse_args(given)
        return int(options.action(options))

    return run_command(action, program="edge-agent")


def _needed(first: str) -> Sequence[str]:
    """The commands to import for this first argument: importing all takes longer than running most of them."""
    if first in COMMANDS:
        return (first,)
    return () if first == "--version" else COMMANDS


def build_parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Describe these commands."""
    parser = SafeArgumentParser(
        prog="edge-agent",
        description="Detects missing face masks in camera streams and publishes alerts over MQTT.",
        epilog="example: edge-agent run --demo",
    )
    parser.add_argument("--version", action="version", version=f"maskwatch {version('maskwatch')}")
    # Of the options that commands share: see commands/options.py.
    parser.set_defaults(config=None, set=[], json=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        import_module(f"edge_agent.commands.{name}").add_to(commands)
    return parser
