"""Foreign text: escapes untrusted text, and masks secrets, for logs and terminals."""

from __future__ import annotations

import argparse
import logging
import re
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "***"
"""Stands in for a secret."""
USERINFO = re.compile(r"://([^\s'\"]*)@")
"""User and password in an address, up to the last @, because a password may contain one."""
NAMED_SECRET = re.compile(
    r"(?<![a-z])((?:user(?:name|-id|-pw)?|login|pass(?:word|wd)?|pwd|token|secret|(?:api_?)?key|auth)\s*[=:]\s*)"
    r"([^\s&,;'\"]+)",
    re.IGNORECASE,
)
"""name=value in queries, command lines and logs, by the usual names of secrets."""
# An address, also after normalisation as a path to a single slash; `user:password` is the example in our own messages.
_ADDRESS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*:/(?:/|(?!/)))(?!user:password@)([^\s'\"]+)")
# Some cameras require the password in the path (rtsp://host/user=admin_password=x_channel=1.sdp).
_SECRET_IN_PATH = re.compile(r"(user(name)?|login|pass(word|wd)?|pwd|token|key)=.*", re.IGNORECASE)

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
MAX_WORDS, MAX_CHARACTERS = 4, 15
"""Of a part of a path between marks: h264Preview has three words, a hex or base64 token many."""


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace these secrets, and what addresses and the usual names of secrets reveal, by MASK."""
    # Addresses first, as they reveal where a password ends; then the longest secret, as one may be part of another.
    text = USERINFO.sub(f"://{MASK}@", text)
    text = _ADDRESS.sub(lambda found: f"{found[1]}{_without_tokens(found[2])}", text)
    for secret in sorted(set(secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return NAMED_SECRET.sub(rf"\1{MASK}", text)


def without_credentials(place: str) -> str:
    """The part of an address after its scheme, without user, password, query and tokens in the path."""
    # Up to the last @, because a password may contain an unescaped @ or /.
    _, credentials, place = place.rpartition("@")
    shown = re.split(r"[?#]", place, maxsplit=1)[0]
    return f"{f'{MASK}@' if credentials else ''}{_without_tokens(_SECRET_IN_PATH.sub(MASK, shown))}"


def tokens_in(text: str) -> set[str]:
    """The parts of paths of the addresses in a text that look like tokens."""
    return {part for found in _ADDRESS.finditer(text) for part in re.split(r"[/?#]", found[2])[1:] if _is_token(part)}


def _without_tokens(place: str) -> str:
    host, *path = place.split("/")
    return "/".join([host, *(MASK if _is_token(part) else part for part in path)])


def _is_token(part: str) -> bool:
    """Whether a part of a path cannot be a name that a person chose; some cameras are opened by such a token alone."""
    pieces = re.split(r"[^A-Za-z0-9]", part)
    return any(len(piece) > MAX_CHARACTERS or len(_WORDS.findall(piece)) > MAX_WORDS for piece in pieces)


def safe(text: str) -> str:
    """The text on one line, with non-printable characters escaped and secrets removed from addresses.

    Newlines could forge log lines, escape sequences could control a terminal, and direction marks could make one name
    look like another; surrogates represent bytes that are not UTF-8. An address may be given where a file name is
    expected.
    """
    text = _ADDRESS.sub(lambda found: f"{found[1]}{without_credentials(found[2])}", text)
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode("ascii") for mark in text)


def safe_lines(text: str) -> str:
    """The same for several lines; all but the first are indented, so that none can imitate a log line."""
    first, *others = [safe(line) for line in text.split("\n")]
    return "\n".join([first, *(line if line.startswith("  ") or not line else f"  {line}" for line in others)])


class SafeArgumentParser(argparse.ArgumentParser):
    """An argument parser that escapes its error messages: a shell may have expanded file names into them."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit."""
        super().error(safe_lines(message))


class SafeFormatter(logging.Formatter):
    """Formats every message as one printable line; tracebacks are indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's own name)
        """Format the record as one line."""
        return safe(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  (logging's own name)
        """Format the traceback, which may contain untrusted text."""
        return "\n".join(f"  {safe(line)}" for line in super().formatException(ei).split("\n"))


class SafeReportFormatter(SafeFormatter):
    """The same for multi-line reports: line breaks are kept, so names in them must already be escaped."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's own name)
        """Format the record, keeping its lines."""
        return "\n".join(map(safe, logging.Formatter.formatMessage(self, record).split("\n")))
