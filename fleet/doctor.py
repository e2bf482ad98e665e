"""Doctor: checks that brokers, queues, database and certificates exist and fit together."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psycopg
from cryptography import x509

from edge_agent.errors import AgentError, in_one_line
from fleet import database
from fleet.definitions import DEAD_LETTERS, PICTURES, queues
from fleet.finding import Finding
from fleet.management import Management, differences
from fleet.rollout.inspection import check_repository, check_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fleet.config import FleetConfig

EXPIRY_DAYS = 30
ALARM_FRACTION = 0.8
"""Share of a queue's limit. Once it is full, devices have to buffer their messages."""


def examine(config: FleetConfig, *, when: datetime) -> list[Finding]:
    """Run every check; one that cannot run is reported as failed and does not stop the others."""
    checks: dict[str, Callable[[FleetConfig, datetime], Iterator[Finding]]] = {
        "certificates": _certificates,
        "broker": _broker,
        "database": _database,
        "repository": check_repository,
        "roll-out": check_stages,
    }
    found: list[Finding] = []
    for name, check in checks.items():
        try:
            found += check(config, when)
        except AgentError as error:
            found.append(Finding(name, "failed", in_one_line(error)))
        except psycopg.Error as error:
            found.append(Finding(name, "failed", database.describe_error(error)))
    return found


def _certificates(config: FleetConfig, when: datetime) -> Iterator[Finding]:
    for key, file in (("ca_file", config.broker.ca_file), ("cert_file", config.broker.cert_file)):
        if file is not None:
            yield _certificate(f"broker.{key}", file, when)


def _certificate(key: str, file: Path, when: datetime) -> Finding:
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as error:
        return Finding("certificates", "failed", f"{key}: {file} is no readable certificate ({error})")
    until = certificate.not_valid_after_utc
    if until < when:
        return Finding("certificates", "failed", f"{key}: {file} expired on {until:%Y-%m-%d}; issue another")
    soon = until < when + timedelta(days=EXPIRY_DAYS)
    return Finding("certificates", "warning" if soon else "ok", f"{key}: {file} is valid until {until:%Y-%m-%d}")


def _broker(config: FleetConfig, _when: datetime) -> Iterator[Finding]:
    management = Management(config.broker)
    yield Finding("broker", "ok", f"RabbitMQ {management.version()}")
    for node in management.get("nodes") or []:
        alarms = [name for name in ("mem_alarm", "disk_free_alarm") if node.get(name)]
        if not node.get("running") or alarms:
            yield Finding("broker", "failed", f"{node['name']}: {', '.join(alarms) or 'is not running'}")
    if management.get("vhosts/{vhost}") is None:
        host = config.broker.virtual_host
        yield Finding("definitions", "failed", f"virtual host '{host}' is missing; run 'maskwatch-fleet init'")
        return
    missing = differences(config, management)
    for text in missing:
        yield Finding("definitions", "failed", f"{text}; run 'maskwatch-fleet init'")
    if not missing:
        yield Finding("definitions", "ok", f"virtual host '{config.broker.virtual_host}' holds queues and policies")
    yield from _queues(config, management)


def _queues(config: FleetConfig, management: Management) -> Iterator[Finding]:
    for name in queues(config):
        queue = management.get(f"queues/{{vhost}}/{name}")
        if queue is None:
            continue
        waiting, size = queue.get("messages", 0), queue.get("message_bytes", 0)
        if not queue.get("consumers"):
            yield Finding("queues", "warning", f"{name}: no consumer; {waiting} messages are waiting")
        elif size > ALARM_FRACTION * config.broker.max_queue_bytes:
            yield Finding("queues", "warning", f"{name}: {waiting} messages wait, {size} bytes; it is nearly full")
        else:
            yield Finding("queues", "ok", f"{name}: {waiting} messages wait")
    kept = (management.get(f"queues/{{vhost}}/{PICTURES}") or {}).get("messages", 0)
    if kept and not config.publish_crops:
        yield Finding(
            "queues",
            "warning",
            f"{PICTURES}: {kept} pictures are kept, and publish_crops is off; delete them by 'rabbitmqctl delete_queue "
            f"--vhost {config.broker.virtual_host} {PICTURES}'",
        )
    dead = (management.get(f"queues/{{vhost}}/{DEAD_LETTERS}") or {}).get("messages", 0)
    if dead:
        yield Finding(
            "dead letters", "warning", f"{dead}; 'maskwatch-fleet dead-letters' shows them, each with its reason"
        )


def _database(config: FleetConfig, when: datetime) -> Iterator[Finding]:
    with database.open_database(config.database, application="maskwatch-fleet doctor") as connection:
        server = connection.info.server_version
        yield Finding("database", "ok", f"PostgreSQL {server // 10_000}, schema {database.SCHEMA_VERSION}")
        tomorrow = (when + timedelta(days=1)).astimezone(timezone.utc)
        row = connection.execute("select to_regclass(%s)", [f"maskwatch.alerts_{tomorrow:%Y%m%d}"]).fetchone()
        if row is None or row[0] is None:
            yield Finding("database", "warning", "no partition for tomorrow; 'maskwatch-fleet ingest' makes them")
        row = connection.execute("select count(*) from (select from alerts_default limit 10001) one").fetchone()
        if row and row[0]:
            yield Finding(
                "database", "warning", f"{row[0]} alerts are dated outside of the partitions: a clock is wrong"
            )
        _write(connection)
        yield from _disk(connection)


def _write(connection: psycopg.Connection) -> None:
    """Write a megabyte to the database's disk and roll back.

    Raises:
        psycopg.Error: the disk is full or read-only.
    """
    with connection.transaction(force_rollback=True):
        connection.execute("create temporary table probe as select repeat('x', 1000) from generate_series(1, 1000)")


def _disk(connection: psycopg.Connection) -> Iterator[Finding]:
    """Only if the server runs on this machine and its folder is visible."""
    # Only PostgreSQL's administrators see this setting; other users get no row.
    row = connection.execute("select setting from pg_settings where name = 'data_directory'").fetchone()
    folder = Path(row[0]) if row and row[0] else None
    if folder is not None and not connection.info.host.startswith("/"):
        return
    try:
        free_bytes = shutil.disk_usage(folder).free if folder else None
    except OSError:
        return
    if free_bytes is not None:
        state: Literal["ok", "warning"] = "ok" if free_bytes > 5_000_000_000 else "warning"  # noqa: PLR2004
        yield Finding("database", state, f"{free_bytes / 1e9:.1f} GB are free for it")
