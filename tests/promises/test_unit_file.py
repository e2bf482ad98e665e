"""The unit file and the code agree."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_agent.config.model import CameraConfig, ConsoleConfig
from edge_agent.console.server import OTHER_CONNECTIONS
from edge_agent.errors import ConfigError, ModelError, UnavailableError
from edge_agent.host.systemd import FEED_SECONDS, START_TIMEOUT_SECONDS
from edge_agent.mqtt.publisher import DRAIN_SECONDS
from edge_agent.rollout.follower import OBSERVE_SECONDS

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT_FILE, CONSOLE_UNIT_FILE = DEPLOY / "edge-agent.service", DEPLOY / "maskwatch-console.service"
ROLLOUT_UNIT_FILE = DEPLOY / "maskwatch-rollout.service"
MAX_EXPOSED = 2.0
"""Highest accepted exposure level of `systemd-analyze security`; 10 is a service without a sandbox."""


def knows_offline() -> bool:
    """Whether systemd-analyze is installed and can check a file (since systemd 250)."""
    if shutil.which("systemd-analyze") is None:
        return False
    done = subprocess.run(["systemd-analyze", "--help"], capture_output=True, text=True, check=True)
    return "--offline" in done.stdout


needs_systemd_analyze = pytest.mark.skipif(
    not knows_offline(), reason="systemd-analyze 250 or later is missing (Debian package systemd)"
)


def the_unit(file: Path = UNIT_FILE) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(file, encoding="utf-8")
    return unit


def all_values(key: str, file: Path = UNIT_FILE) -> list[str]:
    """All values of a key that may be given several times."""
    return re.findall(rf"^{key}=(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture
def service() -> configparser.SectionProxy:
    return the_unit()["Service"]


def test_only_configuration_errors_prevent_a_restart_of_the_service(service):
    not_restarted = set(service["RestartPreventExitStatus"].split())

    assert not_restarted == {str(ConfigError.exit_code), str(ModelError.exit_code)}
    assert str(UnavailableError.exit_code) not in not_restarted


def test_the_watchdog_timeout_exceeds_those_of_camera_and_notifications(service):
    seconds = float(service["WatchdogSec"])

    assert seconds > 2 * FEED_SECONDS
    assert seconds > 2 * CameraConfig().read_timeout_seconds


def test_the_start_timeout_is_at_least_the_watchdog_timeout(service):
    assert float(service["WatchdogSec"]) == START_TIMEOUT_SECONDS
    assert float(service["TimeoutStartSec"]) >= START_TIMEOUT_SECONDS


def test_a_service_that_always_fails_is_not_restarted_forever():
    unit = the_unit()["Unit"]
    seconds_each = float(the_unit()["Service"]["RestartSec"])

    assert float(unit["StartLimitIntervalSec"]) > int(unit["StartLimitBurst"]) * seconds_each


def test_the_stop_timeout_exceeds_the_drain_time(service):
    assert float(service["TimeoutStopSec"]) > DRAIN_SECONDS + 2


def test_the_unit_uses_notifications_and_sighup(service):
    assert service["Type"] == "notify"
    assert service["ExecReload"].startswith("/bin/kill -HUP")
    assert " run " in service["ExecStart"]


def test_the_sandbox_does_not_hide_the_camera(service):
    # DeviceAllow= forbids all other devices, and keys such as ProtectClock= imply it.
    assert "char-video4linux rw" in all_values("DeviceAllow")
    assert service.get("PrivateDevices", "no") == "no"
    assert "video" in service["SupplementaryGroups"].split()


def test_a_camera_plugged_in_after_the_start_is_accessible():
    # systemd.resource-control(5): device types unknown to the kernel when the unit starts are ignored.
    modules = {
        "char-video4linux": "videodev",
        "char-media": "mc",
        "char-dma_heap": "built into every kernel that has it",
    }
    kinds = {line.split()[0] for line in all_values("DeviceAllow")}
    loaded = " ".join(all_values("Wants")), " ".join(all_values("After"))

    assert kinds == set(modules)
    for kind in kinds - {"char-dma_heap"}:
        assert all(f"modprobe@{modules[kind]}.service" in names for names in loaded)


def test_the_sandbox_does_not_hide_the_network_or_host_stats(service):
    families = set(service["RestrictAddressFamilies"].split())

    assert {"AF_UNIX", "AF_INET", "AF_INET6"} <= families
    assert service.get("PrivateNetwork", "no") == "no"
    # Needed: /proc/meminfo, /proc/uptime and the boot id.
    assert service.get("ProcSubset", "all") == "all"


def test_the_agent_may_read_the_state_of_the_clock_and_not_set_it(service):
    allowed = " ".join(all_values("SystemCallFilter")).split()

    assert {"adjtimex", "clock_adjtime"} <= set(allowed)
    assert service.get("ProtectClock", "no") == "no"
    assert all_values("CapabilityBoundingSet") == [""]


@pytest.mark.parametrize("file", [UNIT_FILE, CONSOLE_UNIT_FILE, ROLLOUT_UNIT_FILE])
def test_the_sandbox_permits_setting_the_policy_of_threads(file):
    # libzmq, the library of the local socket, sets the policy of its threads. The last line that names a system call
    # applies; realtime scheduling stays forbidden.
    lines = all_values("SystemCallFilter", file)

    assert lines.index("sched_setscheduler") > lines.index("~@privileged @resources")
    assert the_unit(file)["Service"]["RestrictRealtime"] == "yes"


@pytest.mark.parametrize(
    ("file", "secrets"),
    [
        (UNIT_FILE, {"mqtt-password", "mqtt-key"}),
        (CONSOLE_UNIT_FILE, {"console-password", "console-token", "console-key"}),
    ],
)
def test_each_service_gets_only_its_own_optional_secrets(file, secrets):
    loaded = {line.split(":")[0] for line in all_values("LoadCredential", file)}
    instead = {line.split(":")[0] for line in all_values("SetCredential", file)}

    assert loaded == instead == secrets


def test_the_console_runs_as_another_user_with_less_weight_and_no_devices():
    agent, console = the_unit()["Service"], the_unit(CONSOLE_UNIT_FILE)["Service"]

    assert console["User"] != agent["User"]
    # The group gives read access to the agent's files and access to its socket.
    assert console["Group"] == agent["Group"]
    assert (agent["UMask"], console["PrivateDevices"], console["ProtectSystem"]) == ("0027", "yes", "strict")
    assert int(console["CPUWeight"]) < 100
    assert int(console["Nice"]) > 0
    assert not [key for key in console if key.endswith("Directory") or key == "ReadWritePaths"]


def test_both_services_have_memory_limits_and_the_console_is_killed_first():
    agent, console = the_unit()["Service"], the_unit(CONSOLE_UNIT_FILE)["Service"]

    for key in ("MemoryMax", "TasksMax", "LimitNOFILE", "CPUWeight", "OOMScoreAdjust"):
        assert agent[key], key
        assert console[key], key
    assert int(agent["CPUWeight"]) > 100 * int(console["CPUWeight"])
    assert int(agent["OOMScoreAdjust"]) < 0 < int(console["OOMScoreAdjust"])
    # If a decoder or a camera program is killed for lack of memory, the service continues.
    assert agent["OOMPolicy"] == console["OOMPolicy"] == "continue"
    assert int(console["LimitNOFILE"]) > ConsoleConfig().max_viewers + OTHER_CONNECTIONS


def test_a_console_whose_port_is_taken_is_restarted_until_it_is_free():
    unit = the_unit(CONSOLE_UNIT_FILE)

    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert str(UnavailableError.exit_code) not in unit["Service"]["RestartPreventExitStatus"].split()
    assert " console " in unit["Service"]["ExecStart"]


def test_the_roll_out_runs_as_the_agents_user_with_less_weight_and_no_secrets():
    agent, rollout = the_unit()["Service"], the_unit(ROLLOUT_UNIT_FILE)["Service"]

    assert (rollout["User"], rollout["Group"], rollout["UMask"]) == (agent["User"], agent["Group"], agent["UMask"])
    assert not all_values("LoadCredential", ROLLOUT_UNIT_FILE)
    assert int(agent["CPUWeight"]) > 100 * int(rollout["CPUWeight"])
    assert int(rollout["WatchdogSec"]) > 2 * OBSERVE_SECONDS


@needs_systemd_analyze
@pytest.mark.parametrize("file", [UNIT_FILE, CONSOLE_UNIT_FILE, ROLLOUT_UNIT_FILE])
def test_systemd_rates_the_sandbox_as_safe(file):
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    level = re.search(rf"Overall exposure level for {file.name}: ([0-9.]+)", done.stdout)

    assert level, done.stdout + done.stderr
    assert float(level[1]) <= MAX_EXPOSED


@needs_systemd_analyze
@pytest.mark.parametrize("file", [UNIT_FILE, CONSOLE_UNIT_FILE, ROLLOUT_UNIT_FILE])
def test_systemd_accepts_every_line(file):
    # It exits with 0 despite unknown keys, and only prints a warning to stderr.
    command = ["systemd-analyze", "verify", "--man=no", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    own = [line for line in done.stderr.splitlines() if file.stem in line]
    assert [line for line in own if "is not executable" not in line] == []
