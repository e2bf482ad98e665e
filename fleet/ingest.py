"""Ingest: moves messages from the queues into the database, without loss or duplicates.

A message is acknowledged only after the commit that stored it; redelivered messages are stored once.
`ingest.prefetch` provides back-pressure: during a database outage the worker keeps its unacknowledged messages and its
connection but takes no more, so messages wait in the queues and, once these are full, on the devices.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import psycopg
from pika.exceptions import AMQPError, ChannelClosedByBroker

from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.host.backoff import Backoff
from fleet import amqp, database
from fleet.definitions import queues
from fleet.messages import PoisonError, read
from fleet.store import store

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
    from pika.spec import Basic, BasicProperties

    from fleet.config import FleetConfig
    from fleet.messages import Read

FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 15.0
IDLE_SECONDS = 0.5
MAINTENANCE_SECONDS = 3600.0
NOT_FOUND = 404
POISON_LOGGED = 20
"""Invalid messages logged per minute; others are only counted."""
MINUTE_SECONDS = 60.0
DATA_ERRORS = (psycopg.DataError, psycopg.errors.ProgramLimitExceeded)
"""Errors caused by a message: a number or text that no column can hold, or a name too long for an index."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Delivery:
    tag: int
    routing_key: str
    body: bytes


class _Intake:
    """One queue with its messages that are not stored yet. Owned by the worker's thread."""

    def __init__(self, queue: str, channel: BlockingChannel, *, prefetch: int) -> None:
        self.queue, self.channel = queue, channel
        self._waiting: deque[_Delivery] = deque()
        self._oldest_at = 0.0
        channel.basic_qos(prefetch_count=prefetch)
        channel.basic_consume(queue, self._take)

    def seconds_left(self, *, at: float, max_messages: int, max_seconds: float) -> float:
        """Seconds until a batch is due; 0 or negative: now."""
        if not self._waiting:
            return IDLE_SECONDS
        return 0.0 if len(self._waiting) >= max_messages else self._oldest_at + max_seconds - at

    def batch(self, max_messages: int, *, at: float) -> list[_Delivery]:
        """Take the next batch, oldest first."""
        taken = [self._waiting.popleft() for _ in range(min(max_messages, len(self._waiting)))]
        self._oldest_at = at
        return taken

    def _take(self, _channel: BlockingChannel, method: Basic.Deliver, _: BasicProperties, body: bytes) -> None:
        if not self._waiting:
            self._oldest_at = time.monotonic()
        self._waiting.append(_Delivery(method.delivery_tag or 0, method.routing_key or "", body))


class Worker:
    """Ingests until stopped. Owned by one thread; `stop` may be set by any."""

    def __init__(self, config: FleetConfig, *, stop: threading.Event, alive: Callable[[], None]) -> None:
        """`alive` is called at least every few seconds, also during an outage of broker or database."""
        self._config, self._stop, self._alive = config, stop, alive
        self._database: psycopg.Connection | None = None
        self._backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, max_seconds=MAX_PAUSE_SECONDS)
        self._maintained_at = float("-inf")
        self._problem = ""
        self._poison_logged: deque[float] = deque(maxlen=POISON_LOGGED)
        self.stored = 0
        self.dead = 0

    def run(self, *, ready: Callable[[], None]) -> None:
        """Ingest; `ready` is called once broker and database are connected.

        Raises:
            ConfigError: something that an operator has to fix; outages are waited for.
        """
        while not self._stop.is_set():
            try:
                with amqp.connect(self._config.broker) as broker:
                    intakes = self._open(broker)
                    self._require_database(broker)
                    ready()
                    self._backoff.reset()
                    while not self._stop.is_set():
                        self._turn(broker, intakes)
            except (AMQPError, UnavailableError, OSError) as error:
                self._log_problem(f"RabbitMQ: {error}" if isinstance(error, AMQPError) else str(error))
                self._pause()
        if self._database is not None:
            self._database.close()

    def _open(self, broker: BlockingConnection) -> list[_Intake]:
        intakes = []
        for queue in queues(self._config):
            try:
                intakes.append(_Intake(queue, broker.channel(), prefetch=self._config.ingest.prefetch))
            except ChannelClosedByBroker as error:
                # A queue whose nodes are down also gives NOT_FOUND, but is worth waiting for.
                if error.reply_code != NOT_FOUND or "no queue" not in error.reply_text:
                    raise
                raise ConfigError(
                    f"RabbitMQ has no queue '{queue}' in '{self._config.broker.virtual_host}': its definitions are for "
                    "other names, or were not created yet; run 'maskwatch-fleet init'"
                ) from error
        return intakes

    def _turn(self, broker: BlockingConnection, intakes: list[_Intake]) -> None:
        self._alive()
        settings, at = self._config.ingest, time.monotonic()
        left = [
            intake.seconds_left(at=at, max_messages=settings.batch_messages, max_seconds=settings.batch_seconds)
            for intake in intakes
        ]
        broker.process_data_events(time_limit=max(0.0, min(left)))
        at = time.monotonic()
        if at - self._maintained_at > MAINTENANCE_SECONDS:
            self._maintain(at=at)
        for intake in intakes:
            if (
                intake.seconds_left(at=at, max_messages=settings.batch_messages, max_seconds=settings.batch_seconds)
                <= 0
            ):
                self._take(intake, intake.batch(settings.batch_messages, at=at), broker)

    def _take(self, intake: _Intake, deliveries: list[_Delivery], broker: BlockingConnection) -> None:
        """Store a batch, then acknowledge it; messages that cannot be stored become dead letters."""
        good: list[tuple[_Delivery, Read]] = []
        refused: dict[int, str] = {}
        for delivery in deliveries:
            try:
                message = read(delivery.routing_key, delivery.body, prefix=self._config.topic_prefix)
                if message is not None:
                    good.append((delivery, message))
            except PoisonError as error:
                refused[delivery.tag] = str(error)
        refused |= self._store(good, broker)
        for delivery in deliveries:
            if delivery.tag in refused:
                self._refuse(intake, delivery, refused[delivery.tag])
        # A rejected tag cannot be acknowledged as well.
        stored = [delivery.tag for delivery in deliveries if delivery.tag not in refused]
        if stored:
            intake.channel.basic_ack(stored[-1], multiple=True)

    def _refuse(self, intake: _Intake, delivery: _Delivery, reason: str) -> None:
        intake.channel.basic_reject(delivery.tag, requeue=False)
        self.dead += 1
        at = time.monotonic()
        if len(self._poison_logged) < POISON_LOGGED or at - self._poison_logged[0] > MINUTE_SECONDS:
            log.warning(
                "%s: a message of '%s' goes to the dead letters: %s", intake.queue, delivery.routing_key, reason
            )
            self._poison_logged.append(at)

    def _store(self, batch: list[tuple[_Delivery, Read]], broker: BlockingConnection) -> dict[int, str]:
        """Store a batch, waiting out database outages; returns the reason by tag for each message it cannot store."""
        try:
            self._commit([message for _, message in batch], broker)
        except DATA_ERRORS as error:
            if len(batch) == 1:
                return {batch[0][0].tag: database.one_line(error)}
            # Bisect to find the message at fault.
            middle = len(batch) // 2
            return self._store(batch[:middle], broker) | self._store(batch[middle:], broker)
        return {}

    def _commit(self, messages: list[Read], broker: BlockingConnection) -> None:
        """Store messages in one transaction.

        Raises:
            psycopg.Error: one of DATA_ERRORS; other errors are retried.
        """
        while messages:
            connection = self._require_database(broker)
            try:
                with connection.transaction():
                    store(connection, messages, site_of=self._config.site_of)
            except DATA_ERRORS:
                raise
            # Connection lost, restart, read-only, disk full, deadlock between workers: retry.
            except psycopg.Error as error:
                connection.close()
                self._log_problem(f"{database.describe_error(error)}; messages wait at the brokers")
                self._wait_alive(broker)
                continue
            self.stored += len(messages)
            self._log_recovery()
            return

    def _require_database(self, broker: BlockingConnection) -> psycopg.Connection:
        """Wait for the database while keeping the broker connection alive."""
        while self._database is None or self._database.closed:
            try:
                self._database = database.open_database(self._config.database, application="maskwatch-fleet ingest")
            except (UnavailableError, psycopg.Error) as error:
                problem = database.describe_error(error) if isinstance(error, psycopg.Error) else error
                self._log_problem(f"{problem}; messages wait at the brokers")
                self._wait_alive(broker)
        return self._database

    def _wait_alive(self, broker: BlockingConnection) -> None:
        """Wait before the next attempt.

        Raises:
            UnavailableError: the worker is stopping; its unacknowledged messages return to the queues.
        """
        until = time.monotonic() + self._backoff.take()
        while (left := until - time.monotonic()) > 0:
            if self._stop.is_set():
                raise UnavailableError(
                    "stopped while the database is unavailable; unacknowledged messages return to the queues"
                )
            self._alive()
            broker.process_data_events(time_limit=min(left, IDLE_SECONDS))

    def _maintain(self, *, at: float) -> None:
        self._maintained_at = at
        if self._database is None:
            return
        try:
            days = self._config.database.retention_days
            dropped = database.maintain(self._database, retention_days=days, when=datetime.now(timezone.utc))
        except psycopg.Error as error:
            # New messages go to the default partition meanwhile; the next attempt moves them.
            log.warning("PostgreSQL: partitions cannot be maintained: %s", database.one_line(error))
        else:
            if dropped:
                log.info("dropped %d partitions older than %d days", dropped, days)

    def _pause(self) -> None:
        until = time.monotonic() + self._backoff.take()
        while (left := until - time.monotonic()) > 0 and not self._stop.is_set():
            self._alive()
            self._stop.wait(min(left, IDLE_SECONDS))

    def _log_problem(self, problem: str) -> None:
        """Log a problem once; `_log_recovery` logs its end."""
        if problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem

    def _log_recovery(self) -> None:
        if self._problem:
            log.info("storing messages again")
        self._problem = ""
        self._backoff.reset()
