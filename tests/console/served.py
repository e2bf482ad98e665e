"""A console for tests: a real server on a free port, a real store, real models, and a bridge to a fake agent."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import cv2
import httpx
import websockets.sync.client

from edge_agent.alerts.database import history_entry
from edge_agent.alerts.deletion import delete_alert
from edge_agent.alerts.history import AlertHistory
from edge_agent.alerts.store import AlertStore
from edge_agent.alerts.timeline import Timeline, TimelinePoint
from edge_agent.bridge.protocol import SOCKET_NAME
from edge_agent.bridge.server import Bridge
from edge_agent.config.model import Config
from edge_agent.console.app import serve
from edge_agent.domain import Frame, Nearest, Outcome
from edge_agent.errors import CommandError
from edge_agent.messages.alert import AlertMessage
from edge_agent.messages.command import read_command
from edge_agent.messages.ids import uuid7
from edge_agent.metrics import Metrics
from edge_agent.wiring import open_models
from tests.faces import HOPPER, portrait
from tests.journeys.agent import wait_until
from tests.mosquitto import free_port
from tests.values import NOON, VERSIONS, a_face, a_reading, a_status, a_track, a_verdict, an_alert

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from websockets.sync.client import ClientConnection

    from edge_agent.bridge.server import Command
    from edge_agent.domain import Image

PASSWORD, TOKEN = "correct horse battery", "staple-of-a-program"
AGENT_SECONDS = 0.01
TIMEOUT_SECONDS = 60.0
"""Timeout for a busy machine."""
BOOT_ID = "00000000-0000-4000-8000-000000000000"


class Served:
    """A running console, with threads in place of the agent."""

    def __init__(self, config: Config, bridge: Bridge, store: AlertStore) -> None:
        """`state` and `reason` are the result of commands; `is_silent` makes the detection loop hang."""
        self.config, self.bridge, self.store = config, bridge, store
        self.commands: list[Command] = []
        self.status = a_status()
        self.state, self.reason = "done", ""
        self.is_silent = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play_the_agent)
        self._thread.start()

    @property
    def url(self) -> str:
        settings = self.config.console
        return f"{'https' if settings.cert_file else 'http'}://127.0.0.1:{settings.port}"

    def client(self, *, token: str = "", **options: Any) -> httpx.Client:
        """An HTTP client like that of a program."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_SECONDS, **options)

    def show(
        self, image: Image, *, camera: str = "door", at: float = 0.0, index: int = 0, outcome: Outcome | None = None
    ) -> None:
        """Make a camera show this."""
        self.bridge.frames.record(Frame(camera, index, image, at, NOON), outcome or one_bare_person())

    def keep_alert(
        self,
        *,
        camera: str = "door",
        crop: bytes | None = None,
        scene: bytes | None = None,
        is_pending: bool = False,
    ) -> str:
        """Store an alert in the history, with these pictures, acknowledged by the broker or not."""
        alert_id = uuid7(datetime.now(timezone.utc))
        picture: dict[str, Any] = {"crop": None, "crop_error": "no picture is kept"}
        if crop is not None:
            folder = self.config.crops_folder
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{alert_id}.jpg").write_bytes(crop)
            picture = {"crop": {"file": str(folder / f"{alert_id}.jpg"), "sha256": "0" * 64, "bytes": len(crop)}}
        if scene is not None:
            (self.config.crops_folder / f"{alert_id}.scene.jpg").write_bytes(scene)
        points = (
            TimelinePoint(-0.5, 1.5, "without_mask", 0.9, 0.8),
            TimelinePoint(0.0, 7.0, "without_mask", 0.99, 1.0),
        )
        message = self._alert(alert_id, camera=camera, picture=picture)
        timeline = Timeline(points, 6.8, -2.3, (10, 10, 60, 70))
        self.store.put(message, history_entry(message, timeline, now=datetime.now(timezone.utc)))
        if not is_pending:
            self.store.remove(alert_id)
        return alert_id

    def close(self) -> None:
        """Stop the fake agent."""
        self._stop.set()
        self._thread.join()

    def _alert(self, alert_id: str, *, camera: str, picture: dict[str, Any]) -> AlertMessage:
        when = datetime.now(timezone.utc)
        return AlertMessage(
            id=alert_id,
            device="test",
            boot_id=BOOT_ID,
            sequence=self.store.next_sequence("alert"),
            camera=camera,
            label="without_mask",
            score=0.98,
            readings=9,
            suppressed=0,
            first_seen=when,
            when=when,
            clock_synchronised=True,
            box=(10, 20, 60, 80),
            frame_size=(640, 360),
            model={"name": "masks", "sha256": "0" * 64},
            **picture,
        )

    def _play_the_agent(self) -> None:
        while not self._stop.wait(AGENT_SECONDS):
            if self.is_silent:
                continue
            for command in self.bridge.commands():
                self.commands.append(command)
                command.answer(self._result(command))
            if self.bridge.wants_status:
                self.bridge.update_status(self.status)

    def _result(self, command: Command) -> dict[str, Any]:
        state, reason = self.state, self.reason
        try:
            read_command(command.name, command.payload)
        except CommandError as error:
            state, reason = "refused", str(error)
        return {
            "schema": "maskwatch.result/1",
            "device": "test",
            "command": command.name,
            "id": "",
            "state": state,
            "reason": reason,
            "result": {},
            "when": "2026-03-01T12:00:00.000Z",
        }


def a_config(
    folder: Path,
    *,
    display: dict[str, Any] | None = None,
    titles: tuple[str, str] = ("", ""),
    rules: dict[str, Any] | None = None,
    **settings: Any,
) -> Config:
    """A device with two cameras; `settings` and `display` are keys of the sections `console` and `display`.

    `titles` are the titles of the device and of its camera `door`, `rules` the rules of that camera.
    """
    return Config.model_validate(
        {
            "device": {"id": "test", "title": titles[0]},
            "state_dir": str(folder / "state"),
            "cameras": {
                "door": {"source": "door.mp4", "title": titles[1], "rules": rules or {}},
                "back": {"source": "back.mp4"},
            },
            "console": {"port": free_port(), "max_requests_per_second": 10_000.0, **settings},
            "display": display or {},
        }
    )


@contextmanager
def a_bridge(config: Config) -> Iterator[Bridge]:
    """The agent's side of the local socket."""
    config.state.mkdir(parents=True, exist_ok=True)
    history = AlertHistory(config.store_file)
    bridge = Bridge(
        config.state / SOCKET_NAME,
        metrics=Metrics(config.cameras),
        versions=VERSIONS,
        review=history.review,
        delete=lambda alert_id: delete_alert(
            alert_id, history=history, crops_folder=config.crops_folder, publishes_crops=True
        ),
    )
    bridge.start()
    # Otherwise a console that sends requests earlier finds no agent.
    wait_until((config.state / SOCKET_NAME).exists, "the socket")
    try:
        yield bridge
    finally:
        bridge.close()


@contextmanager
def a_console(config: Config) -> Iterator[None]:
    """The console itself, on an event loop in a thread."""
    failed: list[BaseException] = []
    is_up = threading.Event()
    loop_and_end: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        end = asyncio.Event()
        loop_and_end.append((asyncio.get_running_loop(), end))
        await serve(config, open_models=lambda: open_models(config), end=end, listening=is_up.set)

    def work() -> None:
        try:
            asyncio.run(run())
        except Exception as error:  # noqa: BLE001  (any exception is passed on to the test)
            failed.append(error)
        finally:
            is_up.set()

    thread = threading.Thread(target=work, name="console")
    thread.start()
    assert is_up.wait(TIMEOUT_SECONDS)
    try:
        if failed:
            raise failed[0]
        yield
    finally:
        if loop_and_end and thread.is_alive():
            loop, end = loop_and_end[0]
            # After a failure it may be closed before its thread has ended.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(end.set)
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[Served]:
    """Open a console on loopback with a fake agent; `settings` are keys of its section."""
    config = a_config(folder, **settings)
    with closing(AlertStore(config.store_file, boot_id=BOOT_ID)) as store, a_bridge(config) as bridge:
        kept = Served(config, bridge, store)
        try:
            with a_console(config):
                yield kept
        finally:
            kept.close()


def secret_files(folder: Path) -> dict[str, str]:
    """Settings with a password and a token."""
    (folder / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    (folder / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    return {"password_file": str(folder / "password"), "token_file": str(folder / "token")}


def connect(address: str, **options: Any) -> ClientConnection:
    """Open a WebSocket."""
    return websockets.sync.client.connect(address, **{"open_timeout": TIMEOUT_SECONDS, **options})


def jpeg(image: Image | None = None) -> bytes:
    """A photograph with a bare face."""
    done, content = cv2.imencode(".jpg", portrait(HOPPER) if image is None else image)
    assert done
    return content.tobytes()


def at_the_door(nearest: Nearest | None) -> Outcome:
    """The outcome of a frame in which this person is nearest."""
    return replace(one_bare_person(), nearest=nearest)


def one_bare_person(*, analysed: bool = True) -> Outcome:
    """The outcome of a frame with one person without a mask."""
    track = a_track(7, face=a_face(100.0, 60.0))
    reading = a_reading("without_mask", 0.93, track=track)
    verdict = a_verdict("violation", track=track)
    stages = {"motion": 0.001, "faces": 0.02, "masks": 0.003, "decision": 0.0001}
    if not analysed:
        return Outcome(analysed, (), (), (), (), (), stages)
    return Outcome(analysed, (track,), (reading,), (verdict,), (an_alert(track=track),), (), stages)
