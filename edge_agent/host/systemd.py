"""systemd: readiness, watchdog and status notifications, and journal output."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time

from edge_agent.foreign_text import SafeFormatter

log = logging.getLogger(__name__)

FEED_SECONDS = 1.0
"""The watchdog is fed at most this often; any WatchdogSec of a few seconds is served well."""

SEND_SECONDS = 0.5
"""For what is sent once. What is repeated anyway never waits: it is in the path of a frame."""

STDERR = 2

PATIENCE_SECONDS = 30.0
"""Until READY, systemd counts anew from each sign of life; later WatchdogSec, which is as long, does the same."""


class Notifier:
    """Speaks sd_notify(3) to NOTIFY_SOCKET; without one it keeps quiet. Owned by one thread."""

    def __init__(self) -> None:
        """Find the socket in the environment."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._is_ready = False
        self._fed_at = -FEED_SECONDS
        self._status = ""
        self._is_heard = True

    def ready(self) -> None:
        """Say once that the service does its job: to be called again and again, until it is taken."""
        if not self._is_ready:
            self._is_ready = self._send("READY=1")

    def alive(self) -> None:
        """Feed the watchdog; until READY also ask for time, since a camera may be plugged in tomorrow."""
        now = time.monotonic()
        if now - self._fed_at >= FEED_SECONDS:
            self._fed_at = now
            waits = "" if self._is_ready else f"\nEXTEND_TIMEOUT_USEC={round(PATIENCE_SECONDS * 1e6)}"
            self._send(f"WATCHDOG=1{waits}")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows; repeating it costs nothing."""
        if text != self._status and self._send(f"STATUS={text}"):
            self._status = text

    def reloading(self) -> None:
        """Say that the configuration is being read again; `ready` follows when that is done."""
        self._is_ready = False
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", wait_seconds=SEND_SECONDS)

    def stopping(self) -> None:
        """Say that the end was asked for."""
        self._send("STOPPING=1", wait_seconds=SEND_SECONDS)

    def _send(self, message: str, *, wait_seconds: float = 0.0) -> bool:
        """Say something; False where it was not taken and is worth saying again."""
        if not self._address:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                # A service manager that hangs must not block detection.
                notify.settimeout(wait_seconds)
                notify.connect(self._address)
                notify.sendall(message.encode())
        except (TimeoutError, BlockingIOError):
            if self._is_heard:
                log.warning("notification to systemd (NOTIFY_SOCKET) failed; retrying")
            self._is_heard = False
            return False
        except OSError as error:
            log.warning("NOTIFY_SOCKET is not reachable: %s", error)
            self._address = ""
            return True
        if not self._is_heard:
            log.info("notifications to systemd work again")
        self._is_heard = True
        return True


def log_handler(program: str = "edge-agent") -> logging.Handler:
    """The journal where systemd runs the program and systemd-python is installed; lines on stderr elsewhere.

    In the journal whatever is logged with `extra` becomes a field where its name is in capitals: CAMERA, ALERT_ID.
    """
    if _is_the_journal(STDERR):
        try:
            from systemd.journal import JournalHandler
        except ImportError:
            pass
        else:
            handler: logging.Handler = JournalHandler(SYSLOG_IDENTIFIER=program)
            # The journal keeps time, severity and module beside the message.
            handler.setFormatter(SafeFormatter("%(message)s"))
            return handler
    handler = logging.StreamHandler(sys.stderr)
    # The journal and a terminal's reader add nothing to a line without a time.
    handler.setFormatter(SafeFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    return handler


def _is_the_journal(file: int) -> bool:
    """Whether what is written to this file descriptor ends up in the journal.

    The variable alone does not tell: a terminal that a desktop's systemd has started inherits it.
    """
    if "JOURNAL_STREAM" not in os.environ:
        return False
    status = os.fstat(file)
    return os.environ["JOURNAL_STREAM"] == f"{status.st_dev}:{status.st_ino}"
