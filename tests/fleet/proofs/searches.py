"""How long does each query of the pages and the API take with ten million alerts? Prints the plans of slow ones."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql

from fleet import database
from fleet.config import DatabaseConfig
from fleet.rollout import reports
from fleet.web import queries
from fleet.web.queries import AlertFilter, DeviceFilter
from tests.fleet.cluster import ROOT
from tests.fleet.engines import Postgres
from tests.fleet.samples import alert

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

LIMIT_MS = 200.0
DAYS = 30
DEVICES, SITES = 10_000, 500
COUNTED_DAYS = 7
SILENT_SECONDS = 300.0
REPEATED = 5

DEVICES_SQL = """
insert into devices (device, site, state, heard, telemetry)
select 'site' || n %% %(sites)s || '-' || n, 'site' || n %% %(sites)s, 'online', now() - random() * interval '10 min',
    '{"outbox": {"rows": 0, "dropped": {}}, "models": {"masks": {"name": "masks", "sha256": "00"}},
      "rollout": {"group": "default", "number": 2, "state": "accepted"}, "versions": {"maskwatch": "0.1.0"}}'
from generate_series(0, %(devices)s - 1) n
"""
STREAMS_SQL = """
insert into streams (device, kind, boot_id, last, received)
select device, kind, 'boot', 1000, 1000 - (random() < 0.01)::int
from devices, unnest(array['alert', 'resolved', 'counts']) kind
"""
ALERTS_SQL = """
insert into alerts (id, device, site, camera, label, boot_id, sequence, historical, happened, received, message, review)
select (lpad(to_hex((extract(epoch from happened) * 1000)::bigint), 12, '0') || '7' || substr(hash, 1, 3) || '8'
        || substr(hash, 4, 15))::uuid,
    'site' || d %% %(sites)s || '-' || d, 'site' || d %% %(sites)s, 'entrance',
    case when n %% 5 = 0 then 'mask_worn_incorrectly' else 'without_mask' end, 'boot', n, n %% 50 = 0, happened,
    happened + interval '1 s', %(message)s::jsonb, case when n %% 1000 = 0 then 'without_mask' end
from (select n, md5(n::text || %(begin)s) as hash, (random() * (%(devices)s - 1))::int as d,
        %(begin)s::timestamptz + n * interval '1 day' / %(count)s as happened
    from generate_series(0, %(count)s - 1) n) s
"""
COUNTS_SQL = """
insert into counts (id, camera, device, site, period, begins, boot_id, sequence, with_mask, without_mask,
    mask_worn_incorrectly, undecided, changed)
select (lpad(to_hex((extract(epoch from h) * 1000)::bigint), 12, '0') || '7' || substr(md5(device || h), 1, 3) || '8'
        || substr(md5(device || h), 4, 15))::uuid, 'entrance', device, site, 'hour', h, 'boot', 1, 30, 5, 2, 1, 0
from devices, generate_series(%(begin)s::timestamptz, %(begin)s::timestamptz + interval '23 hours', '1 hour') h
"""


SITE_HOURS_SQL = """
insert into site_hours (begins, site, with_mask, without_mask, mask_worn_incorrectly, undecided)
select begins, site, sum(with_mask), sum(without_mask), sum(mask_worn_incorrectly), sum(undecided)
from counts group by begins, site
"""


def main() -> int:
    """Fill a database of Debian 13's PostgreSQL 17, run the queries and print; returns 1 if one exceeds its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=10_000_000)
    parser.add_argument("--root", type=Path, default=ROOT, help="a Debian, by deploy/fleet-root; / for this one")
    options = parser.parse_args()
    with Postgres(root=options.root) as server:
        config = DatabaseConfig(conninfo=server.database(), retention_days=DAYS + 1)
        with database.connect(config, application="searches") as connection:
            connection.execute("set statement_timeout = 0")
            _fill(connection, alerts=options.alerts)
            slow = _measure(connection)
    return int(slow)


def _fill(connection: psycopg.Connection, *, alerts: int) -> None:
    database.make_schema(connection)
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    connection.execute("select make_partitions(%s, %s)", [(today - timedelta(days=DAYS)).date(), today.date()])
    connection.execute(DEVICES_SQL, {"devices": DEVICES, "sites": SITES})
    connection.execute(STREAMS_SQL)
    message = alert().payload().decode()
    for number in range(DAYS):
        begin = today - timedelta(days=DAYS - number)
        values = {"begin": begin, "count": alerts // DAYS, "devices": DEVICES, "sites": SITES, "message": message}
        connection.execute(ALERTS_SQL, values)
        if number >= DAYS - COUNTED_DAYS:
            connection.execute(COUNTS_SQL, {"begin": begin})
        _log(f"{(number + 1) * (alerts // DAYS):,} alerts")
    connection.execute(SITE_HOURS_SQL)
    # Normally done by autovacuum.
    connection.execute("vacuum analyze")


def _measure(connection: psycopg.Connection) -> bool:
    now = datetime.now(timezone.utc)
    middle = now - timedelta(days=DAYS / 2)
    site, device = "site17", "site17-517"
    anything = AlertFilter()
    page, _ = queries.alerts(connection, AlertFilter(until=middle))
    one, since = page[-1]["id"], now - timedelta(days=COUNTED_DAYS)
    names = [f"site{number % SITES}-{number}" for number in range(DEVICES // 100)]
    searches: dict[str, Callable[[], Any]] = {
        f"alerts: {text}": partial(queries.alerts, connection, wanted)
        for text, wanted in {
            "newest": anything,
            "a page in the middle": AlertFilter(before=one),
            "of a site": AlertFilter(site=site),
            "of a site, in the middle": AlertFilter(site=site, before=one),
            "of a site that has none": AlertFilter(site="nowhere"),
            "of a device": AlertFilter(device=device),
            "of a device, a day in the middle": AlertFilter(
                device=device, since=middle, until=middle + timedelta(days=1)
            ),
            "of a label": AlertFilter(label="mask_worn_incorrectly"),
            "of a label that none has": anything.model_copy(update={"label": "with_mask"}),
            "of a site and a label": AlertFilter(site=site, label="mask_worn_incorrectly"),
            "of a site and a label that it has not": anything.model_copy(update={"site": site, "label": "with_mask"}),
            "reviewed": AlertFilter(review="without_mask"),
            "not reviewed": AlertFilter(review="unreviewed"),
            "reviewed as what none is": AlertFilter(review="no_face"),
            "a week in the middle": AlertFilter(since=middle, until=middle + timedelta(days=7)),
            "of a site, a label, reviewed": AlertFilter(site=site, label="without_mask", review="without_mask"),
        }.items()
    }
    searches |= {
        "one alert": lambda: queries.alert(connection, one),
        **{
            f"devices{which}": partial(queries.devices, connection, wanted, silent_seconds=SILENT_SECONDS)
            for which, wanted in {
                "": DeviceFilter(),
                " of a site": DeviceFilter(site=site),
                " that are silent": DeviceFilter(state="silent"),
                " that rejected a model, none": DeviceFilter(state="model_rejected"),
            }.items()
        },
        "sites": lambda: queries.sites(connection),
        "gaps": lambda: queries.gaps(connection),
        "figures": lambda: queries.figures(connection, silent_seconds=SILENT_SECONDS),
        "counts of all sites": lambda: queries.counts(connection, site="", since=since, until=now),
        "counts of a site": lambda: queries.counts(connection, site=site, since=since, until=now),
        "reviewed pictures": lambda: next(queries.reviewed_pictures(connection, "without_mask"), None),
        "devices in a roll-out": lambda: reports.devices(connection, "default"),
        "alerts of a stage": lambda: reports.alerts(connection, names, since=now - timedelta(days=1), when=now),
    }
    is_slow = False
    sys.stdout.write(f"{'query':40}{'first ms':>10}{'median ms':>11}\n")
    for name, search in searches.items():
        times = [_milliseconds(search) for _ in range(REPEATED + 1)]
        median = statistics.median(times[1:])
        is_slow |= median > LIMIT_MS
        sys.stdout.write(f"{name:40}{times[0]:10.1f}{median:11.1f}{'  SLOW' if median > LIMIT_MS else ''}\n")
    rows, size = connection.execute(
        "select count(*), pg_size_pretty(pg_database_size(current_database())) from alerts"
    ).fetchone() or (0, "")
    load = os.getloadavg()[1]
    sys.stdout.write(f"{rows:,} alerts, {size}; load average {load:.1f}\n")
    for wanted in (anything, AlertFilter(site=site, before=one), anything.model_copy(update={"label": "with_mask"})):
        sys.stdout.write(f"\nplan of {wanted}\n{_plan(connection, wanted)}\n")
    return is_slow


def _milliseconds(search: Callable[[], Any]) -> float:
    began = time.perf_counter()
    search()
    return 1000 * (time.perf_counter() - began)


def _plan(connection: psycopg.Connection, wanted: AlertFilter) -> str:
    text, values = queries.alerts_statement(wanted)
    explained = sql.SQL("explain (analyze, costs off, timing off) ") + text
    lines = connection.execute(explained, {**values, "limit": queries.A_PAGE}).fetchall()
    return "\n".join(str(line[0]) for line in lines if "never executed" not in line[0])


def _log(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


if __name__ == "__main__":
    sys.exit(main())
