"""Roll-out stages: when a model reaches the next devices and when it stops; then the command with a database."""

from __future__ import annotations

import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from edge_agent.config.model import shipped
from edge_agent.messages.message import MAX_COUNT
from edge_agent.messages.rollout import Assignment, Progress, assigned_model, is_reached, place
from fleet import database
from fleet.cli import main
from fleet.commands.rollout import release_stages
from fleet.config import FleetConfig, RolloutConfig
from fleet.rollout import reports
from fleet.rollout.keys import read_signer
from fleet.rollout.release import Alerts, Device, accepted_devices, decide
from fleet.rollout.repository import Repository
from fleet.store import store
from tests.fleet.samples import alert, now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

    from tests.fleet.repository import Fleet

ASSIGNMENT = Assignment(number=2, model="two", previous="one", named=("hall-1", "hall-2"))
BEGAN = now() - timedelta(days=2)
WELL = [Device("hall-1", 2, "accepted"), Device("hall-2", 2, "accepted")]
AS_BEFORE = Alerts(week_before=70, since=20)


def decided(
    devices: list[Device] = WELL, alerts: Alerts = AS_BEFORE, *, days: float = 2.0, **progress: object
) -> Progress | None:
    begun = Progress.model_validate({"number": 2, "stage": "named", "since": BEGAN, **progress})
    return decide(ASSIGNMENT, begun, devices, alerts, settings=RolloutConfig(), when=BEGAN + timedelta(days=days))


def test_a_successful_stage_releases_the_next_after_a_day():
    released = decided()

    assert released is not None
    assert (released.stage, released.is_paused, released.since) == ("first", False, BEGAN + timedelta(days=2))


@pytest.mark.parametrize(
    "waits",
    [
        {"days": 0.9},
        {"devices": [WELL[0], Device("hall-2", 2, "probation")]},
        {"devices": [WELL[0], Device("hall-2", 1, "accepted")]},
        {"is_paused": True},
        {"is_rolled_back": True},
        {"number": 1},
        {"stage": "all", "devices": WELL},
    ],
)
def test_a_stage_waits(waits):
    assert decided(**waits) is None


@pytest.mark.parametrize(
    ("stops", "reason"),
    [
        ({"devices": [WELL[0], Device("hall-2", 2, "rejected")]}, "1 of 2 devices reject it, such as hall-2"),
        ({"alerts": Alerts(week_before=70, since=200)}, "200 alerts"),
        ({"alerts": Alerts(week_before=70, since=200), "days": 0.5}, "200 alerts"),
        ({"alerts": Alerts(week_before=0, since=10)}, "10 alerts"),
        ({"alerts": Alerts(week_before=70, since=6)}, "only 6 alerts"),
        ({"stage": "all", "alerts": Alerts(week_before=70, since=200)}, "200 alerts"),
    ],
)
def test_a_stage_stops_with_its_reason(stops, reason):
    stopped = decided(**stops)

    assert stopped is not None
    assert stopped.is_paused
    assert reason in stopped.reason


@pytest.mark.parametrize(
    "alerts",
    [
        Alerts(week_before=70, since=60),
        Alerts(week_before=70, since=7),
        Alerts(week_before=0, since=9),
        Alerts(week_before=20, since=0),
    ],
)
def test_between_a_third_and_three_times_the_alerts_count_as_unchanged(alerts):
    released = decided(alerts=alerts)

    assert released is not None
    assert not released.is_paused


def test_a_stage_without_devices_delays_nothing():
    released = decided([Device("yard-9", 1, "accepted")], Alerts(0, 0), days=0.0)

    assert released is not None
    assert released.stage == "first"


def test_a_group_without_devices_waits():
    assert decided([], Alerts(0, 0)) is None


def test_a_device_that_falls_silent_after_it_was_reached_still_counts(connection: psycopg.Connection):
    began = now() - timedelta(days=2)
    rollout = {"group": "default", "number": 1, "model": "one", "state": "accepted"}
    last_telemetry = {"hall-1": began + timedelta(minutes=1), "hall-2": now(), "gone": began - timedelta(days=2)}
    for name, received in last_telemetry.items():
        connection.execute(
            "insert into devices (device, site, telemetry, telemetry_received) values (%s, 'hall', %s, %s)",
            [name, json.dumps({"rollout": {**rollout, "number": 2} if name == "hall-2" else rollout}), received],
        )

    devices = reports.devices(connection, "default", since=began)

    assert devices == [Device("hall-1", 1, "accepted"), Device("hall-2", 2, "accepted")]
    assert decided(devices) is None
    assert reports.devices(connection, "default", since=now()) == devices[1:]


def test_stages_reach_their_share_and_contain_each_other():
    devices = [f"hall-{number}" for number in range(20_000)]

    shares = {
        stage: sum(is_reached(one, ASSIGNMENT, stage) for one in devices) for stage in ("named", "first", "some", "all")
    }

    assert shares["named"] == 2
    assert shares["first"] == pytest.approx(202, rel=0.25)
    assert shares["some"] == pytest.approx(2002, rel=0.1)
    assert shares["all"] == len(devices)
    assert 0.0 <= min(map(place, devices)) < max(map(place, devices)) < 1.0


@pytest.mark.parametrize(
    ("progress", "wanted"),
    [
        (None, "one"),
        (Progress(number=1, stage="all", since=BEGAN), "one"),
        (Progress(number=2, stage="all", since=BEGAN), "two"),
        (Progress(number=2, stage="all", since=BEGAN, is_rolled_back=True), "one"),
        (Progress(number=2, stage="all", since=BEGAN, is_paused=True), "zero"),
    ],
)
def test_the_model_of_an_unlisted_device_depends_on_the_progress(progress, wanted):
    assert assigned_model(ASSIGNMENT, progress, device="yard-9", running="zero") == wanted


def test_one_device_with_an_absurd_number_stops_no_roll_out(connection: psycopg.Connection):
    rollout = {"group": "default", "number": MAX_COUNT, "model": "two", "state": "accepted"}
    connection.execute(
        "insert into devices (device, site, telemetry, telemetry_received) values ('hall-1', 'hall', %s, now())",
        [json.dumps({"rollout": rollout})],
    )

    assert reports.devices(connection, "default") == [Device("hall-1", MAX_COUNT, "accepted")]


def test_the_state_of_devices_is_read_from_telemetry(connection: psycopg.Connection):
    rollout_state = {"group": "default", "number": 2, "model": "two", "state": "accepted"}
    for name, rollout in (("hall-1", rollout_state), ("hall-2", {**rollout_state, "group": "other"}), ("hall-3", None)):
        connection.execute(
            "insert into devices (device, site, telemetry, telemetry_received) values (%s, 'hall', %s, now())",
            [name, json.dumps({"rollout": rollout})],
        )
    began = now() - timedelta(hours=1)
    before, after = alert("hall-1", 1, when=began - timedelta(minutes=5)), alert("hall-1", 2)
    with connection.transaction():
        store(connection, [before, after, alert("hall-2")], site_of=lambda _: "hall")

    assert reports.devices(connection, "default") == [Device("hall-1", 2, "accepted")]
    assert reports.alerts(connection, ["hall-1"], since=began, when=now() + timedelta(seconds=1)) == Alerts(1, 1)
    assert accepted_devices(
        ASSIGNMENT, Progress(number=2, stage="named", since=began), [Device("hall-1", 2, "accepted")]
    )


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Restore the umask after the test, because commands change it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_from_keys_to_a_stage_that_stops_and_back_by_commands(
    connection: psycopg.Connection, conninfo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    os.umask(0o077)
    settings = {"repository": str(tmp_path / "repository"), "online_key_file": str(tmp_path / "online")}
    file = tmp_path / "fleet.yaml"
    file.write_text(json.dumps({"rollout": settings, "database": {"conninfo": conninfo}}))
    for name in ("masks.tflite", "masks.json"):
        shutil.copy(shipped("models") / name, tmp_path / name.replace("masks", "masks-2"))

    def run(*words: str) -> str:
        status = main(["rollout", "--config", str(file), *words])
        said = capsys.readouterr()
        assert status == 0, said.err
        # Log lines of the TUF library would hide the output.
        assert "keyid" not in said.err
        return said.out

    for name in ("root-1", "root-2", "root-3", "models-1", "models-2", "online"):
        run("key", str(tmp_path / name))
    public = [
        f"--{role}-key={tmp_path}/{name}-{number}.pub"
        for role, name, most in (("root", "root", 3), ("targets", "models", 2))
        for number in range(1, most + 1)
    ]
    run("create", *public)
    for name in ("root-1", "root-2", "models-1", "models-2"):
        run("sign", "--key", str(tmp_path / name))
    run("publish")
    run("assign", "--model", str(tmp_path / "masks-2.tflite"), "--named", "hall-1, hall-2")
    assert main(["rollout", "--config", str(file), "publish"]) == 78
    for number in (1, 2):
        run("sign", "--key", str(tmp_path / f"models-{number}"))
    run("publish")

    repository, config = Repository(tmp_path / "repository"), FleetConfig.model_validate(json.loads(file.read_text()))
    rollout = {"group": "default", "number": 1, "model": "masks-2", "state": "rejected"}
    connection.execute(
        "insert into devices (device, site, telemetry, telemetry_received) values ('hall-1', 'hall', %s, now())",
        [json.dumps({"rollout": rollout})],
    )
    release_stages(repository, read_signer(tmp_path / "online"), connection, config, when=now())

    assert repository.stages().groups["default"].is_paused
    status = run("status")
    assert "hall-1" in status
    assert re.search(r"^stages .* keys [0-9a-f]{12}$", status, flags=re.MULTILINE)
    assert "rolled back" in run("roll-back")
    assert repository.stages().groups["default"].is_rolled_back
    assert "in progress" in run("resume")
    assert '"_type": "root"' in run("root")
    # nginx, which serves the files, runs as another user.
    assert all(file.stat().st_mode & 0o044 for file in (tmp_path / "repository").rglob("*") if file.is_file())


def test_a_roll_out_paused_during_a_decision_stays_paused(fleet: Fleet, connection: psycopg.Connection, conninfo: str):
    fleet.assign_signed("two")
    config = FleetConfig.model_validate({"database": {"conninfo": conninfo}})
    options = [
        f"--set=rollout.repository={fleet.repository.folder}",
        f"--set=rollout.online_key_file={fleet.keys}/online",
    ]
    accepted = {"rollout": {"group": "default", "number": 1, "model": "two", "state": "accepted"}}
    connection.execute(
        "insert into devices (device, site, telemetry, telemetry_received) values ('hall-1', 'hall', %s, now())",
        [json.dumps(accepted)],
    )

    def release() -> None:
        with database.connect(config.database, application="test") as other:
            release_stages(fleet.repository, fleet.signer("online"), other, config, when=now() + timedelta(days=2))

    with ThreadPoolExecutor() as pool:
        with connection.transaction():
            # The decision waits for the database, as on a busy one.
            connection.execute("lock table devices")
            released = pool.submit(release)
            while not connection.execute(
                "select 1 from pg_locks where not granted and relation = 'devices'::regclass"
            ).fetchone():
                assert not released.done()
            assert main(["rollout", *options, "pause"]) == 0
        released.result()

    progress = fleet.repository.stages().groups["default"]
    assert (progress.stage, progress.is_paused) == ("named", True)


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["assign", "--model", "missing.tflite"],
        ["assign", "--configured", "--minimum-version", "latest"],
        ["assign", "--configured", "--group", ""],
        ["assign", "--configured", "--group", "hall 1"],
        ["assign", "--configured", "--named", "hall.1"],
        ["pause", "--group", "nowhere"],
        ["sign", "--key", "missing"],
        [],
    ],
)
def test_impossible_requests_exit_with_the_status_of_a_configuration_error(words, tmp_path):
    assert main(["rollout", "--set", f"rollout.repository={tmp_path}", *words]) == 78
    assert main(["rollout", *words]) == 78
