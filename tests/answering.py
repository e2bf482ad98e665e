"""A server that answers each request with given bytes, as a broken or hostile one does."""

from __future__ import annotations

import socketserver
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@contextmanager
def answering(parts: Iterable[bytes], *, pause_seconds: float = 0.0) -> Iterator[str]:
    """Answer each request with these bytes, part by part; yields the URL."""
    answer = tuple(parts)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            with suppress(OSError):
                for part in answer:
                    self.request.sendall(part)
                    time.sleep(pause_seconds)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
