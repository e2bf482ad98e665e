"""Source: what kind of camera does a source name, and how may it be shown?"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Literal, TypeAlias

from edge_agent.config import STREAM_SCHEMES
from edge_agent.errors import CameraError

SourceKind: TypeAlias = Literal["device", "stream", "recording", "pictures"]

_EXPECTED = "give a device such as /dev/video0, an rtsp:// or http:// address, a recording or a folder of pictures"
# Some cameras want the password in the path (rtsp://host/user=admin_password=x_channel=1.sdp).
_SECRET_IN_PATH = re.compile(r"(user(name)?|login|pass(word|wd)?|pwd|token|key)=.*", re.IGNORECASE)


def source_kind(source: str) -> SourceKind:
    """Tell devices, network addresses, recordings and folders of pictures apart.

    Raises:
        CameraError: it is none of them, or nothing of that name exists.
    """
    scheme, mark, _ = source.partition("://")
    if mark:
        if scheme.lower() in STREAM_SCHEMES:
            return "stream"
        known = ", ".join(f"{scheme}://" for scheme in STREAM_SCHEMES)
        raise CameraError(f"{shown_source(source)}: unknown kind of address; known are {known}")
    return "device" if source.isdecimal() else _kind_on_disk(source)


def shown_source(source: str) -> str:
    """Return the source as messages and logs may hold it: without user, password and query."""
    # Also of an address whose slashes or scheme were forgotten.
    beginning = re.match(r"[A-Za-z0-9+.-]+:(//)?", source)
    if beginning is None:
        return source
    # Up to the last @, for a password may itself hold an unescaped @ or /.
    _, credentials, place = source[beginning.end() :].rpartition("@")
    shown = re.split(r"[?#]", place, maxsplit=1)[0]
    return f"{beginning[0]}{'***@' if credentials else ''}{_SECRET_IN_PATH.sub('***', shown)}"


def _kind_on_disk(source: str) -> SourceKind:
    try:
        mode = Path(source).stat().st_mode
    except (OSError, ValueError) as error:
        # A camera that is unplugged has no device: whoever opens it knows which others there are.
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
