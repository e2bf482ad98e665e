"""Follower: from the fleet's desired model to the running one, with a fake agent and repository."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.bridge.client import UnansweredError
from edge_agent.config.model import Config
from edge_agent.errors import ModelError, UnavailableError
from edge_agent.host.atomic_files import UNFINISHED
from edge_agent.messages.rollout import Assignment, Assignments, Progress, Stages
from edge_agent.rollout.follower import MAX_ATTEMPTS, OBSERVE_SECONDS, Follower
from edge_agent.rollout.installation import STATE_FILE, Rollout, read_rollout
from edge_agent.rollout.probation import PROBATION_SECONDS
from tests.values import a_status

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.bridge.protocol import DeviceStatus

NOON = datetime(2026, 11, 2, 12, tzinfo=timezone.utc)


class Repository:
    """A repository with an assignment and its progress."""

    def __init__(self) -> None:
        self.assignment = Assignment(number=1, model="one", previous=None, named=("hall-1",))
        self.progress: Progress | None = None
        self.needs, self.is_away, self.fetched = "0.1.0", False, 0

    def __call__(self) -> Repository:
        if self.is_away:
            raise UnavailableError("away")
        return self

    def assignments(self) -> Assignments:
        return Assignments(groups={"default": self.assignment})

    def stages(self) -> Stages:
        return Stages(groups={"default": self.progress} if self.progress else {})

    def minimum_version(self, _model: str) -> str:
        return self.needs

    def fetch(self, model: str) -> tuple[bytes, bytes]:
        self.fetched += 1
        return model.encode(), hashlib.sha256(model.encode()).hexdigest().encode()


class Agent:
    """An agent that loads the linked model at a reload."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.reloads, self.is_away = folder, 0, False
        self.run_id, self.rate, self.model = "first", 10.0, b"configured"

    async def status(self) -> DeviceStatus:
        if self.is_away:
            raise UnansweredError("away")
        sha256 = hashlib.sha256(self.model).hexdigest()
        status = a_status(sha256=sha256, frames_per_second=self.rate, memory_bytes=100, run_id=self.run_id)
        return status.model_copy(update={"cameras": status.cameras[:1]})

    async def command(self, name: str, _payload: bytes) -> dict[str, str]:
        assert name == "reload"
        self.reloads += 1
        link = self.folder / "current/masks.tflite"
        self.model = link.read_bytes() if link.exists() else b"configured"
        return {"state": "done", "reason": ""}


class Device:
    """A follower with everything around it; time is a number."""

    def __init__(self, folder: Path) -> None:
        keys = {"state_dir": folder, "device": {"id": "hall-1"}, "rollout": {"poll_seconds": 60}}
        self.config, self.at = Config.model_validate(keys), 0.0
        self.folder = self.config.models_folder
        self.repository, self.agent = Repository(), Agent(self.folder)
        self.fault = ""
        self.start()

    def start(self) -> None:
        """Start again as after a power loss."""
        self.follower = Follower(
            self.config,
            self.agent,  # type: ignore[arg-type]
            open_repository=self.repository,  # type: ignore[arg-type]
            examine=self._examine,
            at=self.at,
        )

    def _examine(self, _model: Path) -> None:
        if self.fault:
            raise ModelError(self.fault)

    def live(self, seconds: float) -> Device:
        until = self.at + seconds
        while self.at <= until:
            asyncio.run(self.follower.turn(at=self.at))
            self.at += OBSERVE_SECONDS
        return self

    @property
    def rollout(self) -> Rollout:
        return read_rollout(self.folder)

    @property
    def state(self) -> tuple[str | None, str, bytes]:
        """The model, its state, and the model that the agent runs."""
        return self.rollout.model, self.rollout.state, self.agent.model


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_a_named_device_runs_the_model_on_probation_then_for_good(device):
    assert device.live(30).state == ("one", "probation", b"one")
    assert device.live(PROBATION_SECONDS + 60).state == ("one", "accepted", b"one")
    assert (device.agent.reloads, device.repository.fetched) == (1, 1)


def test_a_device_that_the_stage_has_not_reached_waits(device):
    device.repository.assignment = device.repository.assignment.model_copy(update={"named": ()})
    assert device.live(200).state == (None, "accepted", b"configured")

    device.repository.progress = Progress(number=1, stage="all", since=NOON)

    assert device.live(200).state == ("one", "probation", b"one")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rate": 7.0}, "frames per second"),
        ({"run_id": "second"}, "restarted"),
        ({"is_away": True}, "no longer running"),
        ({"model": b"configured"}, "did not load"),
    ],
)
def test_a_model_that_does_worse_on_probation_is_rolled_back(device, change, reason):
    device.live(100)
    for name, value in change.items():
        setattr(device.agent, name, value)
    device.live(PROBATION_SECONDS + 60)

    assert device.state[:2] == ("one", "rejected")
    assert reason in device.rollout.reason
    assert not (device.folder / "current").exists()
    # And it is not tried again.
    assert device.live(1000).repository.fetched == 1


def test_an_agent_that_dies_while_it_loads_the_model_was_restarted(device):
    reload = device.agent.command

    async def die(name: str, payload: bytes) -> Any:
        device.agent.run_id = "second"
        return await reload(name, payload)

    device.agent.command = die

    assert device.live(100).state[1] == "rejected"
    assert "restarted" in device.rollout.reason


def test_a_model_that_fails_its_examination_never_runs(device):
    device.fault = "golden vector 1 differs"

    assert device.live(100).state == ("one", "rejected", b"configured")
    assert device.agent.reloads == 0


def test_a_model_for_a_newer_agent_is_rejected_with_a_message(device):
    device.repository.needs = "99.0.0"

    assert device.live(100).state == ("one", "rejected", b"configured")
    assert "needs maskwatch 99.0.0" in device.rollout.reason


def test_a_newer_assignment_replaces_an_older_at_once_also_on_probation(device):
    device.live(30)
    device.repository.assignment = Assignment(number=2, model="two", previous="one", named=("hall-1",))

    assert device.live(100).state == ("two", "probation", b"two")


@pytest.mark.parametrize("fault", ["golden vector 1 differs", ""], ids=["does not fit", "is slow"])
def test_a_rejected_model_never_leads_back_to_one_whose_probation_it_has_interrupted(device, fault):
    device.live(PROBATION_SECONDS + 60)
    device.repository.assignment = Assignment(number=2, model="two", previous="one", named=("hall-1",))
    device.live(100)
    device.fault = fault
    device.repository.assignment = Assignment(number=3, model="three", previous="one", named=("hall-1",))
    device.live(100)
    device.agent.rate = 1.0
    device.live(PROBATION_SECONDS + 60)

    assert device.state == ("three", "rejected", b"one")


def test_a_model_on_probation_sets_no_lower_standard_for_the_next_one(device):
    device.live(20)
    device.agent.rate = 5.0
    device.repository.assignment = Assignment(number=2, model="two", previous="one", named=("hall-1",))
    device.live(PROBATION_SECONDS + 100)

    assert device.state == ("two", "rejected", b"configured")


def test_a_model_that_was_rolled_back_on_probation_is_on_probation_again(device):
    device.live(30)
    device.repository.progress = Progress(number=1, stage="all", since=NOON, is_rolled_back=True)
    assert device.live(100).state == (None, "accepted", b"configured")

    device.repository.assignment = Assignment(number=2, model="one", previous=None, named=("hall-1",))

    assert device.live(100).state == ("one", "probation", b"one")


def test_a_newer_assignment_is_tried_after_a_rejected_one(device):
    device.fault = "slow"
    device.live(30)
    device.fault = ""
    device.repository.assignment = Assignment(number=2, model="two", previous=None, named=("hall-1",))

    assert device.live(100).state == ("two", "probation", b"two")


def test_a_roll_back_needs_no_download_and_no_probation(device):
    device.live(PROBATION_SECONDS + 60)
    device.repository.assignment = Assignment(number=2, model="two", previous="one", named=("hall-1",))
    device.live(PROBATION_SECONDS + 120)
    device.repository.progress = Progress(number=2, stage="all", since=NOON, is_rolled_back=True)

    assert device.live(100).state == ("one", "accepted", b"one")
    assert device.repository.fetched == 2


def test_a_pause_changes_nothing_on_any_device(device):
    device.repository.progress = Progress(number=1, stage="all", since=NOON, is_paused=True)

    assert device.live(200).state == (None, "accepted", b"configured")


def test_a_power_loss_restarts_the_probation_and_the_third_rejects_the_model(device):
    for _ in range(MAX_ATTEMPTS):
        device.live(100)
        assert device.state == ("one", "probation", b"one")
        device.start()

    assert device.live(100).state == ("one", "rejected", b"configured")


def test_an_unavailable_repository_is_logged_once_and_changes_nothing(device, caplog):
    device.live(30)
    device.repository.is_away = True
    device.live(PROBATION_SECONDS + 60)

    assert device.state == ("one", "accepted", b"one")
    assert [record.message for record in caplog.records].count("away") == 1


def test_without_an_agent_no_model_is_changed(device):
    device.agent.is_away = True

    assert device.live(200).state == (None, "accepted", b"configured")
    assert device.repository.fetched == 0


def test_the_result_of_the_last_poll_is_reported(device):
    device.live(60)
    assert device.follower.last_poll.endswith("assignment 1")

    device.repository.is_away = True
    device.live(120)
    assert device.follower.last_poll.endswith("away")


def test_a_disk_that_takes_nothing_costs_one_download_and_is_named_until_it_does(device):
    state_is_blocked = device.folder / UNFINISHED.format(name=STATE_FILE)
    state_is_blocked.mkdir()

    assert device.live(400).state == (None, "accepted", b"configured")
    assert device.repository.fetched == 1
    assert str(device.folder) in device.follower.last_poll

    state_is_blocked.rmdir()
    assert device.live(100).state == ("one", "probation", b"one")
    assert device.repository.fetched == 1
