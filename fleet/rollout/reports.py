"""Reports: queries the roll-out status of a group's devices, and their numbers of alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet.rollout.release import WEEK, Alerts, Device

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import Connection

DEVICES = """
select device, (telemetry -> 'rollout' ->> 'number')::bigint, telemetry -> 'rollout' ->> 'state'
from devices
where telemetry -> 'rollout' ->> 'group' = %(group)s
    and telemetry_received > least(now(), %(since)s::timestamptz) - interval '1 day'
order by device
"""

ALERTS = """
select count(*) filter (where id < first_uuid7(%(since)s)), count(*) filter (where id >= first_uuid7(%(since)s))
from alerts
where device = any(%(devices)s) and id >= first_uuid7(%(before)s) and id < first_uuid7(%(when)s)
"""


def devices(connection: Connection, group: str, *, since: datetime | None = None) -> list[Device]:
    """The devices of a group that were heard from within a day, or from a day before the stage began (`since`) on.

    A device that the new model has silenced still counts, as one that has not accepted it.
    """
    return [Device(*row) for row in connection.execute(DEVICES, {"group": group, "since": since}).fetchall()]


def alerts(connection: Connection, names: Sequence[str], *, since: datetime, when: datetime) -> Alerts:
    """Alerts of these devices in the week before `since`, and from `since` until `when`."""
    values = {"devices": list(names), "before": since - WEEK, "since": since, "when": when}
    before, after = connection.execute(ALERTS, values).fetchone() or (0, 0)
    return Alerts(week_before=before, since=after)
