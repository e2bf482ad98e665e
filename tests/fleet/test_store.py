"""Store: each message becomes rows once."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.errors import ConfigError
from edge_agent.messages.status import offline, running
from fleet import database
from fleet.config import DatabaseConfig, FleetConfig
from fleet.messages import Picture
from fleet.store import store
from tests.fleet.samples import BOOT, alert, an_id, counts, now, resolved, telemetry

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from tests.fleet.engines import Postgres

SITE_OF = FleetConfig().site_of


def put(connection: psycopg.Connection, *messages: Any) -> None:
    with connection.transaction():
        store(connection, messages, site_of=SITE_OF)


def rows(connection: psycopg.Connection, text: Any) -> list[Any]:
    return connection.execute(text).fetchall()


def test_a_repeated_message_is_stored_once(connection: psycopg.Connection):
    one, two = alert(sequence=1), alert(sequence=2)

    put(connection, one, two, one)
    put(connection, two)

    assert rows(connection, "select id::text, sequence from alerts order by sequence") == [(one.id, 1), (two.id, 2)]
    assert rows(connection, "select kind, boot_id, last, received from streams") == [("alert", BOOT, 2, 2)]


def test_a_missing_sequence_number_is_a_gap_until_it_arrives(connection: psycopg.Connection):
    first, withheld, third = (alert(sequence=number) for number in (1, 2, 3))

    put(connection, first, third)
    assert rows(connection, "select device, kind, missing, state from gaps") == [("hall-1", "alert", 1, "lost")]

    connection.execute("""update devices set telemetry = '{"outbox": {"rows": 1}}'""")
    assert rows(connection, "select state from gaps") == [("on_its_way",)]

    put(connection, withheld)
    assert rows(connection, "select * from gaps") == []


def test_a_missing_last_sequence_number_is_a_gap_from_the_next_telemetry_on(connection: psycopg.Connection):
    put(connection, alert(sequence=1))

    put(connection, telemetry(rows=1, alert=2, telemetry=7), telemetry(rows=0, alert=2, telemetry=8))
    assert rows(connection, "select kind, missing, state from gaps") == [("alert", 1, "lost")]

    put(connection, telemetry(rows=1, alert=1))
    assert rows(connection, "select missing, state from gaps") == [(1, "on_its_way")]

    put(connection, alert(sequence=2))
    assert rows(connection, "select last, received from streams") == [(2, 2)]


def test_a_device_without_messages_lacks_all_of_them(connection: psycopg.Connection):
    put(connection, telemetry(alert=3, counts=1))

    assert rows(connection, "select kind, boot_id, missing from gaps order by kind") == [
        ("alert", BOOT, 3),
        ("counts", BOOT, 1),
    ]


def test_every_kind_of_message_is_stored_in_its_table(connection: psycopg.Connection):
    one = alert()
    status = running("hall-1", boot_id=BOOT, reasons=(), paused=(), when=now())
    put(connection, one, resolved(one), counts(entrance=7, yard=1), status, Picture("hall-1", one.id, b"\xff\xd8"))

    assert rows(connection, "select site, device, state from devices") == [("hall", "hall-1", "online")]
    assert rows(connection, "select alert::text, reason from resolutions") == [(one.id, "left")]
    assert rows(connection, "select camera, with_mask from counts order by camera") == [("entrance", 7), ("yard", 1)]
    assert rows(connection, "select picture from pictures") == [(b"\xff\xd8",)]
    assert rows(connection, "select kind, received from streams order by kind") == [
        ("alert", 1),
        ("counts", 1),
        ("resolved", 1),
    ]


def test_hours_without_people_leave_no_gap(connection: psycopg.Connection):
    put(connection, counts(sequence=1), counts(sequence=2, entrance=1))

    assert rows(connection, "select last, received from streams") == [(2, 2)]


def test_repeated_counts_of_an_hour_are_summed_by_site_once(connection: psycopg.Connection):
    first, second, other = counts("hall-1", entrance=7, yard=1), counts("hall-2", entrance=2), counts("yard-1", gate=1)
    put(connection, first)
    put(connection, first, second, counts("hall-1", sequence=2), other)
    put(connection, second)

    assert rows(connection, "select site, with_mask from site_hours order by site") == [("hall", 10), ("yard", 1)]


def test_of_several_statuses_of_a_device_the_last_one_is_stored(connection: psycopg.Connection):
    put(
        connection,
        running("hall-1", boot_id=BOOT, reasons=(), paused=(), when=now()),
        offline("hall-1", "connection_lost", boot_id=BOOT),
    )

    assert rows(connection, "select state from devices") == [("offline",)]


def test_a_site_set_manually_overrides_the_one_in_the_id(connection: psycopg.Connection):
    connection.execute("insert into device_sites values ('hall-1', 'museum')")

    put(connection, alert("hall-1"), alert("yard"))

    assert rows(connection, "select device, site from devices order by device") == [
        ("hall-1", "museum"),
        ("yard", "yard"),
    ]
    assert rows(connection, "select site from alerts order by site") == [("museum",), ("yard",)]


def partition_of(connection: psycopg.Connection, sequence: int) -> str:
    return str(
        rows(connection, "select sequence, tableoid::regclass::text from alerts order by sequence")[sequence - 1][1]
    )


def test_messages_are_partitioned_by_the_day_of_their_id_or_else_by_default(connection: psycopg.Connection):
    today = now()

    put(connection, alert(sequence=1, when=today), alert(sequence=2, when=datetime(1970, 1, 2, tzinfo=timezone.utc)))

    assert partition_of(connection, 1) == f"alerts_{today:%Y%m%d}"
    assert partition_of(connection, 2) == "alerts_default"


def test_a_new_partition_takes_over_rows_of_the_default_partition(connection: psycopg.Connection):
    later = now() + timedelta(days=10)
    put(connection, alert(sequence=1, when=later))
    assert partition_of(connection, 1) == "alerts_default"

    database.maintain(connection, retention_days=90, when=later)

    assert partition_of(connection, 1) == f"alerts_{later:%Y%m%d}"
    put(connection, alert(sequence=2, when=later))


def test_days_beyond_the_retention_are_dropped(connection: psycopg.Connection):
    put(connection, alert())

    dropped = database.maintain(connection, retention_days=5, when=now() + timedelta(days=6))

    assert dropped > 0
    assert rows(connection, "select count(*) from alerts") == [(0,)]


def test_streams_of_the_current_boot_outlive_the_retention(connection: psycopg.Connection):
    """Numbering continues until the next boot, and messages older than the retention must not count as missing."""
    put(connection, alert(), alert("hall-2"), telemetry(alert=1))

    database.maintain(connection, retention_days=5, when=now() + timedelta(days=6))

    assert rows(connection, "select device from streams") == [("hall-1",)]


def test_a_day_begins_with_the_id_of_its_first_millisecond(connection: psycopg.Connection):
    midnight = datetime(2026, 11, 28, tzinfo=timezone.utc)
    before, after = an_id(midnight - timedelta(milliseconds=1)), an_id(midnight)

    found = connection.execute(
        "select first_uuid7(%s) > %s::uuid, first_uuid7(%s) <= %s::uuid", [midnight, before, midnight, after]
    ).fetchone()

    assert found == (True, True)


def test_the_schema_is_created_once(postgres: Postgres):
    with database.connect(DatabaseConfig(conninfo=postgres.database()), application="test") as connection:
        with pytest.raises(ConfigError, match="init"):
            database.require_schema(connection)
        assert database.make_schema(connection)
        assert not database.make_schema(connection)
        database.require_schema(connection)


def test_a_newer_schema_is_refused(connection: psycopg.Connection, conninfo: str):
    connection.execute("insert into schema_version values (99)")

    with pytest.raises(ConfigError, match="schema 99"):
        database.open_database(DatabaseConfig(conninfo=conninfo), application="test")
    with pytest.raises(ConfigError, match="schema 99"):
        database.make_schema(connection)


def test_partitions_can_be_created_for_any_day(connection: psycopg.Connection):
    connection.execute("select make_partitions(%s, %s)", [date(2020, 1, 1), date(2020, 1, 1)])

    assert rows(connection, "select to_regclass('maskwatch.counts_20200101') is not null") == [(True,)]


def test_a_backup_is_restored(connection: psycopg.Connection, conninfo: str, postgres: Postgres, tmp_path: Path):
    put(connection, alert(sequence=1), alert(sequence=2))
    another, file = postgres.database(), tmp_path / "fleet.dump"
    postgres.program("pg_dump", "--format=custom", f"--file={file}", conninfo)
    put(connection, alert(sequence=3))

    postgres.program("pg_restore", "--no-owner", f"--dbname={another}", str(file))

    with database.open_database(DatabaseConfig(conninfo=another), application="test") as restored:
        assert rows(restored, "select count(*) from alerts") == [(2,)]
        put(restored, alert(sequence=4))
        assert rows(restored, "select missing from gaps") == [(1,)]
        database.maintain(restored, retention_days=90, when=now() + timedelta(days=2))
    postgres.drop(another)
