"""Group checks: whether the service's user may open a camera, independent of the user who runs the doctor."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import replace

import pytest

from edge_agent.config.model import Config
from edge_agent.diagnosis.groups import AgentUser, agent_user, check_groups

SERVICE = {"User": "nobody", "SupplementaryGroups": ""}
# Nobody's numbers, neither of the user nor of the group that the tests run as.
STRANGER = AgentUser("maskwatch", uid=54_321, groups=frozenset({54_322}), is_service=True)


@pytest.fixture
def machine(tmp_path):
    """Function that adds cameras to a fake /dev: files accessible to owner and group only."""

    def plug_in(*names: str) -> None:
        for name in names:
            (tmp_path / "dev" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "dev" / name).touch(mode=0o660)
            (tmp_path / "dev" / name).chmod(0o660)

    plug_in("video0")
    return plug_in


def findings(tmp_path, user, *sources):
    cameras = {f"camera-{number}": {"source": source} for number, source in enumerate(sources or ("/dev/video0",))}
    return list(check_groups(Config.model_validate({"cameras": cameras}), user, root=tmp_path))


def own_group(tmp_path):
    return (tmp_path / "dev" / "video0").stat().st_gid


def test_a_user_outside_the_group_of_a_camera_gets_the_command_to_join(tmp_path, machine):
    (finding,) = findings(tmp_path, STRANGER)

    group = grp.getgrgid(own_group(tmp_path)).gr_name
    assert (finding.check, finding.severity, finding.exit_code) == ("groups", "wrong", 78)
    assert f"maskwatch, who runs the agent, is not in its group {group}" in finding.message
    assert finding.fix == f"sudo usermod -aG {group} maskwatch && sudo systemctl restart edge-agent"


def test_a_user_who_runs_the_agent_has_to_log_in_again(tmp_path, machine):
    (finding,) = findings(tmp_path, replace(STRANGER, is_service=False))

    assert finding.fix.endswith("maskwatch, and log in again")


def test_a_user_in_the_group_may_open_the_camera(tmp_path, machine):
    (finding,) = findings(tmp_path, replace(STRANGER, groups=frozenset({own_group(tmp_path)})))

    assert finding.severity == "ok"


@pytest.mark.parametrize("source", ["/dev/video0", "0"])
def test_access_follows_owner_group_and_mode(tmp_path, machine, source):
    owner = (tmp_path / "dev" / "video0").stat().st_uid
    assert [one.severity for one in findings(tmp_path, replace(STRANGER, uid=0), source)] == ["ok"]
    assert [one.severity for one in findings(tmp_path, replace(STRANGER, uid=owner), source)] == ["ok"]

    (tmp_path / "dev" / "video0").chmod(0o666)
    assert [one.severity for one in findings(tmp_path, STRANGER, source)] == ["ok"]


def test_a_group_that_may_only_read_is_not_enough(tmp_path, machine):
    (tmp_path / "dev" / "video0").chmod(0o640)

    assert [one.severity for one in findings(tmp_path, replace(STRANGER, groups=frozenset({own_group(tmp_path)})))] == [
        "wrong"
    ]


def test_every_device_file_of_a_csi_camera_is_checked(tmp_path, machine):
    machine("media0", "dma_heap/linux,cma")

    closed = [finding.message.split(":")[0].rsplit("/", 1)[-1] for finding in findings(tmp_path, STRANGER, "rpicam")]

    assert closed == ["linux,cma", "media0", "video0"]


@pytest.mark.parametrize("source", ["/dev/video7", "rtsp://viewer:secret@10.0.0.7/live", "pipe: cat x"])
def test_other_sources_need_no_group(tmp_path, machine, source):
    assert findings(tmp_path, STRANGER, source) == []


def test_the_services_user_counts_with_the_groups_that_the_unit_adds():
    nobody, other = pwd.getpwnam("nobody"), grp.getgrall()[-1]

    user = agent_user(SERVICE | {"SupplementaryGroups": f"{other.gr_name} no-such-group"})

    assert (user.name, user.uid, user.is_service) == ("nobody", nobody.pw_uid, True)
    assert user.groups == {nobody.pw_gid, other.gr_gid} | set(os.getgrouplist("nobody", nobody.pw_gid))


@pytest.mark.parametrize("service", [None, SERVICE | {"User": "no-such-user"}])
def test_without_a_service_the_current_user_is_checked(service):
    user = agent_user(service)

    assert (user.uid, user.is_service) == (os.geteuid(), False)


def test_a_user_without_a_name_is_checked_by_number(monkeypatch):
    def unknown(user):
        raise KeyError(f"getpwuid(): uid not found: {user}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    assert agent_user(None).name == str(os.getuid())
