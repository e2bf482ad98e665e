"""Queries: reads from the database for pages and API, by index and one page at a time.

Keyset pagination: nothing is counted or skipped. Ids sort by time, so a time limits the id, and PostgreSQL prunes the
partitions before and after.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from psycopg import sql
from psycopg.rows import dict_row
from pydantic import AfterValidator, Field

from edge_agent.console.parameters import NOT_BEFORE_SINCE, Moment, Parameters
from edge_agent.messages.message import Uuid7  # noqa: TC001  (pydantic reads it)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

A_PAGE = 50
DEVICES_A_PAGE = 200
REVIEWS = ("without_mask", "mask_worn_incorrectly", "with_mask", "no_face")
EXPORTED_AT_ONCE = 200
HISTORY_DAYS = 30
MAX_BOOTS = 20
MAX_GAPS = 1000
HOURS_A_PAGE = 24 * 31
"""Rows of people by site and hour, and those that are left of the last hour."""

# A device may send any sequence; sums of them that exceed a bigint are shown as 9e18.
DEVICES = """
select d.device, d.site, d.state, d.heard, extract(epoch from now() - d.heard)::float8 as silent_seconds,
    d.status -> 'reasons' as reasons,
    d.telemetry -> 'models' -> 'masks' ->> 'name' as model,
    d.telemetry -> 'models' -> 'masks' ->> 'sha256' as model_sha256,
    d.telemetry -> 'versions' ->> 'maskwatch' as version,
    (d.telemetry -> 'outbox' ->> 'rows')::bigint as waiting,
    d.telemetry -> 'outbox' -> 'dropped' as dropped,
    (select least(coalesce(sum(g.missing), 0), 9e18)::bigint from gaps g where g.device = d.device) as missing
from devices d
where (%(site)s = '' or d.site = %(site)s) and d.device > %(after)s and case %(state)s
    when '' then true
    when 'silent' then d.heard < now() - make_interval(secs => %(silent)s)
    when 'model_rejected' then d.telemetry -> 'rollout' ->> 'state' = 'rejected'
    else d.state = %(state)s end
order by d.device limit %(limit)s
"""

ONE_DEVICE = """
select d.device, d.site, d.state, d.first_heard, d.heard, d.status, d.status_received, d.telemetry,
    d.telemetry_received, extract(epoch from now() - d.heard)::float8 as silent_seconds
from devices d where d.device = %s
"""

BOOTS = """
select boot_id, max(updated) as updated, least(sum(last), 9e18)::bigint as sent,
    least(sum(last - received), 9e18)::bigint as missing
from streams where device = %s group by boot_id order by updated desc limit %s
"""

DAYS = """
select happened::date as day, count(*)::int as alerts,
    count(*) filter (where label = 'without_mask')::int as without_mask,
    count(*) filter (where label = 'mask_worn_incorrectly')::int as mask_worn_incorrectly,
    count(*) filter (where historical)::int as historical
from alerts
where device = %(device)s and id >= first_uuid7(now() - make_interval(days => %(days)s))
group by day order by day desc
"""

ONE_ALERT = """
select a.id::text, a.device, a.site, a.camera, a.label, a.happened, a.received, a.historical, a.message, a.review,
    a.reviewed_by, a.reviewed, r.reason as resolved, r.duration_seconds,
    exists (select from pictures p where p.alert = a.id) as has_picture,
    (select substring(p.picture for 2) <> '\\xffd8' from pictures p where p.alert = a.id) as is_encrypted
from alerts a left join resolutions r on r.alert = a.id
where a.id = %s::uuid
"""

COUNTS = """
with page as (
    select * from site_hours
    where begins >= %(since)s and begins < %(until)s and (%(site)s = '' or site = %(site)s)
    order by begins desc fetch first (%(limit)s) rows with ties
)
select site, begins, with_mask, without_mask, mask_worn_incorrectly, undecided,
    round(with_mask::numeric / nullif(with_mask + without_mask + mask_worn_incorrectly, 0), 4)::float8 as compliance
from page order by begins desc, site
"""

FIGURES = """
select
    (select jsonb_object_agg(state, n) from (select state, count(*) n from devices group by state) s) as states,
    (select count(*) from devices where heard < now() - make_interval(secs => %(silent)s)) as silent,
    (select least(coalesce(sum(missing), 0), 9e18)::bigint from gaps where state = 'lost') as lost,
    (select least(coalesce(sum(missing), 0), 9e18)::bigint from gaps where state = 'on_its_way') as on_its_way,
    (select count(*) from alerts where id >= first_uuid7(now() - interval '1 hour')
        and id < first_uuid7(now() + interval '1 hour')) as alerts_of_last_hour
"""


def clean(text: str) -> str:
    """Remove U+0000, which PostgreSQL cannot store and no name contains."""
    return text.replace("\0", "")


def _in_utc(when: datetime | None) -> datetime | None:
    if when is None:
        return None
    try:
        return when.replace(tzinfo=when.tzinfo or timezone.utc).astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError("not a time of the years 1 to 9999 in UTC") from error


Name = Annotated[str, AfterValidator(clean)]
UtcMoment = Annotated[Moment, AfterValidator(_in_utc)]
"""A time in UTC, also if it names no zone."""


DeviceState: TypeAlias = Literal["online", "degraded", "starting", "offline", "unknown", "silent", "model_rejected"]


class DeviceFilter(Parameters):
    """Filter of devices; empty fields match all."""

    site: Name = ""
    state: DeviceState | Literal[""] = Field(
        "", description="The last state, or `silent`: sends nothing; `model_rejected`: by the roll-out of a model"
    )
    after: Name = Field("", description="The last device of the page before")


class AlertFilter(Parameters):
    """Filter of alerts; empty fields match all."""

    site: Name = ""
    device: Name = ""
    label: Literal["without_mask", "mask_worn_incorrectly", ""] = ""
    review: Literal["without_mask", "mask_worn_incorrectly", "with_mask", "no_face", "unreviewed", ""] = ""
    since: UtcMoment = None
    until: Annotated[UtcMoment, NOT_BEFORE_SINCE] = None
    before: Uuid7 | Literal[""] = Field("", description="The last id of the page before")


def alerts_statement(wanted: AlertFilter) -> tuple[sql.Composed, dict[str, Any]]:
    """The query with only the conditions in use, so that PostgreSQL can choose the index."""
    conditions = {
        "a.site = %(site)s": wanted.site,
        "a.device = %(device)s": wanted.device,
        "a.label = %(label)s": wanted.label,
        "a.review is null": wanted.review == "unreviewed",
        "a.review = %(review)s": wanted.review not in ("", "unreviewed"),
        "a.id >= first_uuid7(%(since)s)": wanted.since,
        "a.id < first_uuid7(%(until)s)": wanted.until,
        "a.id < %(before)s::uuid": wanted.before,
    }
    asked = [sql.SQL(condition) for condition, is_asked in conditions.items() if is_asked]
    text = sql.SQL(
        "select a.id::text, a.device, a.site, a.camera, a.label, a.happened, a.historical, a.review, "
        "(a.message ->> 'score')::float8 as score, "
        "exists (select from pictures p where p.alert = a.id) as has_picture, "
        "(select substring(p.picture for 2) <> '\\xffd8' from pictures p where p.alert = a.id) as is_encrypted "
        "from alerts a {} {} order by a.id desc limit %(limit)s"
    ).format(sql.SQL("where" if asked else ""), sql.SQL(" and ").join(asked))
    return text, wanted.model_dump()


def alerts(connection: Connection, wanted: AlertFilter) -> tuple[list[dict[str, Any]], bool]:
    """A page of alerts, newest first, and whether there are more."""
    text, values = alerts_statement(wanted)
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(text, {**values, "limit": A_PAGE + 1}).fetchall()
    return found[:A_PAGE], len(found) > A_PAGE


def alert(connection: Connection, alert_id: str) -> dict[str, Any] | None:
    """One alert with all details."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(ONE_ALERT, [alert_id]).fetchone()


def picture(connection: Connection, alert_id: str) -> bytes | None:
    """The crop of an alert, as the device published it."""
    row = connection.execute("select picture from pictures where alert = %s::uuid", [alert_id]).fetchone()
    return bytes(row[0]) if row else None


def review(connection: Connection, alert_id: str, *, review: str, by: str) -> bool:
    """Store the review of an alert, or remove it if `review` is empty; False if the alert does not exist."""
    changed = connection.execute(
        "update alerts set review = nullif(%(review)s, ''), "
        "reviewed_by = case when %(review)s = '' then null else %(by)s end, "
        "reviewed = case when %(review)s = '' then null else now() end where id = %(id)s::uuid",
        {"review": review, "by": by, "id": alert_id},
    )
    return changed.rowcount > 0


def devices(
    connection: Connection, wanted: DeviceFilter, *, silent_seconds: float
) -> tuple[list[dict[str, Any]], bool]:
    """A page of devices, by name, and whether there are more."""
    values = {**wanted.model_dump(), "silent": silent_seconds, "limit": DEVICES_A_PAGE + 1}
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(DEVICES, values).fetchall()
    return found[:DEVICES_A_PAGE], len(found) > DEVICES_A_PAGE


def device(connection: Connection, name: str) -> dict[str, Any] | None:
    """One device: its last messages, its boots with their missing messages, and its alerts by day (UTC)."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(ONE_DEVICE, [name]).fetchone()
        if found is None:
            return None
        boots = cursor.execute(BOOTS, [name, MAX_BOOTS]).fetchall()
        days = cursor.execute(DAYS, {"device": name, "days": HISTORY_DAYS}).fetchall()
        return {**found, "boots": boots, "days": days}


def gaps(connection: Connection) -> list[dict[str, Any]]:
    """Missing messages by device, kind and boot."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("select * from gaps order by device, kind, boot_id limit %s", [MAX_GAPS]).fetchall()


def counts(connection: Connection, *, site: str, since: datetime, until: datetime) -> tuple[list[dict[str, Any]], bool]:
    """People and compliance by site and hour, newest first, and whether there may be more before the last hour."""
    with connection.cursor(row_factory=dict_row) as cursor:
        values = {"site": site, "since": since, "until": until, "limit": HOURS_A_PAGE}
        found = cursor.execute(COUNTS, values).fetchall()
    return found, len(found) >= HOURS_A_PAGE


def sites(connection: Connection) -> list[str]:
    """All sites that have devices."""
    # Loose index scan: one index access per site, independent of the number of devices.
    text = (
        "with recursive s as (select min(site) site from devices union all "
        "select (select min(site) from devices d where d.site > s.site) from s where s.site is not null) "
        "select site from s where site is not null"
    )
    return [row[0] for row in connection.execute(text).fetchall()]


def figures(connection: Connection, *, silent_seconds: float) -> dict[str, Any]:
    """Values of the Prometheus metrics."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(FIGURES, {"silent": silent_seconds}).fetchone() or {}


def reviewed_pictures(connection: Connection, kind: str) -> Iterator[tuple[str, str, bytes]]:
    """Reviewed pictures of a class: id, device, JPEG."""
    before = "ffffffff-ffff-ffff-ffff-ffffffffffff"
    while True:
        rows = connection.execute(
            "select a.id::text, a.device, p.picture from alerts a join pictures p on p.alert = a.id "
            "where a.review = %s and a.id < %s::uuid order by a.id desc limit %s",
            [kind, before, EXPORTED_AT_ONCE],
        ).fetchall()
        for alert_id, device, content in rows:
            yield alert_id, device, bytes(content)
        if len(rows) < EXPORTED_AT_ONCE:
            return
        before = rows[-1][0]
