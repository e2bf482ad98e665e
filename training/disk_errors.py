"""Disk errors: what to do about files that a workstation command cannot read or write."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_OF_THE_PATH = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


@contextlib.contextmanager
def disk_errors_as_config_errors() -> Iterator[None]:
    """Convert errors of the disk into one sentence with a remedy.

    Raises:
        ConfigError: in place of an OSError, other than that of a closed pipe.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        # Errors of HDF5 have a message, but neither file name nor errno.
        where, what = error.filename or "disk", error.strerror or str(error)
        advice = "correct the path" if error.errno in _OF_THE_PATH else "make room, or choose another folder"
        raise ConfigError(f"{where}: {what}; {advice}") from error
