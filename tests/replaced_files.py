"""Files that are replaced the moment somebody has read them."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def replace_when_read(path: Path, *, then: bytes) -> None:
    """The first reader of the file gets its content; every other one gets the bytes `then`."""
    first = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    later = path.with_name(f"{path.name}.later")
    later.write_bytes(then)

    def serve() -> None:
        with path.open("wb") as pipe:
            pipe.write(first)
            # Before the reader sees the end.
            later.replace(path)

    threading.Thread(target=serve, daemon=True).start()
