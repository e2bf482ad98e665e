"""Notify: reports alerts and their ends to people, once each, through Alertmanager.

Works as Prometheus does: the current alerts are posted to every Alertmanager repeatedly, and Alertmanager deduplicates,
groups and silences them. No state is stored, so any number of these processes may run and be killed at any time.
Alerts that a device sent late (`historical`) are not forwarded.
"""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from edge_agent.domain import timestamp
from edge_agent.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from fleet.config import NotifyConfig

AGAIN_SECONDS = 60.0
"""A restarted Alertmanager has lost its alerts; it gets them again within this time."""
ENDED_SECONDS = 900.0
"""For how long a resolved alert is reported; the same as in Prometheus."""
AT_ONCE = 500
MAX_PER_DEVICE = 1000
"""Alerts of one device at a time, oldest first; a flood must not fill the memory of this process and Alertmanager."""
ANSWER_SECONDS = 10.0
ALERT_NAME = "MissingMask"

STATE = """
select * from (
    select a.id::text, a.site, a.device, a.camera, a.label, a.happened, a.received, r.received as resolved,
        row_number() over (partition by a.device order by a.received) as place
    from alerts a left join resolutions r on r.alert = a.id
    where not a.historical and a.received > now() - make_interval(secs => %(shown)s)
        and (r.received is null or r.received > now() - make_interval(secs => %(ended)s))
) current where place <= %(max_per_device)s order by received
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notification:
    """State of one alert: when it began, and when it ended or is assumed to end."""

    id: str
    is_over: bool
    content: dict[str, Any]


class Notifier:
    """Posts the current alerts to every Alertmanager. Owned by one thread; time is an argument."""

    def __init__(self, config: NotifyConfig) -> None:
        self._config = config
        self._posted: dict[tuple[str, str, bool], float] = {}
        self._away: set[str] = set()

    def post(self, connection: Connection, *, at: float) -> int:
        """Query, and post what is new or due for repetition; returns how many were posted.

        Raises:
            psycopg.Error: the database is unavailable.
            UnavailableError: no Alertmanager accepts alerts; the next call retries.
        """
        found = self.state(connection)
        known = {
            (address, notification.id, notification.is_over)
            for address in self._config.alertmanagers
            for notification in found
        }
        self._posted = {key: posted_at for key, posted_at in self._posted.items() if key in known}
        posted, problem = 0, ""
        for address in self._config.alertmanagers:
            due = [
                notification
                for notification in found
                if at - self._posted.get((address, notification.id, notification.is_over), float("-inf"))
                >= AGAIN_SECONDS
            ]
            try:
                for begin in range(0, len(due), AT_ONCE):
                    batch = due[begin : begin + AT_ONCE]
                    _post(address, [notification.content for notification in batch])
                    self._posted.update(
                        {(address, notification.id, notification.is_over): at for notification in batch}
                    )
                    posted += len(batch)
            except UnavailableError as error:
                problem = str(error)
                self._log_unavailable(address, problem)
            else:
                self._log_recovered(address)
        if problem and len(self._away) == len(self._config.alertmanagers):
            raise UnavailableError(problem)
        return posted

    def state(self, connection: Connection) -> list[Notification]:
        """Alerts at this moment, by the clock of the database: active ones and those resolved recently."""
        values = {
            "shown": self._config.ends_after_seconds + ENDED_SECONDS,
            "ended": ENDED_SECONDS,
            "max_per_device": MAX_PER_DEVICE,
        }
        with connection.cursor(row_factory=dict_row) as cursor:
            return [self._notification(row) for row in cursor.execute(STATE, values)]

    def _notification(self, row: dict[str, Any]) -> Notification:
        ends = row["resolved"] or row["received"] + timedelta(seconds=self._config.ends_after_seconds)
        # With a wrong clock the device's time may be in the future.
        begins = min(row["happened"], row["received"])
        content = {
            "labels": {
                "alertname": ALERT_NAME,
                "site": row["site"],
                "device": row["device"],
                "camera": row["camera"],
                "violation": row["label"],
                "alert": row["id"],
            },
            "annotations": {"summary": f"{row['label'].replace('_', ' ')} at {row['device']}, {row['camera']}"},
            "startsAt": timestamp(begins),
            # The resolution may be stored first. Alertmanager rejects an end before the beginning.
            "endsAt": timestamp(max(begins, ends)),
        }
        if self._config.web_url:
            content["generatorURL"] = f"{self._config.web_url.rstrip('/')}/alerts/{row['id']}"
        return Notification(row["id"], row["resolved"] is not None, content)

    def _log_unavailable(self, address: str, problem: str) -> None:
        if address not in self._away:
            log.warning("%s", problem)
        self._away.add(address)

    def _log_recovered(self, address: str) -> None:
        if address in self._away:
            log.info("%s: accepts alerts again", address)
        self._away.discard(address)


def _post(address: str, alerts: Sequence[dict[str, Any]]) -> None:
    """Post alerts to one Alertmanager.

    Raises:
        UnavailableError: it does not respond, or refuses them.
    """
    body = json.dumps(alerts).encode()
    headers = {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(f"{address.rstrip('/')}/api/v2/alerts", body, headers)  # noqa: S310  (see config)
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        with error:
            reply = error.read().decode(errors="replace")[:300]
        raise UnavailableError(f"{address}: Alertmanager refuses alerts: {error.code} {reply}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UnavailableError(
            f"{address}: no answer of Alertmanager ({reason}); alerts are posted when it is back; check "
            "notify.alertmanagers"
        ) from error
