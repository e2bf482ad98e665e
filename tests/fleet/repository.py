"""A model repository with its signers, a web server that serves it, and devices that follow it."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from edge_agent.errors import UnavailableError
from edge_agent.rollout import repository as client
from fleet.rollout.keys import read_public_key, read_signer
from fleet.rollout.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from securesystemslib.signer import CryptoSigner

    from edge_agent.messages.rollout import Progress

PEOPLE = ("root-1", "root-2", "root-3", "models-1", "models-2", "models-3", "online", "stolen", "new")


class Server:
    """Serves a folder, or the answer that a test sets instead."""

    def __init__(self) -> None:
        self.folder: Path
        self.answer: Callable[[str], bytes | None] = lambda _: None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                file = server.folder / self.path.lstrip("/")
                content = server.answer(self.path)
                if content is None and not file.is_file():
                    self.send_error(404)
                    return
                self.send_response(200)
                self.end_headers()
                self.wfile.write(file.read_bytes() if content is None else content)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Fleet:
    """A repository with its signers, and a device that follows it."""

    def __init__(self, folder: Path, keys: Path, server: Server) -> None:
        self.repository, self.keys, self.server, self.folder = Repository(folder / "repository"), keys, server, folder
        server.folder, server.answer = folder / "repository", lambda _: None
        self.now = datetime.now(timezone.utc).replace(microsecond=0)
        self.repository.create(
            root_keys=[read_public_key(keys / f"root-{number}.pub") for number in (1, 2, 3)],
            target_keys=[read_public_key(keys / f"models-{number}.pub") for number in (1, 2, 3)],
            online_key=self.signer("online").public_key,
            when=self.now,
        )
        self.sign("root-1", "root-2", "models-1", "models-2")
        self.publish()
        self.root = self.repository.root_bytes()

    def signer(self, name: str) -> CryptoSigner:
        return read_signer(self.keys / name)

    def sign(self, *names: str) -> None:
        for name in names:
            self.repository.sign(self.signer(name))

    def publish(self) -> None:
        self.repository.publish(self.signer("online"), when=self.now)

    def assign(self, model: str | None, *, group: str = "default", named: tuple[str, ...] = ("hall-1",)) -> None:
        content = None if model is None else (model, model.encode() * 100, b"{}")
        self.repository.stage_assignment(group, model=content, minimum_version="0.1.0", named=named, when=self.now)

    def assign_signed(self, model: str | None) -> None:
        self.assign(model)
        self.sign("models-1", "models-3")
        self.publish()

    def advance(self, progress: Progress) -> None:
        before = self.repository.stages().groups["default"]
        assert self.repository.advance(self.signer("online"), "default", before=before, after=progress, when=self.now)

    def device(self, name: str = "device") -> client.Repository:
        """The repository as seen by a device, which keeps its metadata between calls."""
        return client.Repository(self.server.url, folder=self.folder / name, root=self.root)

    def rejection(self) -> str:
        """The error with which a device rejects the repository."""
        with pytest.raises(UnavailableError) as why:
            self.device().assignments()
        return str(why.value)

    def metadata(self, name: str) -> Path:
        return self.repository.folder / "metadata" / name
