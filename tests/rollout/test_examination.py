"""Examination: a model that does not fit, crashes, hangs or is slow affects only the process that tests it."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from edge_agent.config.model import shipped
from edge_agent.errors import ModelError
from edge_agent.rollout.examination import _in_subprocess, examine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in ("masks.tflite", "masks.json"):
        shutil.copy(shipped("models") / name, tmp_path)
    return tmp_path / "masks.tflite"


def examined(model: Path, *, max_seconds: float = 10.0) -> None:
    examine(model, runtime="auto", threads=1, labels=(), max_seconds=max_seconds)


def test_a_model_that_matches_its_card_is_accepted(model):
    examined(model)


def test_a_model_with_different_results_on_this_device_is_rejected(model):
    card = json.loads(model.with_suffix(".json").read_text())
    for golden in card["golden"]:
        golden["scores"] = golden["scores"][::-1]
    model.with_suffix(".json").write_text(json.dumps(card))

    with pytest.raises(ModelError, match="golden vector"):
        examined(model)


def test_a_model_slower_than_the_frame_rate_is_rejected(model):
    with pytest.raises(ModelError, match="a reading takes"):
        examined(model, max_seconds=1e-9)


def _hang() -> None:
    time.sleep(600)


def _raise() -> None:
    raise ValueError("no tensor")


@pytest.mark.parametrize(
    ("work", "arguments", "reason"),
    [(os._exit, (3,), "crashes"), (_hang, (), "does not answer"), (_raise, (), "no tensor")],
)
def test_a_crashed_process_is_reported(work, arguments, reason):
    with pytest.raises(ModelError, match=reason):
        _in_subprocess(work, *arguments, timeout_seconds=3.0 if work is _hang else 60.0)
