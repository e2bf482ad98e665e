"""The life of the agent: what happens to an alert when something around it fails."""

from __future__ import annotations

import threading
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.agent import Agent
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.signature import Signature
from edge_agent.errors import CropError, UnavailableError
from edge_agent.evidence.crops import Crops
from edge_agent.health import Health
from edge_agent.systemd import Notifier
from tests.test_pipeline import Faces, a_pipeline
from tests.values import a_face, a_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.domain import Frame


class Frames:
    """Cameras that give these frames and then end."""

    def __init__(self, frames: list[Frame | None]) -> None:
        self._frames = frames

    def frames(self, stop: threading.Event) -> Iterator[Frame | None]:
        yield from self._frames

    def states(self) -> tuple[()]:
        return ()


class FullDisk(Outbox):
    """An outbox whose disk is full for the first attempts."""

    failures = 0

    def put(self, message: dict[str, Any]) -> dict[str, Any]:
        if self.failures:
            self.failures -= 1
            raise UnavailableError("outbox.sqlite: no space left on device; free some")
        return super().put(message)


class Publisher:
    """Counts how often it is woken."""

    state = SimpleNamespace(connected=True, reason="", waiting=0)

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


@pytest.fixture
def outbox(tmp_path) -> Iterator[FullDisk]:
    with closing(FullDisk(tmp_path / "outbox.sqlite", boot_id="b")) as opened:
        yield opened


def an_agent(outbox: Outbox, tmp_path, frames: list[Frame | None], **parts: Any) -> Agent:
    return Agent(
        **{
            "cameras": Frames(frames),
            "pipelines": {"door": a_pipeline(Faces(a_face(), a_face(200)))},
            "crops": Crops(tmp_path / "crops", jpeg_quality=90),
            "sweep_crops": lambda **_: None,
            "signature": Signature("device", "b", "masks", "0" * 64),
            "outbox": outbox,
            "publisher": Publisher(),
            "health": Health(silence_seconds=5.0),
            "notifier": Notifier(),
            **parts,
        }
    )


def frames(count: int) -> list[Frame | None]:
    return [a_frame(step / 10) for step in range(count)]


def test_an_alert_is_in_the_outbox_with_its_crop_on_disk_and_the_publisher_is_woken(outbox, tmp_path):
    publisher = Publisher()
    agent = an_agent(outbox, tmp_path, frames(5), publisher=publisher)

    agent.run(threading.Event())

    assert [row.message["sequence"] for row in outbox.waiting(10)] == [1, 2]
    assert outbox.owed_crops() == {file.name for file in (tmp_path / "crops").iterdir()}
    assert publisher.woken == 2
    assert agent.health.alerts == 2


def test_alerts_wait_in_memory_in_order_while_the_disk_of_the_outbox_is_full(outbox, tmp_path, caplog):
    outbox.failures = 4
    agent = an_agent(outbox, tmp_path, [*frames(5), None, None])

    agent.run(threading.Event())

    assert [row.message["sequence"] for row in outbox.waiting(10)] == [1, 2]
    assert caplog.text.count("alerts wait in memory") == 1


def test_crops_of_alerts_that_wait_in_memory_are_owed_to_the_sweep(outbox, tmp_path):
    outbox.failures = 100
    swept: list[set[str]] = []
    agent = an_agent(outbox, tmp_path, frames(5), sweep_crops=lambda *, now, owed: swept.append(set(owed)))
    agent.run(threading.Event())
    agent._swept_at = float("-inf")
    agent.run(threading.Event())

    assert swept[-1] == {file.name for file in (tmp_path / "crops").iterdir()}
    assert len(swept[-1]) == 2


def test_a_crop_that_cannot_be_kept_costs_only_the_picture(outbox, tmp_path):
    (tmp_path / "crops").touch()

    an_agent(outbox, tmp_path, frames(5)).run(threading.Event())

    for row in outbox.waiting(10):
        assert row.message["crop"] is None
        assert "cannot be kept" in row.message["crop_error"]


def test_a_sweep_that_fails_is_a_line_in_the_log(outbox, tmp_path, caplog):
    def sweep(**_: Any) -> None:
        raise CropError("crops: cannot be removed")

    an_agent(outbox, tmp_path, frames(2), sweep_crops=sweep).run(threading.Event())

    assert "crops: cannot be removed" in caplog.text
