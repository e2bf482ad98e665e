"""systemd: readiness, watchdog and status notifications, and journal output."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time

from edge_agent.foreign_text import SafeFormatter, safe

log = logging.getLogger(__name__)

FEED_SECONDS = 1.0
"""Least interval between two watchdog notifications; short enough for any WatchdogSec of a few seconds."""

SEND_SECONDS = 0.5
"""Timeout of notifications that are sent once. Repeated ones never wait, because they are in the path of a frame."""

STDERR = 2

START_TIMEOUT_SECONDS = 30.0
"""Start timeout requested from systemd with each notification until READY; as long as WatchdogSec, which follows."""


class Notifier:
    """Sends sd_notify(3) messages to NOTIFY_SOCKET, if set. Owned by one thread."""

    def __init__(self) -> None:
        """Read the socket's address from the environment."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        # A leading @ denotes the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._is_ready = False
        self._fed_at = -FEED_SECONDS
        self._status = ""
        self._is_accepted = True

    def ready(self) -> None:
        """Report readiness; to be called repeatedly, sends until systemd has accepted it once."""
        if not self._is_ready:
            self._is_ready = self._send("READY=1")

    def alive(self) -> None:
        """Feed the watchdog; until READY also extend the start timeout, since a camera may be plugged in tomorrow."""
        now = time.monotonic()
        if now - self._fed_at >= FEED_SECONDS:
            self._fed_at = now
            waits = "" if self._is_ready else f"\nEXTEND_TIMEOUT_USEC={round(START_TIMEOUT_SECONDS * 1e6)}"
            self._send(f"WATCHDOG=1{waits}")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows; an unchanged text is not sent again."""
        # A second line, as in the error of a camera, would be a notification of its own.
        if text != self._status and self._send(f"STATUS={safe(text)}"):
            self._status = text

    def reloading(self) -> None:
        """Report the beginning of a reload; `ready` reports its end."""
        self._is_ready = False
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", wait_seconds=SEND_SECONDS)

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1", wait_seconds=SEND_SECONDS)

    def _send(self, message: str, *, wait_seconds: float = 0.0) -> bool:
        """Send a message; False if it was not accepted and should be sent again."""
        if not self._address:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                # A service manager that hangs must not block detection.
                notify.settimeout(wait_seconds)
                notify.connect(self._address)
                notify.sendall(message.encode())
        except (TimeoutError, BlockingIOError):
            if self._is_accepted:
                log.warning("notification to systemd (NOTIFY_SOCKET) failed; retrying")
            self._is_accepted = False
            return False
        except OSError as error:
            log.warning("NOTIFY_SOCKET is not reachable: %s", error)
            self._address = ""
            return True
        if not self._is_accepted:
            log.info("notifications to systemd work again")
        self._is_accepted = True
        return True


def log_handler(program: str = "edge-agent") -> logging.Handler:
    """A journal handler under systemd if systemd-python is installed; otherwise lines on stderr.

    In the journal, keys of `extra` in capitals become fields: CAMERA, ALERT_ID.
    """
    if _is_the_journal(STDERR):
        try:
            from systemd.journal import JournalHandler
        except ImportError:
            pass
        else:
            handler: logging.Handler = JournalHandler(SYSLOG_IDENTIFIER=program)
            # The journal stores time, severity and module separately.
            handler.setFormatter(SafeFormatter("%(message)s"))
            return handler
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(SafeFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    return handler


def _is_the_journal(file: int) -> bool:
    """Whether this file descriptor is connected to the journal.

    The variable alone does not suffice: a terminal started by a desktop's systemd inherits it.
    """
    if "JOURNAL_STREAM" not in os.environ:
        return False
    status = os.fstat(file)
    return os.environ["JOURNAL_STREAM"] == f"{status.st_dev}:{status.st_ino}"
