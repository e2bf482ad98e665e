"""A device's doctor: roll-out problems, each with the command that fixes it."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest

from edge_agent.config.model import Config
from edge_agent.diagnosis.checks import check_rollout
from edge_agent.diagnosis.finding import Finding
from edge_agent.errors import AgentError, ConfigError, UnavailableError
from edge_agent.rollout.installation import Installation, Rollout

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.repository import Fleet


@pytest.fixture
def config(fleet: Fleet, tmp_path: Path) -> Config:
    """A device that follows a repository."""
    (tmp_path / "root.json").write_bytes(fleet.root)
    fleet.assign_signed("model-1")
    rollout = {"url": fleet.server.url, "root_file": str(tmp_path / "root.json")}
    return Config.model_validate({"state_dir": str(tmp_path / "state"), "rollout": rollout})


def test_a_trusted_repository_is_ok_and_nothing_is_left_behind(config: Config):
    finding = check_rollout(config)

    assert isinstance(finding, str)
    assert "assignment 1: model-1" in finding
    assert not config.models_folder.exists()


def test_keys_that_need_not_sign_are_not_reported(config: Config, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        check_rollout(config)

    assert not caplog.records


def test_a_missing_group_is_named(config: Config):
    other = config.model_copy(update={"rollout": config.rollout.model_copy(update={"group": "halls"})})

    finding = check_rollout(other)

    assert isinstance(finding, Finding)
    assert finding.severity == "warning"
    assert "default" in finding.message


def test_a_model_that_was_rejected_is_named_with_its_reason(config: Config):
    Installation(config.models_folder).record(Rollout(number=1, model="model-1", state="rejected", reason="too slow"))

    finding = check_rollout(config)

    assert isinstance(finding, Finding)
    assert "too slow" in finding.message


def error_of(config: Config) -> AgentError:
    with pytest.raises(AgentError) as why:
        check_rollout(config)
    return why.value


def test_a_server_that_answers_html_or_nothing_is_reported(config: Config, fleet: Fleet):
    fleet.server.answer = lambda _: b"<!doctype html><title>Welcome</title>"
    assert isinstance(error_of(config), UnavailableError)

    fleet.server.answer = lambda _: None
    fleet.server.folder = fleet.folder / "nothing"
    assert isinstance(error_of(config), UnavailableError)


def test_an_invalid_root_file_is_a_configuration_error(config: Config, tmp_path: Path):
    (tmp_path / "root.json").write_text("<html>")

    assert isinstance(error_of(config), ConfigError)
    assert "root_file" in str(error_of(config))


def test_a_missing_extra_is_reported_with_its_command(config: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "edge_agent.rollout.repository", None)

    assert isinstance(error_of(config), ConfigError)
    assert "maskwatch[rollout]" in str(error_of(config))


def test_an_older_repository_than_the_device_has_seen_is_refused(config: Config, fleet: Fleet):
    old = fleet.metadata("timestamp.json").read_bytes()
    fleet.repository.renew(fleet.signer("online"), when=fleet.now)
    trust = config.models_folder / "trust"
    fleet.device(str(trust.relative_to(fleet.folder)))
    fleet.metadata("timestamp.json").write_bytes(old)

    assert isinstance(error_of(config), UnavailableError)
