"""The whole agent with its state on a file system that hangs, such as a network share whose server is away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.messages.message import HISTORICAL_AFTER_SECONDS
from tests.journeys.agent import EXAMPLE, QUICK, AgentProcess, wait_until
from tests.journeys.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.mosquitto import Mosquitto

DEVICE = "lobby"
TELEMETRY_SECONDS = 2


class Share:
    """A FUSE mount that hangs while its process is stopped."""

    def __init__(self, folder: Path) -> None:
        """Mount it below `folder`."""
        behind, self.folder = folder / "behind", folder / "share"
        behind.mkdir(parents=True)
        self.folder.mkdir()
        self.process = subprocess.Popen(
            ["bindfs", "-f", behind, self.folder], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        wait_until(lambda: self.process.poll() is not None or self.folder.is_mount(), "the share", seconds=60)
        if self.process.poll() is not None:
            _, error = self.process.communicate()
            pytest.skip(f"needs the right to mount with FUSE, as root has it: {error.strip()}")

    @contextmanager
    def hangs(self) -> Iterator[None]:
        """Make the file system hang within the block."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Unmount it, even if it is in use."""
        subprocess.run(["umount", "--lazy", self.folder], check=True)
        self.process.terminate()
        self.process.communicate()


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    if shutil.which("bindfs") is None or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs the Debian package bindfs and /dev/fuse: modprobe fuse, as root")
    share = Share(tmp_path / "fuse")
    yield share
    share.close()


def configured(share: Share, broker: Mosquitto) -> dict[str, Any]:
    # An endless recording in real time, with alerts.
    video = f"ffmpeg -v error -re -stream_loop -1 -i {EXAMPLE} -c:v mjpeg -q:v 4 -f mjpeg -"
    return {
        "device": {"id": DEVICE},
        "state_dir": str(share.folder / "state"),
        "cameras": {"door": {"source": f"pipe: {video}"}},
        "mqtt": {
            "host": "127.0.0.1",
            "port": broker.port,
            "publish_crops": True,
            "telemetry_seconds": TELEMETRY_SECONDS,
        },
        **QUICK,
    }


def newest(listener: Subscriber, name: str) -> dict[str, Any]:
    """The last message on a topic of the device; empty if there is none."""
    found = [payload for topic, payload in list(listener.messages) if topic.endswith(f"/{name}")]
    return json.loads(found[-1]) if found else {}


def raised(listener: Subscriber) -> int:
    """Number of alerts in the agent's telemetry."""
    telemetry = newest(listener, "telemetry")
    return telemetry["counts"]["alerts"] if telemetry else 0


def reasons(listener: Subscriber) -> list[str]:
    return [reason["code"] for reason in newest(listener, "status").get("reasons", [])]


def test_a_disk_that_hangs_costs_no_frame_and_no_alert_and_is_reported(tmp_path, share, broker):
    with Subscriber(broker) as listener, AgentProcess(tmp_path / "agent", configured(share, broker)) as agent:
        assert agent.process is not None
        listener.wait_for_alerts(1)
        with share.hangs():
            wait_until(lambda: "outbox_stuck" in reasons(listener), "the status")
            published = len(listener.alerts)
            analysed = newest(listener, "telemetry")["counts"]["analysed"]
            wait_until(lambda: raised(listener) > published, "an alert that waits")
            waits_since = time.monotonic()
            agent.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "would be lost" in agent.log, "a reload to be rejected")
            for command in ("resume", "snapshot"):
                listener.publish(f"maskwatch/{DEVICE}/commands/{command}", b"{}")
            wait_until(lambda: newest(listener, "resume/result").get("state") == "done", "the result of resume")
            wait_until(lambda: newest(listener, "snapshot/result").get("state") == "failed", "the result of snapshot")
            wait_until(lambda: raised(listener) >= published + 2, "another that waits behind it")
            wait_until(lambda: newest(listener, "telemetry")["counts"]["analysed"] > analysed, "frames to be analysed")
            wait_until(lambda: time.monotonic() - waits_since > HISTORICAL_AFTER_SECONDS, "the first to be old")
            earlier = len(agent.notifications)
            wait_until(lambda: "WATCHDOG=1" in agent.notifications[earlier:], "the watchdog to be fed")
            assert len(listener.alerts) == published
            held = raised(listener)
        listener.wait_for_alerts(held)
        wait_until(lambda: "outbox_stuck" not in reasons(listener), "the status to recover")
        assert agent.end() == 0, agent.log
        alerts = listener.alerts
    assert [alert["sequence"] for alert in alerts] == list(range(1, len(alerts) + 1))
    assert len({alert["id"] for alert in alerts}) == len(alerts)
    assert [alert["when"] for alert in alerts] == sorted(alert["when"] for alert in alerts)
    assert all((share.folder / "state" / "crops" / alert["crop"]["file"]).exists() for alert in alerts)
    # The first buffered alert was delivered late.
    assert alerts[published]["historical"]


def test_an_agent_with_a_hanging_disk_reports_it_and_starts_when_it_responds(tmp_path, share, broker):
    with share.hangs(), AgentProcess(tmp_path / "agent", configured(share, broker)) as agent:
        wait_until(lambda: "the disk is not responding" in agent.log, "the log line about the disk")
        wait_until(lambda: any("EXTEND_TIMEOUT" in one for one in agent.notifications), "more time to start")
        assert "READY=1" not in agent.notifications

        share.process.send_signal(signal.SIGCONT)

        wait_until(lambda: "READY=1" in agent.notifications, "the camera to be watched")
        assert agent.end() == 0, agent.log


def test_an_agent_that_waits_for_its_disk_can_be_stopped(tmp_path, share, broker):
    with share.hangs(), AgentProcess(tmp_path / "agent", configured(share, broker)) as agent:
        wait_until(lambda: "the disk is not responding" in agent.log, "the log line about the disk")

        assert agent.end() == 0
