"""Roll-out with a real agent and repository: a signed model runs, and is rolled back if the agent dies of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edge_agent.config.model import MODEL_LINK, shipped
from edge_agent.rollout.installation import read_rollout
from fleet.rollout.keys import make_key
from tests.fleet.repository import PEOPLE, Fleet, Server
from tests.journeys.agent import EXAMPLE, QUICK, AgentProcess, wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(600)
def test_a_model_is_switched_to_and_away_from_when_the_agent_dies(tmp_path: Path):
    server = Server()
    try:
        follow(tmp_path, server)
    finally:
        server.close()


def follow(folder: Path, server: Server) -> None:
    keys = folder / "keys"
    keys.mkdir()
    for name in PEOPLE:
        make_key(keys / name)
    fleet = Fleet(folder, keys, server)
    (folder / "root.json").write_bytes(fleet.root)
    network, card = (shipped("models").joinpath(f"masks.{kind}").read_bytes() for kind in ("tflite", "json"))
    renamed = json.dumps({**json.loads(card), "name": "the new one"}).encode()
    fleet.repository.stage_assignment(
        "default", model=("masks-2", network, renamed), minimum_version="0.1.0", named=("hall-1",), when=fleet.now
    )
    fleet.sign("models-1", "models-2")
    fleet.publish()
    # Longer than the test.
    recording = folder / "door.mp4"
    repeat = ["ffmpeg", "-loglevel", "error", "-stream_loop", "99", "-i", str(EXAMPLE), "-c", "copy", str(recording)]
    subprocess.run(repeat, check=True)
    config = {
        **QUICK,
        "device": {"id": "hall-1"},
        "cameras": {"door": {"source": str(recording)}},
        "mqtt": {"host": "127.0.0.1", "port": 9},
        "rollout": {"url": server.url, "root_file": str(folder / "root.json"), "poll_seconds": 2},
    }
    state = folder / "device/state/models"
    with AgentProcess(folder / "device", config) as agent, (folder / "rollout.log").open("wb") as log:
        command = [sys.executable, "-m", "edge_agent", "rollout", "--config", str(agent.config_file)]
        with subprocess.Popen(command, stderr=log) as following:
            try:
                wait_until(lambda: read_rollout(state).state == "probation", "the new model")
                wait_until(lambda: loaded_model(agent) == "the new one", "the agent to load it")
                assert (state / MODEL_LINK).readlink().name == "masks-2"

                agent.end(signal.SIGKILL)
                agent.start()

                wait_until(lambda: read_rollout(state).state == "rejected", "the model before")
                assert "the agent" in read_rollout(state).reason
                wait_until(lambda: not (state / MODEL_LINK).exists(), "its link to be removed")
                wait_until(lambda: loaded_model(agent) == "masks", "it to run")
            finally:
                following.send_signal(signal.SIGTERM)
                assert following.wait(timeout=60) == 0
        # The TUF library logs each missing signature at each poll, although two of three are enough.
        assert "No signature" not in (folder / "rollout.log").read_text(encoding="utf-8")


def loaded_model(agent: AgentProcess) -> str:
    """The name of the classifier that the agent loaded last, by its log."""
    return agent.log.rpartition("mask classifier ")[2].partition(",")[0]
