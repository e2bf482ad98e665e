"""Cameras in tests: read the next picture of a camera, and serve recordings over HTTP."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.camera import Camera


def next_picture(camera: Camera) -> Any:
    """Wait for the next picture and convert it; None at the end."""
    return camera.retrieve() if camera.grab() else None


@contextmanager
def serving_files(folder: Path) -> Iterator[str]:
    """A web server without ranges, and its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
