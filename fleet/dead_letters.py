"""Dead letters: lists and replays messages that could not be stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timezone
from typing import TYPE_CHECKING, Any

import pika
import pika.exceptions
from psycopg import sql

from edge_agent.errors import UnavailableError
from fleet.definitions import DEAD_LETTERS, EXCHANGE
from fleet.messages import PoisonError, read, split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
    from psycopg import Connection

SUPERSEDED = {
    "status": sql.SQL("select from devices where device = %s and status_received > %s"),
    "telemetry": sql.SQL("select from devices where device = %s and telemetry_received > %s"),
}
"""By kind, whether a device has sent another since, of which only the last one is kept."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected message."""

    routing_key: str
    body: bytes
    reason: str
    """Why it is still rejected; empty if it would be accepted now, except possibly by the database."""


def view(broker: BlockingConnection, *, prefix: str, limit: int) -> list[DeadLetter]:
    """Read the oldest ones without removing them."""
    channel = broker.channel()
    found = [
        DeadLetter(routing_key, body, _reason(routing_key, body, prefix))
        for _, routing_key, _, body in _fetch(channel, limit)
    ]
    # Unacknowledged messages return to the queue.
    channel.close()
    return found


def replay(broker: BlockingConnection, connection: Connection, *, prefix: str) -> int:
    """Send all current dead letters again to where they first arrived; returns how many.

    A status or telemetry is deleted instead if its device has sent another since: it would replace the newer one.

    Raises:
        UnavailableError: a queue is full or missing; that message and those behind it stay dead letters.
        psycopg.Error: the database is unavailable; likewise.
    """
    channel = broker.channel()
    channel.confirm_delivery()
    count = channel.queue_declare(DEAD_LETTERS, passive=True).method.message_count
    sent = 0
    for tag, routing_key, properties, body in _fetch(channel, count):
        if _is_superseded(connection, routing_key, properties, prefix=prefix):
            channel.basic_ack(tag)
            continue
        try:
            channel.basic_publish(EXCHANGE, routing_key, body, _persistent(), mandatory=True)
        except (pika.exceptions.UnroutableError, pika.exceptions.NackError) as error:
            raise UnavailableError(
                f"{sent} dead letters were sent again; the queue for '{routing_key}' is full or missing: try later, "
                "or run 'maskwatch-fleet init'"
            ) from error
        channel.basic_ack(tag)
        sent += 1
    return sent


def _is_superseded(connection: Connection, routing_key: str, properties: pika.BasicProperties, *, prefix: str) -> bool:
    try:
        device, kind = split(routing_key, prefix=prefix)
    except PoisonError:
        return False
    query = SUPERSEDED.get(".".join(kind))
    deaths: Any = (properties.headers or {}).get("x-death")
    if query is None or not deaths:
        return False
    died = deaths[0]["time"].replace(tzinfo=timezone.utc)
    return connection.execute(query, [device, died]).rowcount > 0


def _persistent() -> pika.BasicProperties:
    return pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent.value)


def _fetch(channel: BlockingChannel, limit: int) -> Iterator[tuple[int, str, pika.BasicProperties, bytes]]:
    for _ in range(limit):
        method, properties, body = channel.basic_get(DEAD_LETTERS)
        if method is None or properties is None:
            return
        yield method.delivery_tag or 0, method.routing_key or "", properties, body or b""


def _reason(routing_key: str, body: bytes, prefix: str) -> str:
    try:
        read(routing_key, body, prefix=prefix)
    except PoisonError as error:
        return str(error)
    return ""
