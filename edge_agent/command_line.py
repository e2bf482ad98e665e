"""Command line: commands with their help, exit status (sysexits.h) and error messages."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from edge_agent.errors import AgentError
from edge_agent.foreign_text import safe_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

INTERRUPTED = 130
"""What shells report for Ctrl-C."""
BUG = 70
"""EX_SOFTWARE of sysexits.h: distinguishes a bug from bad input, which exits with 1."""

log = logging.getLogger(__name__)


def add_command(
    commands: Any, name: str, action: Callable[..., Any], *, summary: str, example: str, about: str = ""
) -> argparse.ArgumentParser:
    """Add a command; its `--help` contains `about`, or else the summary, and ends with the example."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=about or f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example: {example}",
    )
    parser.set_defaults(action=action)
    return parser


def run_command(action: Callable[[], int], *, program: str) -> int:
    """Run a command and return its exit status; an error is one sentence on stderr, a bug is logged."""
    try:
        return int(action())
    except AgentError as error:
        sys.stderr.write(safe_lines(f"{program}: {error}") + "\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe, such as `| head`, has closed it; nothing more may be flushed into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        log.exception("%s failed; please report this", program)
        return BUG
