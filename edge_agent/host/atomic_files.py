"""Atomic files: durable writes that survive a power loss completely or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Hidden, and without a suffix: a listing of the folder shows whole files only.
UNFINISHED = ".{name}.unfinished"


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file, or replace it; its folder is there.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    unfinished = path.with_name(UNFINISHED.format(name=path.name))
    try:
        # Left by a loss of power, or laid there by another user, as a link to a file of ours: never written into.
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def is_there(path: Path) -> bool:
    """Whether a file or folder exists; what cannot be seen is not taken for missing, as Python 3.14 takes it.

    Raises:
        OSError: a folder above is closed to the current user, the name is too long, or the disk fails.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def make_folder(folder: Path) -> None:
    """Make a folder with everything above it, unless it is there.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Bring names that were made in a folder to the disk: they are its content, not that of the files.

    Raises:
        OSError: the disk fails.
    """
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
