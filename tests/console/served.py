"""A console for tests: a real server on a free port with a real store and real models, and whoever plays the agent."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import cv2
import httpx

from edge_agent.alerts.database import history_entry
from edge_agent.alerts.store import AlertStore
from edge_agent.alerts.timeline import Timeline, TimelinePoint
from edge_agent.config import Config
from edge_agent.console import open_console
from edge_agent.domain import Frame, Outcome
from edge_agent.errors import CommandError
from edge_agent.messages.alert import AlertMessage
from edge_agent.messages.command import read_command
from edge_agent.messages.ids import uuid7
from edge_agent.wiring import open_eyes
from tests.faces import HOPPER, portrait
from tests.mosquitto import free_port
from tests.values import NOON, a_face, a_reading, a_track, a_verdict, an_alert

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.console import Asked, Console
    from edge_agent.domain import Image

PASSWORD, TOKEN = "correct horse battery", "staple-of-a-program"
AGENT_SECONDS = 0.01
VERSIONS = {"maskwatch": "0.1.0", "model": "masks", "runtime": "litert", "python": "3"}
OVERVIEW: dict[str, Any] = {
    "device": "test",
    "status": "degraded",
    "reasons": [{"code": "camera_away", "text": "camera back: unplugged"}],
    "paused": [],
    "cameras": [
        {
            "name": name,
            "is_open": name == "door",
            "reason": "" if name == "door" else "unplugged",
            "faults": [],
            "frames": 12,
            "dropped": 3,
            "reopened": 0,
            "frames_per_second": 9.5,
            "frame_size": [640, 360],
            "paused": False,
        }
        for name in ("door", "back")
    ],
    "delivery": {"connected": False, "reason": "no broker", "waiting": 2},
    "telemetry": {
        "uptime_seconds": 7,
        "alerts_today": 1,
        "outbox": {"rows": 2, "bytes": 900, "dropped": {"alert": 0, "resolved": 0, "telemetry": 0}, "sent": 0},
        "machine": {"temperature_celsius": 51.5, "throttling": [], "disk_free_bytes": 10**9, "memory_bytes": 10**8},
    },
    "is_watching": True,
    "is_ready": True,
}


class Served:
    """A console that is open, and the thread that plays the agent."""

    def __init__(self, console: Console, config: Config, store: AlertStore) -> None:
        """`answers` says what becomes of commands; `is_silent` makes the agent hang."""
        self.console, self.config, self.store = console, config, store
        self.commands: list[Asked] = []
        self.overview = dict(OVERVIEW)
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
        """Ask it as a program does."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, **options)

    def show(
        self, image: Image, *, camera: str = "door", at: float = 0.0, index: int = 0, outcome: Outcome | None = None
    ) -> None:
        """Have a camera see this."""
        self.console.saw(Frame(camera, index, image, at, NOON), outcome or somebody())

    def keep_alert(self, *, camera: str = "door", crop: bytes | None = None, is_pending: bool = False) -> str:
        """Have an alert in the history, with its picture where one is given; the broker has it unless `is_pending`."""
        alert_id = uuid7(datetime.now(timezone.utc))
        message = an_alert_message(alert_id, camera=camera)
        if crop is not None:
            folder = self.config.crops_folder
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{alert_id}.jpg").write_bytes(crop)
            message["crop"] = {"file": str(folder / f"{alert_id}.jpg"), "sha256": "0" * 64, "bytes": len(crop)}
        points = (
            TimelinePoint(-0.5, 1.5, "without_mask", 0.9, 0.8),
            TimelinePoint(0.0, 7.0, "without_mask", 0.99, 1.0),
        )
        timeline = Timeline(points, 6.8, -2.3, (10, 10, 60, 70))
        described = AlertMessage.model_validate(message)
        self.store.put(described, history_entry(described, timeline, now=datetime.now(timezone.utc)))
        if not is_pending:
            self.store.remove(alert_id)
        self.console.recorded(alert_id)
        return alert_id

    def close(self) -> None:
        """End the agent."""
        self._stop.set()
        self._thread.join()

    def _play_the_agent(self) -> None:
        while not self._stop.wait(AGENT_SECONDS):
            if self.is_silent:
                continue
            for asked in self.console.heard():
                self.commands.append(asked)
                asked.answer(self._result(asked))
            if self.console.wants_overview:
                self.console.tell(dict(self.overview))

    def _result(self, asked: Asked) -> dict[str, Any]:
        state, reason = self.state, self.reason
        try:
            read_command(asked.name, asked.payload)
        except CommandError as error:
            state, reason = "refused", str(error)
        return {
            "schema": "maskwatch.result/1",
            "device": "test",
            "command": asked.name,
            "id": "",
            "state": state,
            "reason": reason,
            "result": {},
            "when": "2026-03-01T12:00:00.000Z",
        }


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[Served]:
    """Open a console on loopback; `settings` are those of its section."""
    console = {"enabled": True, "port": free_port(), "requests_per_second": 10_000.0, **settings}
    config = Config.model_validate(
        {
            "device": {"id": "test"},
            "state_folder": str(folder / "state"),
            "cameras": {"door": {"source": "door.mp4"}, "back": {"source": "back.mp4"}},
            "console": console,
            "mqtt": {"crops": True},
        }
    )
    store = AlertStore(config.store_file, boot_id="test")
    kept: list[Served] = []
    with open_console(
        config,
        versions=VERSIONS,
        open_eyes=lambda: open_eyes(config),
    ) as opened:
        kept.append(Served(opened, config, store))
        try:
            yield kept[0]
        finally:
            kept[0].close()
    store.close()


def secret_files(folder: Path) -> dict[str, str]:
    """Settings with a password and a token."""
    (folder / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    (folder / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    return {"password_file": str(folder / "password"), "token_file": str(folder / "token")}


def jpeg(image: Image | None = None) -> bytes:
    """A photograph with a bare face."""
    done, content = cv2.imencode(".jpg", portrait(HOPPER) if image is None else image)
    assert done
    return content.tobytes()


def somebody(*, looked: bool = True) -> Outcome:
    """What a frame with one person without a mask led to."""
    track = a_track(7, face=a_face(100.0, 60.0))
    reading = a_reading("without_mask", 0.93, track=track)
    verdict = a_verdict("violation", track=track)
    stages = {"motion": 0.001, "faces": 0.02, "masks": 0.003, "decision": 0.0001}
    if not looked:
        return Outcome(looked, (), (), (), (), (), stages)
    return Outcome(looked, (track,), (reading,), (verdict,), (an_alert(track=track),), (), stages)


def an_alert_message(alert_id: str, *, camera: str) -> dict[str, Any]:
    """An alert as it was published, without a crop."""
    when = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "schema": "maskwatch.alert/1",
        "id": alert_id,
        "device": "test",
        "boot_id": "0" * 32,
        "sequence": 1,
        "camera": camera,
        "label": "without_mask",
        "score": 0.98,
        "readings": 9,
        "suppressed": 0,
        "first_seen": when,
        "when": when,
        "clock_synchronised": True,
        "historical": False,
        "box": [10, 20, 60, 80],
        "frame_size": [640, 360],
        "crop": None,
        "crop_error": "no picture is kept (evidence.picture: none)",
        "model": {"name": "masks", "sha256": "0" * 64},
    }
