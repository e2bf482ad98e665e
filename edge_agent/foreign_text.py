"""Foreign text: escapes untrusted text for logs and terminals."""

from __future__ import annotations

import argparse
import logging
import re
from typing import Any, NoReturn

# An address, also where a path has made one slash of two; `user:password` is what our own messages show as an example.
_ADDRESS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*:/(?:/|(?!/)))(?!user:password@)([^\s'\"]+)")
# Some cameras want the password in the path (rtsp://host/user=admin_password=x_channel=1.sdp).
_SECRET_IN_PATH = re.compile(r"(user(name)?|login|pass(word|wd)?|pwd|token|key)=.*", re.IGNORECASE)


def without_credentials(place: str) -> str:
    """Give what follows the scheme of an address without user, password and query."""
    # Up to the last @, for a password may itself hold an unescaped @ or /.
    _, credentials, place = place.rpartition("@")
    shown = re.split(r"[?#]", place, maxsplit=1)[0]
    return f"{'***@' if credentials else ''}{_SECRET_IN_PATH.sub('***', shown)}"


def safe(text: str) -> str:
    """Give the text on one line: what is no character to be seen is escaped, and addresses are without secrets.

    Line ends would forge lines of a log, escape sequences drive a terminal, and marks of direction make one name look
    like another; surrogates are what is left of bytes that are no UTF-8. An address may stand where the name of a file
    was wanted.
    """
    text = _ADDRESS.sub(lambda found: f"{found[1]}{without_credentials(found[2])}", text)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def safe_lines(text: str) -> str:
    """The same for a text of several lines, of which all but the first are indented: none looks like a first one."""
    first, *others = [safe(line) for line in text.split("\n")]
    return "\n".join([first, *(line if line.startswith("  ") or not line else f"  {line}" for line in others)])


class SafeArgumentParser(argparse.ArgumentParser):
    """A command line, and its commands, whose mistakes are shown so: a shell may have put names of files into it."""

    def error(self, message: str) -> NoReturn:
        """Show the mistake and end the program."""
        super().error(safe_lines(message))


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
