"""Command line: commands with their help, exit status (sysexits.h), error messages and progress."""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

from edge_agent.errors import AgentError, OutputError
from edge_agent.foreign_text import safe_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item")

INTERRUPTED = 130
"""What shells report for Ctrl-C."""
BUG = 70
"""EX_SOFTWARE of sysexits.h: distinguishes a bug from bad input, which exits with 1."""
QUIET_SECONDS = 2.0
REDRAW_SECONDS = 0.2

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


def number(*, least: float, most: float = math.inf, kind: type[int] | type[float] = float) -> Callable[[str], float]:
    """The type of an option: a number from `least` to `most`, whole with the `kind` int."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most or math.isinf(value):
            noun = "a whole number" if kind is int else "a number"
            up_to = "or more" if most == math.inf else f"to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is not {noun}, {least} {up_to}")
        return value

    return read


class _Stdout:
    """Stdout whose failures differ from those of the files that a command works with."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write to it, as `TextIO`."""
        return self._tried(self._stream.write, text)

    def flush(self) -> None:
        """Flush it, as `TextIO`."""
        self._tried(self._stream.flush)

    def _tried(self, act: Callable[..., Item], *arguments: str) -> Item:
        try:
            return act(*arguments)
        except OSError as error:
            # What it still holds would fail again at the end of the interpreter.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if isinstance(error, BrokenPipeError):
                raise
            raise OutputError(f"stdout: {error.strerror}; make room, or redirect it elsewhere") from error

    def __getattr__(self, name: str) -> Any:
        """Whatever else it has, such as `isatty`."""
        return getattr(self._stream, name)


def run_command(action: Callable[[], int], *, program: str) -> int:
    """Run a command and return its exit status; an error is one sentence on stderr, a bug is logged."""
    try:
        # None if the caller has closed it: then nothing is printed.
        stdout = sys.stdout and cast("TextIO", _Stdout(sys.stdout))
        with contextlib.redirect_stdout(stdout):
            try:
                return int(action())
            finally:
                # A pipe that its reader has closed fails here, and not at the end of the interpreter.
                if stdout:
                    stdout.flush()
    except AgentError as error:
        sys.stderr.write(safe_lines(f"{program}: {error}") + "\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe, such as `| head`, has closed it.
        return 0
    except Exception:
        log.exception("%s failed; please report this", program)
        return BUG


def with_progress(items: Sequence[Item], *, unit: str) -> Iterator[Item]:
    """Iterate; shows the progress on a terminal after QUIET_SECONDS."""
    began = shown = time.monotonic()
    for number, item in enumerate(items, 1):
        now = time.monotonic()
        if now - began > QUIET_SECONDS and now - shown > REDRAW_SECONDS:
            shown = now
            left = (now - began) / number * (len(items) - number)
            show_step(f"{number} of {len(items)} {unit}, {left:.0f} s left ")
        yield item
    if shown != began:
        show_step("")


def show_step(text: str) -> None:
    """Show what is being done on a terminal, in place of the last step; empty: nothing any more."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
