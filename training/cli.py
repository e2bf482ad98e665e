"""The command line: which command is it, and with which exit status does it end?"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING

from edge_agent.errors import AgentError
from training.commands import empty, explore, faces, masks, synthesise

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
FULL_DISK = 74  # EX_IOERR


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 78 a file or recipe to correct, 130 interrupted."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # TensorFlow tells its life at start; only its errors matter to a person.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return int(options.action(options))
    except AgentError as error:
        print(f"edge-train: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(
            f"edge-train: {error.filename or 'disk'}: {error.strerror}; make room or choose another folder",
            file=sys.stderr,
        )
        return FULL_DISK
    except KeyboardInterrupt:
        print("edge-train: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-train",
        description="Trains the models of maskwatch on a workstation.",
        epilog="example: edge-train masks training/recipes/masks.yaml && edge-convert release runs/masks",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (masks, faces, synthesise, empty, explore):
        command.add_to(commands)
    return parser
