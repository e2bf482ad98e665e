"""Host stats: values of the machine, also of one that reports none."""

import os

import pytest

from edge_agent.host.stats import HostStats


@pytest.fixture(autouse=True)
def a_busy_disk_is_waited_for(monkeypatch):
    monkeypatch.setattr("edge_agent.host.disk.TIMEOUT_SECONDS", 60.0)


@pytest.fixture
def root(tmp_path):
    """The root of a Raspberry Pi that is slowed down."""
    files = {
        "sys/class/thermal/thermal_zone0/type": "PMIC-Die\n",
        "sys/class/thermal/thermal_zone0/temp": "100000\n",
        "sys/class/thermal/thermal_zone1/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone1/temp": "61828\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
        "proc/self/status": "Name:\tedge-agent\nVmRSS:\t  151234 kB\n",
        "proc/meminfo": "MemTotal:  3884 kB\nMemAvailable:  2000 kB\n",
        "proc/uptime": "3600.25 100.00\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_values_of_a_raspberry_pi(root):
    state = HostStats(root, root=root).read()

    assert state.temperature_celsius == 61.8
    assert state.memory_bytes == 151234 * 1024
    assert state.memory_available_bytes == 2000 * 1024
    assert state.uptime_seconds == 3600.25
    assert state.disk_free_bytes == pytest.approx(os.statvfs(root).f_bavail * os.statvfs(root).f_frsize, rel=0.1)


def test_current_throttling_is_distinguished_from_earlier(root):
    state = HostStats(root, root=root).read()

    assert state.throttling == ("under_voltage", "throttled")
    assert state.throttled_since_boot == ("under_voltage", "throttled")


def test_the_thermal_zone_of_the_processor_is_used(root):
    (root / "sys/class/thermal/thermal_zone1/temp").write_text("45000\n")

    assert HostStats(root, root=root).read().temperature_celsius == 45.0


def test_a_machine_without_sensors_reports_none(tmp_path):
    state = HostStats(tmp_path, root=tmp_path).read()

    assert state.temperature_celsius is None
    assert state.throttling == ()
    assert state.memory_bytes is None
    assert state.uptime_seconds is None


def test_the_free_space_of_a_folder_not_created_yet_is_known(tmp_path):
    assert HostStats(tmp_path / "state" / "crops").read().disk_free_bytes == pytest.approx(
        HostStats(tmp_path).read().disk_free_bytes, rel=0.1
    )


def test_invalid_sensor_values_are_ignored(root):
    (root / "sys/class/thermal/thermal_zone1/temp").write_text("warm\n")
    (root / "sys/devices/platform/soc/soc:firmware/get_throttled").write_text("perhaps\n")

    state = HostStats(root, root=root).read()

    assert state.temperature_celsius is None
    assert state.throttling == ()


def test_values_of_this_machine(tmp_path):
    state = HostStats(tmp_path).read()

    assert state.memory_bytes is not None
    assert state.memory_bytes > 10_000_000
    assert state.disk_free_bytes is not None


def test_an_inaccessible_folder_has_no_known_free_space(tmp_path):
    # Longer than a name may be: the kernel rejects it, even for root.
    assert HostStats(tmp_path / ("x" * 300), root=tmp_path).read().disk_free_bytes is None
