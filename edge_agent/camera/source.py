"""Source: the kind of a source, and the output of its program without credentials."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import unquote

from edge_agent.config.model import named_source
from edge_agent.config.redaction import shown_source
from edge_agent.errors import CameraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SourceKind: TypeAlias = Literal["device", "stream", "recording", "pictures", "pipe", "picamera2"]

_EXPECTED = "give a device such as /dev/video0, an rtsp:// or http:// address, a recording or a folder of pictures"
# Credentials in the arguments of a command: in an address, as name=value, or as the argument after an option.
_CREDENTIALS = re.compile(r"://([^\s'\"]*)@")
_NAMED_SECRET = re.compile(
    r"(?:user|user-id|user-pw|username|login|pass|passwd|password|pwd|token|key)=([^&\s'\"]+)", re.IGNORECASE
)
_SECRET_IN_TEXT = re.compile(r"(user(name)?|login|pass(word|wd)?|pwd|token|key)=[^\s'\"]*", re.IGNORECASE)
_SECRET_OPTION = re.compile(r"-{1,2}(?:u|user|username|pass|passwd|password|pwd|token|key|headers|H)", re.IGNORECASE)


def source_kind(source: str) -> SourceKind:
    """The kind of a source that the configuration has accepted.

    Raises:
        CameraError: no file of that name exists, or it is neither a device, a file nor a folder.
    """
    if (named := named_source(source)) is not None:
        return "picamera2" if named[0] == "picamera2" else "pipe"
    if "://" in source:
        return "stream"
    return "device" if source.isdecimal() else _kind_on_disk(source)


def without_secrets(text: str, *, command: Sequence[str]) -> str:
    """The output of a program without the credentials of its command line, and without any in addresses."""
    # The longest first: the user name may be part of the password.
    for secret in sorted(set(_secrets(command)), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _SECRET_IN_TEXT.sub("***", _CREDENTIALS.sub("://***@", text))


def _secrets(command: Sequence[str]) -> Iterator[str]:
    for before, argument in zip(("", *command), command, strict=False):
        found = [match[1] for match in (*_CREDENTIALS.finditer(argument), *_NAMED_SECRET.finditer(argument))]
        if _SECRET_OPTION.fullmatch(before):
            found.append(argument)
        for secret in found:
            # For user:password, both together and each part.
            parts = [secret, *secret.split(":", 1)] if ":" in secret else [secret]
            yield from (shown for part in parts for shown in (part, unquote(part)) if shown)


def _kind_on_disk(source: str) -> SourceKind:
    try:
        mode = Path(source).stat().st_mode
    except (OSError, ValueError) as error:
        # An unplugged camera has no device file: the error of opening it lists the existing devices.
        if source.startswith("/dev/"):
            return "device"
        reason = getattr(error, "strerror", None) or str(error)
        raise CameraError(f"{shown_source(source)}: {reason}; {_EXPECTED}") from error
    if stat.S_ISDIR(mode):
        return "pictures"
    if stat.S_ISREG(mode):
        return "recording"
    if stat.S_ISCHR(mode):
        return "device"
    raise CameraError(f"{shown_source(source)}: neither device, file nor folder; {_EXPECTED}")
