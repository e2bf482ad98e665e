"""Publisher: delivers pending messages to the broker and reconnects after failures.

One thread owns the connection. A row leaves the outbox only when the broker has acknowledged it with a success code:
delivery is at least once. (Telemetry is sent at QoS 0, without acknowledgement: it leaves when written.)

After an outage new messages go first, because they can still be acted on; then the backlog, alerts and resolutions
oldest first, telemetry last. The rate is limited so that a hundred devices do not overload a returning broker.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_agent.alerts.store import Row
from edge_agent.errors import AgentError, UnavailableError
from edge_agent.host.backoff import Backoff
from edge_agent.host.token_bucket import TokenBucket
from edge_agent.messages.alert import with_crop_name
from edge_agent.messages.message import ALERTS_AND_RESOLVED, KINDS, is_historical
from edge_agent.messages.topics import Topics
from edge_agent.mqtt.client import (
    RAISE_THE_LIMIT,
    BrokerLimits,
    Connection,
    Message,
    PubAck,
    TakenOverError,
)
from edge_agent.mqtt.disconnects import FREQUENT_SECONDS, Disconnects
from edge_agent.mqtt.outbox import TELEMETRY_EXPIRY_SECONDS, Outbox
from edge_agent.mqtt.publication import Publication, picture_publication
from edge_agent.mqtt.retries import Retries
from edge_agent.mqtt.volatile_queue import VolatileQueue
from edge_agent.mqtt.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.alerts.store import AlertStore
    from edge_agent.config.model import MqttConfig
    from edge_agent.messages.message import QueuedMessage
    from edge_agent.mqtt.kept_connection import KeptConnection
    from edge_agent.mqtt.outbox import Ready
    from edge_agent.mqtt.retained import RetainedNames

# Enough to fill a slow link, few enough to resend cheaply if the broker loses them.
ROWS_IN_FLIGHT = 8
# Multiple of the last acknowledgement time: a broker that gets slower takes longer each time.
TIMEOUT_FACTOR = 3
# paho checks its keep-alive about once a second.
IDLE_SECONDS = 1.0
# The owner polls several times a second; more are not commands of a user.
MAX_RECEIVED = 100
# Several round trips over a slow link. With the two seconds of the cameras, an agent ends within 5 s of SIGTERM.
DRAIN_SECONDS = 2.0
CROPS = "crops"
RETAIN = "retained messages"
STATUS = "status"
LAST_WILL = "last will"
AT_LEAST_ONCE = "acknowledgement (QoS 1)"
# In addition to draining: publishing `offline`, and a thread inside a system call.
JOIN_SECONDS = 1.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """Timeouts and backoff of the publisher."""

    first_pause_seconds: float = 1.0
    """First backoff after a connection loss, about the time of a broker restart."""
    max_pause_seconds: float = 60.0
    """Maximum backoff: a minute is still soon after an outage."""
    steady_seconds: float = 10.0
    """A connection that lasted this long resets the backoff."""
    acknowledge_seconds: float = 20.0
    """A broker without any acknowledgement for this long, or for three times the last acknowledgement time, has lost
    the messages; they are sent again on a new connection. A slow broker acknowledges one message after the other:
    sending all of them again would only add load."""
    forgotten_seconds: float = 300.0
    """A single message not acknowledged within this is lost, even if others are acknowledged."""
    slow_seconds: float = 5.0
    """While acknowledgements take longer, one message is in flight at a time; each faster one allows one more. So a
    broker to which thousands of devices reconnect is sent little until it has shown its capacity."""
    refused_pause_seconds: float = 10.0
    """After a refusal messages of its kind pause for this long: usually the whole topic is denied."""
    refused_row_seconds: float = 60.0
    """The refused row itself waits longer, to let others go first in case only it is refused."""
    no_subscribers_pause_seconds: float = 2.0
    """Delay before an alert that reached no subscriber is sent again; doubles each time."""


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """State of delivery; `reason` is empty without problems. `sent` counts since the start."""

    connected: bool
    reason: str
    waiting: int
    sent: int
    left_out: tuple[str, ...] = ()
    """Messages no longer sent because the broker does not support them or disconnects on them."""
    has_namesake: bool = False
    """Whether connections end in the way typical of another device with the same name."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A publication that the broker has not acknowledged yet."""

    topic: str
    feature: str
    """The name under which it can be left out; empty: it cannot."""
    qos: int
    at: float
    row: Row | None = None
    """None: it is not in the outbox."""


class Publisher:
    """Sends the outbox and volatile messages, and receives from subscribed topics.

    `publish` is for any thread; `start`, `wake`, `received`, `close` and `state` are for the owner's.
    """

    def __init__(
        self,
        store: AlertStore,
        mqtt: MqttConfig,
        device: str,
        *,
        kept: KeptConnection,
        timing: Timing | None = None,
        listen_to: Sequence[str] = (),
        retained: RetainedNames | None = None,
    ) -> None:
        """`listen_to` are the topics (`+` and `#` allowed) to subscribe to at every connection.

        `kept` still has the connection after `close`. The next publisher waits until this one has left it: a thread
        that is connecting when it is closed ends only once the broker has answered, or does not.

        Stale topics in `retained` are cleared at the broker.
        """
        self._store = store
        self._mqtt = mqtt
        self._device, self._topics = device, Topics(mqtt.topic_prefix, device)
        self._kept = kept
        self._timing = timing or Timing()
        self._listen_to = tuple(listen_to)
        self._retained = retained
        self._volatile = VolatileQueue()
        for topic in retained.stale if retained else ():
            self._volatile.put(Publication(topic, b"", retain=True, content_type=""))
        # append and popleft are thread-safe.
        self._received: deque[Message] = deque(maxlen=MAX_RECEIVED)
        self._waker = Waker()
        self._outbox = Outbox(store, wake=self._waker.wake)
        self._stop = threading.Event()
        self._stop_at = 0.0
        # A daemon: a DNS lookup may block for longer than the agent may take to stop.
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        # From here on owned by the thread; the state is a frozen value that it replaces.
        self._state = DeliveryState(connected=False, reason="not connected yet", waiting=0, sent=0)
        self._logged_reasons: set[str] = set()
        self._backoff = Backoff(
            first_seconds=self._timing.first_pause_seconds, max_seconds=self._timing.max_pause_seconds
        )
        self._sent: dict[int, _Sent] = {}
        """By packet number, oldest first."""
        self._acknowledged_at = 0.0
        self._acknowledge_seconds = 0.0
        self._window = 1
        self._logged: set[str] = set()
        self._sends_crops = mqtt.publish_crops
        self._subscribing_to = ""
        self._disconnects = Disconnects(steady_seconds=self._timing.steady_seconds)
        self._left_out: set[str] = set()
        self._retries = Retries(
            refused_kind_seconds=self._timing.refused_pause_seconds,
            refused_row_seconds=self._timing.refused_row_seconds,
            first_hold_seconds=self._timing.no_subscribers_pause_seconds,
            hold_seconds=mqtt.no_subscribers_hold_seconds,
        )
        self._telemetry_at = float("-inf")
        self._rate_limit = TokenBucket(mqtt.messages_per_second)
        self._backlog_up_to = 0

    @property
    def state(self) -> DeliveryState:
        """The current state of delivery; cheap enough to read for every frame."""
        return replace(self._state, waiting=self._store.count())

    @property
    def is_alive(self) -> bool:
        """Whether the thread is running; only `close` should end it."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Wake the thread: something was put into the store."""
        self._waker.wake()

    def publish(self, publication: Publication) -> None:
        """Send a message that is not kept on disk.

        With `retain` it is kept for its topic and sent again at every new connection, in the order of the first call;
        without, it is dropped if there is no connection.
        """
        self._volatile.put(publication)
        self._waker.wake()

    def publish_unstored(self, message: QueuedMessage) -> None:
        """Send a message that cannot be stored, as `publish` does."""
        row = Row(message.id, message.kind, message.as_json(), waited_seconds=0.0)
        self.publish(publication_of(row, self._mqtt, self._topics))

    def resend_held(self) -> None:
        """Resend messages that reached no subscriber at once, because one has appeared."""
        self._retries.release()
        self._waker.wake()

    def received(self) -> list[Message]:
        """Take the messages received on subscribed topics since the last call, oldest first."""
        return [self._received.popleft() for _ in range(len(self._received))]

    def close(self, *, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Send pending messages for at most `drain_seconds` and stop the thread; the connection stays open.

        Takes at most 1.5 s longer than that; unacknowledged messages stay in the outbox.
        """
        self._stop_at = time.monotonic() + drain_seconds
        self._stop.set()
        self._waker.wake()
        self._thread.join(drain_seconds + JOIN_SECONDS)
        if waiting := self._store.count():
            log.info("pending messages kept in the outbox: %d", waiting)

    def _run(self) -> None:
        with closing(self._waker), self._kept.owned:
            self._deliver()

    def _deliver(self) -> None:
        while not self._stop.is_set():
            try:
                self._connect_and_serve()
            except AgentError as error:
                self._explain_loss(error, at=time.monotonic())
            # Delivery must not end while the agent runs, even after a bug.
            except Exception:
                if not self._stop.is_set():
                    log.exception("the publisher failed and restarts; please report this")
                self._state = replace(self._state, reason="the publisher failed; see the log")
            self._state = replace(self._state, connected=False)
            self._volatile.close()
            self._sent.clear()
            self._subscribing_to = ""
            # After a steady connection, all devices have lost the broker at the same moment.
            was_steady = self._disconnects.is_steady(at=time.monotonic())
            spread_seconds = self._mqtt.reconnect_spread_seconds if was_steady else 0.0
            self._stop.wait(self._backoff.take() + random.uniform(0.0, spread_seconds))  # noqa: S311  (no secret)

    def _connect_and_serve(self) -> None:
        known = BrokerLimits(retain=RETAIN not in self._left_out, will=LAST_WILL not in self._left_out)
        self._disconnects.begin()
        with self._kept.use(self._mqtt, device=self._device, limits=known) as connection:
            if self._is_over:
                return
            self._disconnects.connected(at=time.monotonic())
            self._acknowledge_seconds, self._window = 0.0, 1
            self._sends_crops = self._mqtt.publish_crops and CROPS not in self._left_out
            if not connection.limits.retain:
                self._leave_out(RETAIN, "the broker does not support them")
            if not connection.limits.qos:
                self._leave_out(AT_LEAST_ONCE, "the broker supports only QoS 0: lost messages are not sent again")
            if not connection.limits.will:
                self._leave_out(
                    LAST_WILL, f"the broker refuses one on {self._topics.status}: a lost device stays 'online'"
                )
            self._backlog_up_to = self._store.last_position()
            self._state = replace(self._state, connected=True)
            self._volatile.open()
            self._listen(connection)
            self._serve(connection)

    @property
    def _is_over(self) -> bool:
        """Whether `close` has stopped waiting: the store may be closed, and the connection is left to the next one."""
        return self._stop.is_set() and time.monotonic() >= self._stop_at

    def _listen(self, connection: Connection) -> None:
        for topic in self._listen_to:
            if topic in self._left_out or self._is_over:
                continue
            self._subscribing_to = topic
            try:
                # A retained command is not executed, and so neither is the empty message that clears it.
                connection.subscribe(topic, retain_as_published=topic == self._topics.command("+"))
            except UnavailableError as error:
                # Alerts matter more than subscriptions. If the whole connection is lost, its next turn reports it. A
                # namesake is detected without its status, too.
                if topic != self._topics.status:
                    self._log_once(f"cannot subscribe to {topic}: {error}")
                if connection.is_lost:
                    return
            self._subscribing_to = ""

    def _serve(self, connection: Connection) -> None:
        while not self._is_over:
            at = time.monotonic()
            self._send_volatile(connection)
            self._outbox.remove()
            seconds = self._send_waiting(connection, at=at)
            if not self._in_flight and self._suspect_seconds(at) <= 0:
                self._report_recovery(connection)
            if self._stop.is_set():
                if not self._in_flight and not self._outbox.is_busy and seconds == IDLE_SECONDS:
                    return
                seconds = min(seconds, self._stop_at - at)
            events = connection.turn(seconds, waker=self._waker.fileno())
            self._waker.clear()
            self._received.extend(event for event in events if isinstance(event, Message))
            self._settle([event for event in events if isinstance(event, PubAck)], connection)
            self._expect_acknowledgements(connection)

    def _send_volatile(self, connection: Connection) -> None:
        while self._suspect_seconds(time.monotonic()) <= 0 and (publication := self._volatile.take()) is not None:
            feature = self._feature_of(publication.topic)
            if feature in self._left_out:
                continue
            if publication.packet_bytes > connection.max_packet_bytes:
                # The broker would disconnect.
                limit_bytes = connection.max_packet_bytes
                self._log_once(
                    f"{connection.address}: a message above the broker's limit of {limit_bytes} bytes is dropped"
                )
            else:
                self._publish(connection, publication, feature=feature)

    def _publish(
        self, connection: Connection, publication: Publication, *, feature: str, row: Row | None = None
    ) -> None:
        number = connection.publish(publication)
        self._sent[number] = _Sent(publication.topic, feature, publication.qos, time.monotonic(), row)

    @property
    def _in_flight(self) -> list[tuple[Row, float]]:
        """The rows that are sent and not acknowledged, oldest first, with the time of sending."""
        return [(sent.row, sent.at) for sent in self._sent.values() if sent.row is not None]

    @property
    def _unacknowledged(self) -> list[_Sent]:
        """What the broker has not acknowledged, oldest first: at QoS 0 it never does."""
        return [sent for sent in self._sent.values() if sent.qos]

    def _send_waiting(self, connection: Connection, *, at: float) -> float:
        """Send the messages that may be sent now; return the seconds until the next check."""
        if (suspect_seconds := self._suspect_seconds(at)) > 0:
            return suspect_seconds
        free = (1 if self._is_slow(at) else self._window) - len(self._in_flight)
        if free <= 0:
            return IDLE_SECONDS
        share = self._rate_limit.available(at=at)
        if not share:
            return self._rate_limit.wait_seconds(at=at)
        selected = self._select(min(free, share), at=at)
        for ready in selected:
            self._rate_limit.take(at=at)
            self._send(connection, ready, at=at)
        is_held_back = len(selected) == share < free
        return self._rate_limit.wait_seconds(at=at) if is_held_back else IDLE_SECONDS

    def _select(self, limit: int, *, at: float) -> list[Ready]:
        """The messages that may be sent, in order of priority."""
        waiting, waiting_kinds = self._retries.waiting(at=at)
        passed_over = {row.key for row, _ in self._in_flight} | waiting
        kinds = [
            kind for kind in KINDS if kind not in waiting_kinds and self._topics.of_kind(kind) not in self._left_out
        ]
        return self._outbox.select(
            limit, after=self._backlog_up_to, kinds=kinds, passed_over=passed_over, with_crops=self._sends_crops
        )

    def _send(self, connection: Connection, ready: Ready, *, at: float) -> None:
        row = ready.row
        is_repeated = self._retries.is_held(row.key)
        publication = publication_of(row, self._mqtt, self._topics, is_repeated=is_repeated)
        if publication.packet_bytes > connection.max_packet_bytes:
            # The broker would disconnect.
            refusal = f"it takes no more than {connection.max_packet_bytes} bytes"
            self._row_refused(row, PubAck(0, refusal, RAISE_THE_LIMIT), connection)
            return
        # Crop first: brokers keep the order, so a subscriber that receives the alert already has the picture.
        if self._sends_crops and ready.crop is not None:
            self._send_crop(connection, row, ready.crop, is_new=not (is_repeated or is_historical(row.waited_seconds)))
        # Alerts are never left out.
        self._publish(connection, publication, feature="" if row.kind == "alert" else publication.topic, row=row)
        if row.kind == "telemetry":
            self._telemetry_at = at

    def _send_crop(self, connection: Connection, row: Row, picture: bytes, *, is_new: bool) -> None:
        file = row.message["crop"]["file"]
        publication = picture_publication(self._topics.crop(row.key), picture, file=file)
        if publication.packet_bytes > connection.max_packet_bytes:
            log.warning("%s: too large for the broker, whose limit is %d bytes", file, connection.max_packet_bytes)
            return
        self._publish(connection, publication, feature=CROPS)
        last = self._topics.last_crop(row.message["camera"])
        if is_new and self._mqtt.home_assistant.enabled and last not in self._left_out:
            self._publish(connection, picture_publication(last, picture, file=file), feature=last)

    def _settle(self, pubacks: list[PubAck], connection: Connection) -> None:
        acknowledged = []
        for puback in pubacks:
            sent = self._sent.pop(puback.number, None)
            if sent is None:
                # Sent by an earlier publisher over this connection; if it is still in the outbox, it is sent again.
                continue
            if sent.qos:
                self._disconnects.accepted(sent.feature)
            if sent.row is None:
                self._volatile_acknowledged(sent.topic, puback, connection)
                continue
            self._acknowledged_at = time.monotonic()
            self._acknowledge_seconds = self._acknowledged_at - sent.at
            is_slow = self._acknowledge_seconds > self._timing.slow_seconds
            self._window = 1 if is_slow else min(self._window + 1, ROWS_IN_FLIGHT)
            if puback.refusal:
                self._row_refused(sent.row, puback, connection)
            elif not self._is_held(sent.row, puback, connection):
                acknowledged.append(sent.row.key)
        if acknowledged:
            self._retries.forget(acknowledged)
            self._state = replace(self._state, sent=self._state.sent + len(acknowledged))
            self._outbox.remove(*acknowledged)
            self._report_recovery(connection)

    def _is_held(self, row: Row, puback: PubAck, connection: Connection) -> bool:
        """Whether to hold an accepted message because no client has subscribed: alerts are meant to be seen.

        After an outage the broker is often back a little before its subscribers.
        """
        if not puback.no_subscribers or row.kind not in ALERTS_AND_RESOLVED:
            return False
        if row.kind == "alert":
            self._log_once(
                f"{connection.address}: the broker accepted an alert but has no subscriber for {self._topics.alerts}"
            )
        return self._retries.hold(row, at=time.monotonic())

    def _former_topic_acknowledged(self, topic: str, refusal: str) -> None:
        """Handle the answer for a former topic: it is cleared, or only another client may clear it."""
        if refusal:
            log.warning(
                "the retained message on %s, a former name of this device or a camera, cannot be cleared (%s); run "
                "'mosquitto_pub -r -n -t %s' as a user with write access",
                topic,
                refusal,
                topic,
            )
        else:
            log.info("%s: cleared, because this device or camera was renamed or removed", topic)
        self._volatile.forget(topic)
        if self._retained:
            self._retained.forget(topic)

    def _volatile_acknowledged(self, topic: str, puback: PubAck, connection: Connection) -> None:
        if self._retained and topic in self._retained.stale:
            self._former_topic_acknowledged(topic, puback.refusal)
        elif puback.refusal and topic.startswith(self._topics.crop("")):
            self._crops_refused(puback, connection)
        elif puback.refusal:
            # Each snapshot has its own topic: log one line for all of them.
            if topic.startswith(self._topics.snapshot("")):
                topic = self._topics.snapshot("+")
            self._log_once(f"{connection.address}: the broker refuses {topic} ({puback.refusal}); {puback.advice}")

    def _row_refused(self, row: Row, puback: PubAck, connection: Connection) -> None:
        self._retries.refuse(row, at=time.monotonic())
        noun = "alerts" if row.kind == "alert" else "messages"
        self._report_problem(
            f"{connection.address}: the broker refuses {noun} on {self._topics.of_kind(row.kind)} "
            f"({puback.refusal}); they are kept and sent again later: {puback.advice}"
        )

    def _crops_refused(self, puback: PubAck, connection: Connection) -> None:
        if self._sends_crops:
            log.warning(
                "%s: the broker refuses crops on %s (%s) and gets none until the next connection; %s, or set "
                "mqtt.publish_crops: false",
                connection.address,
                self._topics.crop("+"),
                puback.refusal,
                puback.advice,
            )
        self._sends_crops = False

    def _expect_acknowledgements(self, connection: Connection) -> None:
        if self._has_timed_out(time.monotonic()):
            raise UnavailableError(
                f"{connection.address}: the broker accepts alerts but does not acknowledge them within "
                f"{self._timeout_seconds:.0f} s; they are kept and sent again"
            )

    def _has_timed_out(self, at: float) -> bool:
        if not self._in_flight:
            return False
        _, oldest_at = self._in_flight[0]
        # Acknowledgements from before it was sent do not count.
        silent_seconds = at - max(oldest_at, self._acknowledged_at)
        return silent_seconds > self._timeout_seconds or at - oldest_at > self._timing.forgotten_seconds

    @property
    def _timeout_seconds(self) -> float:
        return max(self._timing.acknowledge_seconds, TIMEOUT_FACTOR * self._acknowledge_seconds)

    def _is_slow(self, at: float) -> bool:
        waits = [at - sent_at for _, sent_at in self._in_flight]
        return max([self._acknowledge_seconds, *waits]) > self._timing.slow_seconds

    def _feature_of(self, topic: str) -> str:
        """The name under which a message is left out: its topic, but for the status first only its retention."""
        if topic == self._topics.status:
            return STATUS if RETAIN in self._left_out else RETAIN
        return self._topics.snapshot("+") if topic.startswith(self._topics.snapshot("")) else topic

    def _explain_loss(self, error: AgentError, *, at: float) -> None:
        """Report a connection loss with its likely cause, and leave out what the broker repeatedly disconnects on."""
        self._report_problem(self._with_its_cause(error, at=at))
        unacknowledged = self._unacknowledged
        first = self._subscribing_to or next((sent.feature for sent in unacknowledged), "")
        # Sent at QoS 0, once a minute, over a steady connection.
        telemetry = None if unacknowledged else (self._topics.of_kind("telemetry"), self._telemetry_at)
        cause, is_repeated = self._disconnects.find_cause(first, unanswered=telemetry, at=at)
        if not cause:
            return
        # The broker works, and alerts are pending.
        self._backoff.reset()
        if is_repeated and self._retained and cause in self._retained.stale:
            self._former_topic_acknowledged(cause, "the broker closes the connection on it")
        elif is_repeated:
            self._leave_out(cause, "the broker closes the connection on it")

    def _with_its_cause(self, error: AgentError, *, at: float) -> str:
        """Add the likely cause to the message of a connection loss, if losses are frequent."""
        reason = str(error)
        if isinstance(error, TakenOverError):
            self._state = replace(self._state, has_namesake=True)
            return reason
        if not self._disconnects.lost(at=at):
            return reason
        if self._in_flight and not self._has_timed_out(at):
            return f"{reason}, repeatedly soon after alerts were sent: {RAISE_THE_LIMIT}, if it has one"
        if self._unacknowledged:
            return reason
        self._state = replace(self._state, has_namesake=True)
        return (
            f"{reason}, repeatedly soon after connecting: another device may have the same name "
            f"('{self._device}'); give every device its own device.id"
        )

    def _suspect_seconds(self, at: float) -> float:
        unacknowledged = self._unacknowledged
        return self._disconnects.wait_seconds(unacknowledged[-1].at, at=at) if unacknowledged else 0.0

    def _leave_out(self, feature: str, why: str) -> None:
        """Stop sending something until the next start or reload, and log it once."""
        if feature in self._left_out:
            return
        self._left_out.add(feature)
        if feature == self._topics.status:
            # Only the status subscription has this name: a namesake is detected without it.
            return
        address = f"{self._mqtt.host}:{self._mqtt.port}"
        log.warning(
            "%s: no longer sending %s to the broker (%s); give this device access, or disable it", address, feature, why
        )
        self._state = replace(self._state, left_out=tuple(sorted(self._left_out)))

    def _log_once(self, problem: str) -> None:
        """Log a problem that does not affect alerts once in the lifetime of the publisher."""
        if problem not in self._logged:
            log.warning("%s", problem)
        self._logged.add(problem)

    def _report_problem(self, reason: str) -> None:
        """Make a problem of delivery the state's reason, and log it once until recovery."""
        if reason not in self._logged_reasons:
            log.warning("%s", reason)
        self._logged_reasons.add(reason)
        self._state = replace(self._state, reason=reason)

    def _report_recovery(self, connection: Connection) -> None:
        if self._retries.has_refused:
            return
        if self._state.reason:
            log.info("%s: connected (%s), delivering alerts", connection.address, connection.protocol)
        self._logged_reasons.clear()
        self._disconnects.recovered()
        self._state = replace(self._state, reason="")
        at = time.monotonic()
        if self._disconnects.is_steady(at=at):
            self._backoff.reset()
        if self._disconnects.lasts_seconds(at=at) >= FREQUENT_SECONDS and self._state.has_namesake:
            self._state = replace(self._state, has_namesake=False)


def publication_of(row: Row, mqtt: MqttConfig, topics: Topics, *, is_repeated: bool = False) -> Publication:
    """Build the publication of a row at the time of sending, including whether it is historical.

    Messages sent again for lack of a subscriber are historical.
    """
    message = {**row.message, "historical": is_repeated or is_historical(row.waited_seconds)}
    if not mqtt.publish_crop_paths:
        message = with_crop_name(message)
    is_telemetry = row.kind == "telemetry"
    named = [
        ("device", topics.device),
        *((name, str(message[name])) for name in ("camera", "schema") if name in message),
    ]
    return Publication(
        topics.of_kind(row.kind),
        json.dumps(message).encode(),
        qos=0 if is_telemetry else 1,
        expiry_seconds=TELEMETRY_EXPIRY_SECONDS if is_telemetry else mqtt.expiry_seconds or None,
        user_properties=tuple(named),
    )
