"""Store: writes a batch of messages to the database, each once however often it is delivered.

Every function is one statement, idempotent by message id. Rows inserted for the first time are counted in `streams`,
which makes gaps in the sequences visible. The caller commits, then acknowledges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_agent.messages.alert import AlertMessage
from edge_agent.messages.counts import CountsMessage, PeopleCounts
from edge_agent.messages.resolved import ResolvedMessage
from edge_agent.messages.result import ResultMessage
from edge_agent.messages.status import StatusMessage
from edge_agent.messages.telemetry import TelemetryMessage
from fleet.messages import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from psycopg import Connection

    from edge_agent.messages.message import Message
    from fleet.messages import Read

NO_PEOPLE = PeopleCounts()

# Workers update shared rows in the same order, to avoid deadlocks.
COUNTED = """
insert into streams as s (device, kind, boot_id, last, received)
select device, %(kind)s, boot_id, max(sequence), count(*) from stored group by device, boot_id order by device, boot_id
on conflict (device, kind, boot_id) do update
set last = greatest(s.last, excluded.last), received = s.received + excluded.received, updated = now()
"""
HEARD_SECONDS = 20
"""Minimum interval between updates of a device's last-heard time."""

HEARD = """
insert into devices as d (device, site)
select i.device, coalesce(s.site, i.site)
from unnest(%(device)s::text[], %(site)s::text[]) i(device, site) left join device_sites s using (device)
order by i.device
on conflict (device) do update set heard = now(), site = excluded.site
where d.heard < now() - make_interval(secs => %(seconds)s) or d.site <> excluded.site
"""

ALERTS = """
with incoming as (
    select i.*, d.site from unnest(
        %(id)s::uuid[], %(device)s::text[], %(camera)s::text[], %(label)s::text[], %(boot_id)s::text[],
        %(sequence)s::bigint[], %(historical)s::boolean[], %(happened)s::timestamptz[], %(message)s::text[]
    ) i(id, device, camera, label, boot_id, sequence, historical, happened, message) join devices d using (device)
), stored as (
    insert into alerts (id, device, site, camera, label, boot_id, sequence, historical, happened, message)
    select id, device, site, camera, label, boot_id, sequence, historical, happened, message::jsonb
    from incoming order by id
    on conflict do nothing returning device, boot_id, sequence
)"""

RESOLUTIONS = """
with incoming as (
    select * from unnest(
        %(alert)s::uuid[], %(id)s::uuid[], %(device)s::text[], %(boot_id)s::text[], %(sequence)s::bigint[],
        %(reason)s::text[], %(happened)s::timestamptz[], %(duration_seconds)s::float8[], %(historical)s::boolean[]
    ) i(alert, id, device, boot_id, sequence, reason, happened, duration_seconds, historical)
), stored as (
    insert into resolutions (alert, id, device, boot_id, sequence, reason, happened, duration_seconds, historical)
    select alert, id, device, boot_id, sequence, reason, happened, duration_seconds, historical
    from incoming order by alert
    on conflict do nothing returning device, boot_id, sequence
)"""

COUNTS = """
with incoming as (
    select i.*, d.site from unnest(
        %(id)s::uuid[], %(camera)s::text[], %(device)s::text[], %(period)s::text[], %(begins)s::timestamptz[],
        %(boot_id)s::text[], %(sequence)s::bigint[], %(with_mask)s::int[], %(without_mask)s::int[],
        %(mask_worn_incorrectly)s::int[], %(undecided)s::int[], %(changed)s::int[]
    ) i(id, camera, device, period, begins, boot_id, sequence, with_mask, without_mask, mask_worn_incorrectly,
        undecided, changed) join devices d using (device)
), inserted as (
    insert into counts (id, camera, device, site, period, begins, boot_id, sequence, with_mask, without_mask,
        mask_worn_incorrectly, undecided, changed)
    select id, camera, device, site, period, begins, boot_id, sequence, with_mask, without_mask,
        mask_worn_incorrectly, undecided, changed
    from incoming order by id, camera
    on conflict do nothing
    returning device, boot_id, sequence, id, site, period, begins, camera, with_mask, without_mask,
        mask_worn_incorrectly, undecided
), hours as (
    insert into site_hours as h (begins, site, with_mask, without_mask, mask_worn_incorrectly, undecided)
    select begins, site, sum(with_mask), sum(without_mask), sum(mask_worn_incorrectly), sum(undecided)
    from inserted where period = 'hour' and camera <> '' group by begins, site order by begins, site
    on conflict (begins, site) do update set with_mask = h.with_mask + excluded.with_mask,
        without_mask = h.without_mask + excluded.without_mask,
        mask_worn_incorrectly = h.mask_worn_incorrectly + excluded.mask_worn_incorrectly,
        undecided = h.undecided + excluded.undecided
), stored as (
    select distinct device, boot_id, sequence, id from inserted
)"""

PICTURES = """
insert into pictures (alert, device, picture)
select * from unnest(%(alert)s::uuid[], %(device)s::text[], %(picture)s::bytea[]) i(alert, device, picture)
order by alert on conflict do nothing
"""

STATUS = """
update devices d set state = i.state, status = i.message::jsonb, status_received = clock_timestamp()
from unnest(%(device)s::text[], %(state)s::text[], %(message)s::text[]) i(device, state, message)
where d.device = i.device
"""

# The sequences in the telemetry reveal a gap even if no later message follows it.
TELEMETRY = """
with updated as (
    update devices d set telemetry = i.message::jsonb, telemetry_received = clock_timestamp()
    from unnest(%(device)s::text[], %(message)s::text[]) i(device, message)
    where d.device = i.device returning d.device, d.telemetry
)
insert into streams as s (device, kind, boot_id, last, received)
select device, kind, telemetry ->> 'boot_id', last::bigint, 0
from updated, jsonb_each_text(coalesce(telemetry #> '{outbox,sequences}', '{}')) sent(kind, last)
where kind = any(%(counted)s::text[]) order by device, kind
on conflict (device, kind, boot_id) do update set last = excluded.last, updated = now() where s.last < excluded.last
"""

RESULTS = """
insert into command_results (device, command, happened, message)
select device, command, happened, message::jsonb
from unnest(%(device)s::text[], %(command)s::text[], %(happened)s::timestamptz[], %(message)s::text[])
    i(device, command, happened, message)
on conflict do nothing
"""


@dataclass(frozen=True, slots=True)
class _Statement:
    """How messages of one kind are stored."""

    model: type
    text: str
    rows: Callable[[list[Any]], list[dict[str, Any]]]
    kind: str = ""
    """The kind in `streams`; empty if sequence numbers are not checked."""


def store(connection: Connection, messages: Sequence[Read], *, site_of: Callable[[str], str]) -> None:
    """Store messages of any kind, in order of arrival, in the caller's transaction.

    Raises:
        psycopg.DataError: PostgreSQL cannot hold one of them.
        psycopg.OperationalError: the database is unavailable, or its disk is full.
    """
    devices = sorted({message.device for message in messages})
    connection.execute(
        HEARD, {"device": devices, "site": [site_of(device) for device in devices], "seconds": HEARD_SECONDS}
    )
    for statement in STATEMENTS:
        found = [message for message in messages if isinstance(message, statement.model)]
        if found:
            text = statement.text + COUNTED if statement.kind else statement.text
            connection.execute(
                text, {**_by_column(statement.rows(found)), "kind": statement.kind, "counted": COUNTED_KINDS}
            )


def _by_column(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


def _values(message: Message, *names: str) -> dict[str, Any]:
    """These fields of a message, for columns of the same names."""
    return {name: getattr(message, name) for name in names}


def _alerts(messages: Sequence[AlertMessage]) -> list[dict[str, Any]]:
    names = ("id", "device", "camera", "label", "boot_id", "sequence", "historical")
    return [{**_values(message, *names), "happened": message.when, "message": _text(message)} for message in messages]


def _resolutions(messages: Sequence[ResolvedMessage]) -> list[dict[str, Any]]:
    names = ("alert", "id", "device", "boot_id", "sequence", "reason", "duration_seconds", "historical")
    return [{**_values(message, *names), "happened": message.when} for message in messages]


def _counts(messages: Sequence[CountsMessage]) -> list[dict[str, Any]]:
    names = ("id", "device", "period", "boot_id", "sequence")
    return [
        {**_values(message, *names), "camera": camera, "begins": message.begin, **dict(people)}
        for message in messages
        # An hour without cameras still counts in the sequence.
        for camera, people in (message.cameras or {"": NO_PEOPLE}).items()
    ]


def _pictures(messages: Sequence[Picture]) -> list[dict[str, Any]]:
    return [{"alert": picture.alert, "device": picture.device, "picture": picture.content} for picture in messages]


def _newest(messages: Sequence[StatusMessage] | Sequence[TelemetryMessage]) -> list[dict[str, Any]]:
    """The last message of each device: a statement that updates a row twice would keep either."""
    last = {message.device: message for message in messages}
    return [
        {"device": device, "message": _text(message)} | ({"state": message.state} if hasattr(message, "state") else {})
        for device, message in sorted(last.items())
    ]


def _results(messages: Sequence[ResultMessage]) -> list[dict[str, Any]]:
    return [
        {"device": message.device, "command": message.command, "happened": message.when, "message": _text(message)}
        for message in messages
    ]


def _text(message: Message) -> str:
    return message.payload().decode()


STATEMENTS = (
    _Statement(AlertMessage, ALERTS, _alerts, AlertMessage.kind),
    _Statement(ResolvedMessage, RESOLUTIONS, _resolutions, ResolvedMessage.kind),
    _Statement(CountsMessage, COUNTS, _counts, CountsMessage.kind),
    _Statement(Picture, PICTURES, _pictures),
    _Statement(StatusMessage, STATUS, _newest),
    _Statement(TelemetryMessage, TELEMETRY, _newest),
    _Statement(ResultMessage, RESULTS, _results),
)
COUNTED_KINDS = [statement.kind for statement in STATEMENTS if statement.kind]
