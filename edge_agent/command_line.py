"""Command line: exit status (sysexits.h) and error messages of a command."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from edge_agent.errors import AgentError
from edge_agent.foreign_text import safe_lines

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130
"""What shells report for Ctrl-C."""
BUG = 70
"""EX_SOFTWARE of sysexits.h: distinguishes a bug from bad input, which exits with 1."""

log = logging.getLogger(__name__)


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
