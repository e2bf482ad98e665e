"""`edge-agent alerts export`: beside a running agent's file."""

from __future__ import annotations

import json
import signal
from contextlib import closing

import pytest

from edge_agent.alerts.history import AlertHistory
from edge_agent.config.model import shipped
from edge_agent.vision.card import read_classifier_card
from edge_agent.vision.images import read_picture
from tests.alerts.test_export import Alerts, review
from tests.alerts.test_history import an_id
from tests.journeys.agent import EXAMPLE, AgentProcess, run_command, wait_until
from tests.mosquitto import free_port


@pytest.fixture
def state(tmp_path):
    """The state folder of a running agent."""
    with closing(Alerts(tmp_path)) as alerts:
        review(alerts, tmp_path, 1, "with_mask")
        review(alerts, tmp_path, 2, "")
        yield tmp_path


def test_reviewed_alerts_are_written_and_counted_for_a_person_and_for_a_program(state):
    reviewed = state / "reviewed"

    done = run_command("alerts", "export", reviewed, "--set", f"state_dir={state}")
    assert done.stdout == f"{reviewed / 'with_mask'}: 1\n"
    assert (reviewed / "with_mask" / f"{an_id(1)}.png").exists()

    # Options before the subcommand apply too.
    done = run_command("alerts", "--set", f"state_dir={state}", "--json", "export", reviewed, "--all")
    pictures = {"with_mask": 1, "without_mask": 1, "mask_worn_incorrectly": 0, "no_face": 0}
    assert json.loads(done.stdout) == {"pictures": pictures, "missing": 0, "encrypted": 0}


def test_without_reviewed_alerts_the_next_step_is_printed(tmp_path):
    done = run_command("alerts", "export", tmp_path / "reviewed", "--set", f"state_dir={tmp_path / 'state'}")

    assert done.returncode == 0
    assert "review some on the console's Alerts page" in done.stderr
    assert not (tmp_path / "state").exists()


def test_a_reviewed_alert_without_its_picture_is_not_called_unreviewed(state):
    for picture in (state / "crops").iterdir():
        picture.unlink()

    done = run_command("alerts", "export", state / "reviewed", "--set", f"state_dir={state}")

    assert done.stderr == "1 alerts have no picture\n"


def test_an_invalid_day_is_rejected(tmp_path):
    done = run_command("alerts", "export", tmp_path, "--since", "yesterday")

    assert "a day is YYYY-MM-DD" in done.stderr


def test_alerts_of_a_killed_agent_are_exported(tmp_path):
    config = {"cameras": {"door": {"source": str(EXAMPLE)}}, "mqtt": {"host": "127.0.0.1", "port": free_port()}}
    file = tmp_path / "state" / "alerts.sqlite"
    history = AlertHistory(file, only_reads=True)
    with AgentProcess(tmp_path, config) as agent:
        wait_until(history.count, "an alert in the history")
        agent.end(signal.SIGKILL)

    done = run_command("alerts", "export", tmp_path / "faces", "--all", "--json", "--config", agent.config_file)

    summary = json.loads(done.stdout)
    assert summary["pictures"]["without_mask"] >= 1
    assert summary["missing"] == summary["encrypted"] == 0
    entry = history.find()[-1]
    # The evidence grew up to the threshold.
    timeline = entry.timeline()
    first, last = timeline.points[0], [point for point in timeline.points if point.seconds <= 0.0][-1]
    assert first.llr < timeline.violation_llr <= last.llr
    assert first.seconds < last.seconds == 0.0
    face = read_picture(tmp_path / "faces" / "without_mask" / f"{entry.id}.png")
    x1, y1, x2, y2 = entry.message["box"]
    # The same pixels as the classifier's: models are trained and evaluated on them.
    margin = read_classifier_card(shipped("models") / "masks.tflite")[0].margin_fraction
    side = max(x2 - x1, y2 - y1) * (1 + 2 * margin)
    assert face.shape[:2] == pytest.approx((side, side), abs=2)
