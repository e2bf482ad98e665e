"""Atomic files: durable writes that a power loss leaves complete or undone."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

# Hidden, and without the suffix of the complete file.
UNFINISHED = ".{name}.unfinished"

Inode: TypeAlias = "tuple[int, int]"


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Create or replace a file in an existing folder; `mode` are its permissions if the umask allows them.

    Raises:
        OSError: it cannot be written; the previous content is unchanged.
    """
    unfinished = path.with_name(UNFINISHED.format(name=path.name))
    try:
        # Left by a power loss, or a symbolic link that another user placed there: never write into it.
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
    """Whether a file or folder exists. Unlike Path.exists of Python 3.14, raises if that is unknown.

    Raises:
        OSError: a parent folder is not accessible, the name is too long, or the disk fails.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def inode_of(path: Path) -> Inode | None:
    """Device and inode of a file; None if it is missing or cannot be accessed."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def make_folder(folder: Path) -> None:
    """Create a folder durably, with missing parents; does nothing if it exists.

    Raises:
        OSError: it cannot be created.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder, which contains the names of its files, to disk.

    Raises:
        OSError: the disk fails.
    """
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
