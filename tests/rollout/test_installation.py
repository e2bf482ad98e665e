"""Installation: after a power loss at any point one of the two models runs, and the state names it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from edge_agent.config.model import MODEL_LINK
from edge_agent.rollout.installation import Installation, Rollout, read_rollout

if TYPE_CHECKING:
    from pathlib import Path


class PowerCutError(Exception):
    """Raised at a simulated power cut."""


def card_of(network: bytes) -> bytes:
    return hashlib.sha256(network).hexdigest().encode()


def in_use(folder: Path) -> bytes | None:
    """The network that the agent would load; None: that of the configuration."""
    link = folder / MODEL_LINK
    if not link.exists():
        return None
    network = (link / "masks.tflite").read_bytes()
    assert (link / "masks.json").read_bytes() == card_of(network)
    return network


def switch(folder: Path, *, cut_after: int) -> bool:
    """Switch to the second model and back; False if the power was cut after this many steps."""
    steps = 0

    def step(_what: str) -> None:
        nonlocal steps
        steps += 1
        if steps > cut_after:
            raise PowerCutError

    try:
        installation = Installation(folder, step=step)
        installation.install("two", b"2", card_of(b"2"))
        installation.record(Rollout(number=2, model="two", previous="one", state="probation"))
        installation.record(Rollout(number=2, model="two", previous="one", state="rejected", reason="slow"))
    except PowerCutError:
        return False
    return True


def prepared(folder: Path) -> Path:
    installation = Installation(folder)
    for name in ("zero", "one"):
        installation.install(name, name.encode(), card_of(name.encode()))
    installation.record(Rollout(number=1, model="one", previous="zero"))
    return folder


def test_a_power_cut_at_any_step_leaves_one_of_the_two_models_running(tmp_path):
    cuts = 0
    while not switch(folder := prepared(tmp_path / str(cuts)), cut_after=cuts):
        assert in_use(folder) in (b"one", b"2")

        # What was begun is completed at the next start.
        state = Installation(folder).rollout
        assert in_use(folder) == {"one": b"one", "two": b"2"}[state.running or ""]
        cuts += 1

    assert cuts > 8
    assert in_use(folder) == b"one"


def test_the_last_two_models_stay_and_no_more(tmp_path):
    installation = Installation(prepared(tmp_path))

    installation.install("two", b"2", card_of(b"2"))
    installation.record(Rollout(number=2, model="two", previous="one"))

    assert sorted(path.name for path in (tmp_path / "installed").iterdir()) == ["one", "two"]
    assert installation.has("one")


def test_a_partly_written_model_is_not_installed(tmp_path):
    installation = Installation(tmp_path)
    installation.install("one", b"1", card_of(b"another"))

    assert not installation.has("one")
    assert not installation.has("two")


def test_the_configuration_s_model_runs_again_without_a_link(tmp_path):
    installation = Installation(prepared(tmp_path))

    installation.record(Rollout(number=2, model=None, previous="one"))

    assert in_use(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", '{"number": -1}', '{"model": "../../etc"}'])
def test_a_damaged_state_starts_over(tmp_path, content):
    (tmp_path / "rollout.json").write_text(content)

    assert read_rollout(tmp_path) == Rollout()
