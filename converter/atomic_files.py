"""Atomic files: writes a model and its card together, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from typing import TYPE_CHECKING

from edge_agent.errors import ConfigError
from edge_agent.host.atomic_files import sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


def check_writable(folder: Path) -> None:
    """Check that files can be written to a folder, which is created later, before minutes are spent on them.

    Raises:
        ConfigError: they cannot.
    """
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        problem = "cannot be written to" if above.is_dir() else "is not a folder"
        raise ConfigError(f"{folder}: {above} {problem}; make it writable, or choose another folder")


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

    Everything is written to temporary files and synced before the first rename. Copies of the previous files are kept
    until `verify`, which reads the new files, has returned.

    Raises:
        ConfigError: the folder cannot be written, or the disk is full.
    """
    new, previous = ({target: _hidden(target, kind) for target in files} for kind in ("new", "previous"))
    try:
        # Left in the opposite order: first the previous files are put back, unless all went well.
        with contextlib.ExitStack() as leftovers, contextlib.ExitStack() as reverted:
            for target, content in files.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                _remove_leftovers(target)
                leftovers.callback(_remove, new[target])
                _write_durably(new[target], content)
            for target in files:
                if target.is_file():
                    leftovers.callback(_remove, previous[target])
                    shutil.copy2(target, previous[target])
                    reverted.callback(previous[target].replace, target)
                else:
                    reverted.callback(_remove, target)
                new[target].replace(target)
            verify()
            reverted.pop_all()
        for folder in {target.parent for target in files}:
            sync_folder(folder)
    except OSError as error:
        what = error.strerror or str(error)
        folder = next(iter(files)).parent
        advice = "make room there" if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} else "make it writable"
        raise ConfigError(
            f"{folder}: nothing was written, what was there is unchanged: {what}; {advice}, or choose another folder"
        ) from error


def _hidden(target: Path, kind: str) -> Path:
    """A file beside the target that belongs to this process alone."""
    return target.with_name(f".{target.name}.{os.getpid()}.{kind}")


def _remove_leftovers(target: Path) -> None:
    """Remove the hidden files beside a target whose process was killed."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.(new|previous)")
    for path in target.parent.iterdir():
        process = pattern.fullmatch(path.name)
        if process and not _is_running(int(process[1])):
            _remove(path)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Of another user.
        pass
    return True


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
