"""Foreign text: how is what somebody else has written shown in a log or on a terminal, without their writing there?"""

from __future__ import annotations

import logging
from typing import Any


def safe(text: str) -> str:
    """Give the text on one line, with everything escaped that is no character to be seen.

    Line ends would forge lines of a log, escape sequences drive a terminal, and marks of direction make one name look
    like another; surrogates are what is left of bytes that are no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def safe_lines(text: str) -> str:
    """The same for a text of several lines, of which all but the first are indented: none looks like a first one."""
    first, *others = [safe(line) for line in text.split("\n")]
    return "\n".join([first, *(line if line.startswith("  ") or not line else f"  {line}" for line in others)])


class SafeFormatter(logging.Formatter):
    """Every message is one line of characters that can be seen, whatever names are in it; a traceback is indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's own name)
        """Give the line."""
        return safe(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  (logging's own name)
        """Give the traceback, in which an error's own message may hold anything."""
        return "\n".join(f"  {safe(line)}" for line in super().formatException(ei).split("\n"))


class SafeReportFormatter(SafeFormatter):
    """The same for messages that are whole reports: their lines stay, so that names in them have to be safe before."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's own name)
        """Give the lines."""
        return "\n".join(map(safe, logging.Formatter.formatMessage(self, record).split("\n")))
