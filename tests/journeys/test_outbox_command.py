"""`edge-agent outbox`: beside a running agent and without one."""

import fcntl
import json
from contextlib import closing

import pytest

from edge_agent.alerts.store import AlertStore
from tests.journeys.agent import run_command
from tests.mqtt import samples
from tests.mqtt.samples import BOOT_ID


@pytest.fixture
def put(tmp_path):
    """Two pending alerts and a telemetry message in a state folder; yields the messages."""
    with closing(AlertStore(tmp_path / "alerts.sqlite", boot_id=BOOT_ID)) as store:
        yield [samples.put(store), samples.put(store), samples.put(store, "telemetry")]


def outbox_command(tmp_path, *arguments):
    return run_command("outbox", "--set", f"state_dir={tmp_path}", *arguments)


def test_pending_messages_are_shown_as_text_and_json(tmp_path, put):
    assert "pending   2 alert, 0 resolved, 0 counts, 1 telemetry" in outbox_command(tmp_path).stdout

    shown = json.loads(outbox_command(tmp_path, "--json").stdout)
    assert shown["waiting"] == {"alert": 2, "resolved": 0, "counts": 0, "telemetry": 1}
    assert shown["oldest"] == put[0]["when"]


@pytest.mark.parametrize(
    "command", [["outbox"], ["outbox", "--purge", "alert"], ["counts"], ["alerts", "export", "faces"]]
)
def test_a_missing_store_is_reported(tmp_path, command):
    done = run_command(*command, "--set", f"state_dir={tmp_path / 'other'}")

    assert f"{tmp_path / 'other' / 'alerts.sqlite'}: does not exist" in done.stderr
    assert not (tmp_path / "other").exists()


def test_pending_messages_are_printed_oldest_first(tmp_path, put):
    done = outbox_command(tmp_path, "--messages")

    assert [json.loads(line) for line in done.stdout.splitlines()] == put


def test_chosen_kinds_are_purged_only_after_confirmation(tmp_path, put):
    refused = outbox_command(tmp_path, "--purge", "telemetry")
    assert refused.returncode == 1
    assert "nothing was deleted" in refused.stderr

    done = outbox_command(tmp_path, "--purge", "telemetry", "--yes")
    assert done.stdout == "1 messages deleted\n"
    assert json.loads(outbox_command(tmp_path, "--json").stdout)["waiting"] == {
        "alert": 2,
        "resolved": 0,
        "counts": 0,
        "telemetry": 0,
    }


def test_nothing_is_purged_beside_a_running_agent(tmp_path, put):
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = outbox_command(tmp_path, "--purge", "alert", "--yes")

    assert done.returncode == 75
    assert "in use by another agent" in done.stderr
