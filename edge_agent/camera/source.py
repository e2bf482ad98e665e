"""Source: the kind of a source."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal, TypeAlias

from edge_agent.config.model import named_source
from edge_agent.config.redaction import shown_source
from edge_agent.errors import CameraError

SourceKind: TypeAlias = Literal["device", "stream", "recording", "pictures", "pipe", "picamera2"]

_EXPECTED = "give a device such as /dev/video0, an rtsp:// or http:// address, a recording or a folder of pictures"


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
