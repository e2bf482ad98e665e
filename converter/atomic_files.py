"""Atomic files: writes a model and its card together, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from typing import TYPE_CHECKING

from edge_agent.errors import ConfigError
from edge_agent.host.atomic_files import sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


def check_no_overwrite(targets: Iterable[Path]) -> None:
    """Check that no target exists.

    Raises:
        ConfigError: a file exists.
    """
    existing = [str(path) for path in targets if path.exists()]
    if existing:
        raise ConfigError(f"{', '.join(existing)}: exists already; --overwrite replaces it, --name writes another")


def write_atomically(files: Mapping[Path, bytes], *, verify: Callable[[], None] = lambda: None) -> None:
    """Replace all files, or leave all previous ones untouched.

    Everything is written to temporary files and synced before the first rename. Previous files are kept as `.bak`
    until `verify`, which reads the new files, has returned.

    Raises:
        ConfigError: the folder cannot be written, or the disk is full.
    """
    temporary = {target: target.with_name(f".{target.name}.{os.getpid()}.part") for target in files}
    try:
        for target, content in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_durably(temporary[target], content)
        _rename_all(temporary, verify)
    except OSError as error:
        what = error.strerror or str(error)
        folder = next(iter(files)).parent
        advice = "make room there" if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} else "make it writable"
        raise ConfigError(
            f"{folder}: nothing was written, what was there is unchanged: {what}; {advice}, or choose another folder"
        ) from error
    finally:
        for temporary_path in temporary.values():
            with contextlib.suppress(OSError):
                temporary_path.unlink(missing_ok=True)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _rename_all(temporary: Mapping[Path, Path], verify: Callable[[], None]) -> None:
    """Rename all temporary files; if a rename or the verification fails, all renames are reverted."""
    previous = {target: target.with_name(f"{target.name}.bak") for target in temporary}
    done: list[Path] = []
    try:
        for target in temporary:
            if target.is_file():
                shutil.copy2(target, previous[target])
        for target, temporary_path in temporary.items():
            temporary_path.replace(target)
            done.append(target)
        verify()
    except BaseException:
        for target in done:
            _restore(target, previous[target])
        raise
    finally:
        for copy in previous.values():
            copy.unlink(missing_ok=True)
    for folder in {target.parent for target in temporary}:
        sync_folder(folder)


def _restore(target: Path, previous: Path) -> None:
    if previous.is_file():
        previous.replace(target)
    else:
        target.unlink()
