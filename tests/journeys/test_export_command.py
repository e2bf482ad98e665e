"""`edge-agent alerts export`, beside the file that an agent writes."""

from __future__ import annotations

import json
import signal
from contextlib import closing

import cv2
import pytest

from edge_agent.evidence.album import Album
from tests.evidence.test_export import identity, judge
from tests.journeys.agent import EXAMPLE, AgentProcess, run_command, wait_until
from tests.mosquitto import free_port


@pytest.fixture
def state(tmp_path):
    """The state folder of an agent that is at work."""
    with closing(Album(tmp_path / "album.sqlite", keep_days=30.0)) as album:
        judge(album, tmp_path, 1, "with_mask")
        judge(album, tmp_path, 2, "")
        yield tmp_path


def test_judged_alerts_are_written_and_counted_for_a_person_and_for_a_program(state):
    judged = state / "judged"

    done = run_command("alerts", "export", judged, "--set", f"state_folder={state}")
    assert done.stdout == f"{judged / 'with_mask'}: 1\n"
    assert (judged / "with_mask" / f"{identity(1)}.png").exists()

    # What stands before the word counts too.
    done = run_command("alerts", "--set", f"state_folder={state}", "--json", "export", judged, "--all")
    pictures = {"with_mask": 1, "without_mask": 1, "mask_worn_incorrectly": 0, "no_face": 0}
    assert json.loads(done.stdout) == {"pictures": pictures, "missing": 0, "encrypted": 0}


def test_where_nothing_was_judged_it_is_said_what_to_do(tmp_path):
    done = run_command("alerts", "export", tmp_path / "judged", "--set", f"state_folder={tmp_path / 'state'}")

    assert done.returncode == 0
    assert "judge some on the console's page of alerts" in done.stderr
    assert not (tmp_path / "state").exists()


def test_a_day_that_is_none_is_refused(tmp_path):
    done = run_command("alerts", "export", tmp_path, "--since", "yesterday")

    assert "a day is YYYY-MM-DD" in done.stderr


def test_what_an_agent_alerted_until_it_was_killed_is_known_and_exported(tmp_path):
    config = {"cameras": {"door": {"source": str(EXAMPLE)}}, "mqtt": {"host": "127.0.0.1", "port": free_port()}}
    file = tmp_path / "state" / "album.sqlite"
    with (
        AgentProcess(tmp_path, config) as agent,
        closing(Album(file, keep_days=30.0, only_reads=True)) as album,
    ):
        wait_until(album.count, "an alert in the album")
        agent.end(signal.SIGKILL)

    done = run_command("alerts", "export", tmp_path / "faces", "--all", "--json", "--config", agent.config_file)

    told = json.loads(done.stdout)
    assert told["pictures"]["without_mask"] >= 1
    assert told["missing"] == told["encrypted"] == 0
    with closing(Album(file, keep_days=30.0, only_reads=True)) as album:
        entry = album.find()[-1]
    # The evidence grew until it was enough.
    assert entry.course[0].nats < entry.violation_nats <= entry.course[-1].nats
    assert entry.course[0].seconds < entry.course[-1].seconds == 0.0
    face = cv2.imread(str(tmp_path / "faces" / "without_mask" / f"{entry.id}.png"))
    x1, y1, x2, y2 = entry.message["box"]
    assert abs(face.shape[1] - (x2 - x1)) <= 1
    assert abs(face.shape[0] - (y2 - y1)) <= 1
