"""Credentials: which file holds a secret: the copy that systemd gives to the process, or the configured file."""

from __future__ import annotations

import os
from pathlib import Path


def secret_file(credential: str, configured: Path | None) -> Path | None:
    """The unit's credential of this name, or the configured file if the unit has none or an empty one.

    So one configuration suits every process, and commands of root, which read the configured file.
    """
    handed = Path(os.environ.get("CREDENTIALS_DIRECTORY", ""), credential)
    return handed if handed.is_absolute() and handed.is_file() and handed.read_bytes().strip() else configured
