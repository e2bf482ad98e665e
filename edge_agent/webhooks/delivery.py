"""Webhook delivery: one thread per webhook, so that a slow receiver delays no other webhook, MQTT or camera.

At least once and in order: an event is delivered when the receiver has answered with a success code.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edge_agent.errors import UnavailableError
from edge_agent.host.backoff import Backoff
from edge_agent.webhooks.post import post, signature

if TYPE_CHECKING:
    from edge_agent.alerts.events import Event, EventQueue

POLL_SECONDS = 30.0
"""Interval at which the store is polled in any case: wake-ups are lost during a disk failure."""
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 2.0, 300.0
CLOSE_SECONDS = 1.0

log = logging.getLogger(__name__)


class WebhookDelivery:
    """Posts the events of one webhook."""

    def __init__(self, url: str, queue: EventQueue, *, name: str, secret: bytes | None) -> None:
        """Nothing is sent before `start`. `name` is logged instead of the URL."""
        self._url, self._queue, self._secret = url, queue, secret
        self.name = name
        self._backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, max_seconds=MAX_PAUSE_SECONDS)
        self._stop, self._news = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"webhook {name}", daemon=True)
        self.reason = ""
        """Why delivery fails now; empty if it does not."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Check for new events now; for any thread, does not block."""
        self._news.set()

    def close(self) -> None:
        """Stop the thread; if it waits for a receiver it is abandoned, and its event is posted again next time."""
        self._stop.set()
        self._news.set()
        self._thread.join(CLOSE_SECONDS)

    def deliver_next(self) -> float | None:
        """Post the oldest event; return the seconds to wait before the next, None if there is none."""
        try:
            oldest = self._queue.oldest()
            if oldest is None:
                return None
            self._post(oldest)
            self._queue.take(oldest)
        except UnavailableError as error:
            self._note(str(error))
            return self._backoff.take()
        # Delivery must not end while the agent runs, even after a bug.
        except Exception:
            if not self.reason:
                log.exception("webhook %s: an event cannot be posted; please report this", self.name)
            self._note("the agent failed; see its log")
            return self._backoff.take()
        self._backoff.reset()
        self._note("")
        return 0.0

    def _run(self) -> None:
        pause: float | None = 0.0
        while not self._stop.wait(pause):
            # Cleared before the check: later events set it again.
            self._news.clear()
            pause = self.deliver_next()
            if pause is None:
                self._news.wait(POLL_SECONDS)
                pause = 0.0

    def _post(self, event: Event) -> None:
        body, timestamp = event.message.encode(), int(datetime.now(timezone.utc).timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "maskwatch",
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
        }
        if self._secret is not None:
            headers["webhook-signature"] = signature(self._secret, id=event.id, timestamp=timestamp, body=body)
        post(self._url, body, headers)

    def _note(self, reason: str) -> None:
        """Log the first reason of an outage, and its end."""
        if reason and not self.reason:
            log.warning("webhook %s: delivery fails, events are kept: %s", self.name, reason)
        elif self.reason and not reason:
            log.info("webhook %s: delivery works again", self.name)
        self.reason = reason
