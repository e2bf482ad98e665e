"""systemd: notifications and journal."""

import importlib.util
import logging
import os
import socket

import pytest

from edge_agent.host.systemd import Notifier, log_handler

HAS_SYSTEMD_PYTHON = importlib.util.find_spec("systemd") is not None


@pytest.fixture
def manager(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(1)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def received(manager: socket.socket) -> list[str]:
    manager.setblocking(False)
    messages = []
    while True:
        try:
            messages.append(manager.recv(1000).decode())
        except BlockingIOError:
            return messages


def test_ready_is_sent_once_and_again_after_a_reload(manager):
    notifier = Notifier()
    notifier.ready()
    notifier.ready()
    notifier.reloading()
    notifier.ready()

    first, reloading, last = received(manager)

    assert (first, last) == ("READY=1", "READY=1")
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")


def test_the_watchdog_is_fed_at_most_once_a_second(manager):
    notifier = Notifier()
    notifier.ready()
    for _ in range(100):
        notifier.alive()

    assert received(manager) == ["READY=1", "WATCHDOG=1"]


def test_until_ready_each_notification_extends_the_start_timeout(manager):
    notifier = Notifier()
    notifier.alive()

    assert received(manager) == ["WATCHDOG=1\nEXTEND_TIMEOUT_USEC=30000000"]


def test_a_status_is_sent_when_it_changes(manager):
    notifier = Notifier()
    for text in ("watching", "watching", "broker away"):
        notifier.status(text)
    notifier.stopping()

    assert received(manager) == ["STATUS=watching", "STATUS=broker away", "STOPPING=1"]


def test_an_abstract_socket_is_understood(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0maskwatch-test-notify")
        monkeypatch.setenv("NOTIFY_SOCKET", "@maskwatch-test-notify")
        Notifier().ready()

        assert received(listening) == ["READY=1"]


def test_without_a_service_manager_nothing_happens(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    Notifier().ready()


def test_a_missing_service_manager_is_logged_once(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "missing"))
    notifier = Notifier()
    notifier.ready()
    notifier.stopping()

    assert len(caplog.records) == 1


def test_a_status_of_two_lines_is_no_second_notification(manager):
    Notifier().status("camera door away: refused\nSTOPPING=1")

    (message,) = received(manager)

    assert "\n" not in message


def test_a_blocked_service_manager_is_logged_once_and_notified_again_later(manager, caplog):
    caplog.set_level(logging.INFO)
    notifier = Notifier()
    # More than any system buffers for a peer that does not read. Each one that waited would take half a second.
    for number in range(2000):
        notifier.status(f"number {number}")
    notifier.ready()
    unread = received(manager)
    notifier.status("number 1999")
    notifier.ready()
    notifier.ready()

    assert len(unread) < 2000
    assert "READY=1" not in unread
    assert received(manager) == ["STATUS=number 1999", "READY=1"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_outside_the_journal_logs_are_lines_on_stderr(monkeypatch):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)

    assert type(log_handler()) is logging.StreamHandler


def test_a_terminal_that_systemd_has_started_still_shows_the_logs(monkeypatch):
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")

    assert type(log_handler()) is logging.StreamHandler


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(
            "JournalHandler", marks=pytest.mark.skipif(not HAS_SYSTEMD_PYTHON, reason="no systemd-python here")
        ),
        pytest.param("StreamHandler", marks=pytest.mark.skipif(HAS_SYSTEMD_PYTHON, reason="systemd-python is here")),
    ],
)
def test_under_systemd_logs_go_to_the_journal_where_systemd_python_is_installed(monkeypatch, handler):
    stderr = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{stderr.st_dev}:{stderr.st_ino}")

    assert type(log_handler()).__name__ == handler
