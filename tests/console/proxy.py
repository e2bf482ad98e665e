"""A small reverse proxy that serves the console below a path, with the headers of real proxies."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEAD_END = b"\r\n\r\n"
MAX_BYTES = 65_536


@contextmanager
def a_proxy(
    port: int,
    prefix: str,
    *,
    strips: bool = True,
    headers: Mapping[str, str] | None = None,
    is_on: threading.Event | None = None,
) -> Iterator[str]:
    """Serve the console at `port` below `prefix`, and nothing elsewhere; returns the address of the proxy.

    Real proxies differ in whether they strip the prefix (`strips`) and in the `headers` that they add. While `is_on` is
    not set, nothing passes and no connection is closed, as if the console's machine had lost its power.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=handle, args=(client,), daemon=True).start()

        def handle(client: socket.socket) -> None:
            with closing(client), suppress(OSError):
                head, _, rest = _head(client).partition(HEAD_END)
                line, *others = head.decode("latin-1").split("\r\n")
                method, path, version = line.split(" ")
                if not path.startswith(f"{prefix}/"):
                    client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                # One request per connection, except for WebSockets.
                is_socket = "upgrade: websocket" in head.decode("latin-1").lower()
                kept = [one for one in others if is_socket or not one.lower().startswith("connection:")]
                added = [f"{name}: {value}" for name, value in (headers or {}).items()]
                added += [] if is_socket else ["Connection: close"]
                line = f"{method} {path[len(prefix) :] if strips else path} {version}"
                with closing(socket.create_connection(("127.0.0.1", port))) as server:
                    server.sendall("\r\n".join([line, *kept, *added]).encode("latin-1") + HEAD_END + rest)
                    back = threading.Thread(target=_pipe, args=(server, client, is_on), daemon=True)
                    back.start()
                    _pipe(client, server, is_on)
                    back.join()

        threading.Thread(target=serve, daemon=True).start()
        yield address
        # Wakes the thread that accepts.
        listener.shutdown(socket.SHUT_RDWR)


def _head(client: socket.socket) -> bytes:
    content = b""
    while HEAD_END not in content and (more := client.recv(MAX_BYTES)):
        content += more
    return content


def _pipe(source: socket.socket, sink: socket.socket, is_on: threading.Event | None) -> None:
    with suppress(OSError):
        while content := source.recv(MAX_BYTES):
            if is_on is not None:
                is_on.wait()
            sink.sendall(content)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
