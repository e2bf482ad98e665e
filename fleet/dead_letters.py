"""Dead letters: lists and replays messages that could not be stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pika
import pika.exceptions

from edge_agent.errors import UnavailableError
from fleet.definitions import DEAD_LETTERS, EXCHANGE
from fleet.messages import PoisonError, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection


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
        for _, routing_key, body in _fetch(channel, limit)
    ]
    # Unacknowledged messages return to the queue.
    channel.close()
    return found


def replay(broker: BlockingConnection) -> int:
    """Send all current dead letters again to where they first arrived; returns how many.

    Raises:
        UnavailableError: a queue is full or missing; that message and those behind it stay dead letters.
    """
    channel = broker.channel()
    channel.confirm_delivery()
    count = channel.queue_declare(DEAD_LETTERS, passive=True).method.message_count
    sent = 0
    for tag, routing_key, body in _fetch(channel, count):
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


def _persistent() -> pika.BasicProperties:
    return pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent.value)


def _fetch(channel: BlockingChannel, limit: int) -> Iterator[tuple[int, str, bytes]]:
    for _ in range(limit):
        method, _, body = channel.basic_get(DEAD_LETTERS)
        if method is None:
            return
        yield method.delivery_tag or 0, method.routing_key or "", body or b""


def _reason(routing_key: str, body: bytes, prefix: str) -> str:
    try:
        read(routing_key, body, prefix=prefix)
    except PoisonError as error:
        return str(error)
    return ""
