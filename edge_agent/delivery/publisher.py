"""The publisher: how do waiting alerts reach the broker, whatever happens to it?

One thread owns the connection. A row leaves the outbox when the broker acknowledged it with a success code, and never
otherwise: delivery is at least once.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.delivery.mqtt import Answer, Connection, Message, open_connection
from edge_agent.delivery.outgoing import JPEG, Outgoing
from edge_agent.delivery.pauses import Pauses
from edge_agent.delivery.payload import as_sent
from edge_agent.delivery.topics import alerts_topic, crop_topic
from edge_agent.errors import AgentError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.config import MqttConfig
    from edge_agent.delivery.outbox import Outbox, Row

# Enough to fill a slow line, few enough that a broker that forgets them is asked for little again.
ROWS_IN_FLIGHT = 8
# paho wants to look at its keep-alive about once a second.
IDLE_SECONDS = 1.0
# Whoever listens asks several times a second; what floods in beyond this is no command of a person.
MOST_HEARD = 100
# Status and discovery are a few dozen topics; beyond this somebody talks faster than the line carries.
MOST_UNSAID = 1000
# The header of a publication: topic, properties and the packet's own length.
HEADER_BYTES = 512
# Several round trips over a slow line; a stopping agent has 5 s for everything.
DRAIN_SECONDS = 2.0
# Beyond the time to drain: saying `offline`, and a thread that is just inside a system call.
JOIN_SECONDS = 1.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient the publisher is."""

    first_pause_seconds: float = 1.0
    """After a loss; a broker that is restarted is back in about so long."""
    longest_pause_seconds: float = 60.0
    """Pauses double up to this: a minute late is still soon after an outage."""
    steady_seconds: float = 10.0
    """A connection that lasted so long was a good one: pauses begin again with the first."""
    acknowledge_seconds: float = 20.0
    """A broker that has not acknowledged within this has forgotten; the row is sent again on a new connection."""
    refused_pause_seconds: float = 10.0
    """After a refusal nothing is sent for so long: most often the whole topic is denied."""
    refused_row_seconds: float = 60.0
    """And the refused row itself lets others go first, in case it is the only one."""


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How delivery is doing; `reason` is empty where all is well. `sent` counts since the start."""

    connected: bool
    reason: str
    waiting: int
    sent: int


@dataclass(frozen=True, slots=True)
class _Sent:
    row_id: str
    at: float


class _Bell:
    """Wakes a thread that polls. Anybody rings, one thread listens."""

    def __init__(self) -> None:
        self.listening_end, self._ringing_end = socket.socketpair()
        self.listening_end.setblocking(False)
        self._ringing_end.setblocking(False)

    def ring(self) -> None:
        # Full: it has been ringing for long. Closed: nobody listens any more.
        with suppress(OSError):
            self._ringing_end.send(b"!")

    def hush(self) -> None:
        with suppress(BlockingIOError):
            self.listening_end.recv(65536)

    def close(self) -> None:
        self.listening_end.close()
        self._ringing_end.close()


class _Mouth:
    """What is to be said and not kept on disk. Any thread says, the publisher's takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_open = False
        self._retained: dict[str, Outgoing] = {}
        self._unsaid: deque[Outgoing] = deque(maxlen=MOST_UNSAID)

    def say(self, outgoing: Outgoing) -> None:
        with self._lock:
            if outgoing.retain:
                self._retained[outgoing.topic] = outgoing
            if self._is_open:
                self._unsaid.append(outgoing)

    def open(self) -> None:
        with self._lock:
            self._is_open = True
            self._unsaid = deque(self._retained.values(), maxlen=MOST_UNSAID)

    def close(self) -> None:
        with self._lock:
            self._is_open = False
            self._unsaid.clear()

    def take(self) -> list[Outgoing]:
        with self._lock:
            taken = list(self._unsaid)
            self._unsaid.clear()
            return taken


class Publisher:
    """Sends what waits in the outbox, says what is only for now, and hears.

    `say` is for any thread; `start`, `wake`, `heard`, `close` and `state` are for the owner's.
    """

    def __init__(
        self,
        outbox: Outbox,
        mqtt: MqttConfig,
        device: str,
        *,
        timing: Timing | None = None,
        listen_to: Sequence[str] = (),
    ) -> None:
        """Take the outbox; `listen_to` names topics (`+` and `#` allowed) to subscribe to at every connection."""
        self._outbox = outbox
        self._mqtt = mqtt
        self._device = device
        self._timing = timing or Timing()
        self._listen_to = tuple(listen_to)
        self._mouth = _Mouth()
        # Appending and taking from the left are safe between two threads.
        self._heard: deque[Message] = deque(maxlen=MOST_HEARD)
        self._bell = _Bell()
        self._stop = threading.Event()
        self._stop_at = 0.0
        # A daemon: looking up a name may block for longer than a stopping agent may take.
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        # From here on owned by the thread; the state is a frozen value that it replaces.
        self._state = DeliveryState(connected=False, reason="not connected yet", waiting=0, sent=0)
        self._said: set[str] = set()
        self._pauses = Pauses(
            first_seconds=self._timing.first_pause_seconds, longest_seconds=self._timing.longest_pause_seconds
        )
        self._in_flight: dict[int, _Sent] = {}
        self._acknowledged: set[str] = set()
        self._crop_numbers: set[int] = set()
        self._said_topics: dict[int, str] = {}
        self._mentioned: set[str] = set()
        self._crops_wanted = mqtt.crops
        self._connected_at = 0.0
        self._refused_until: dict[str, float] = {}
        self._silent_until = 0.0

    @property
    def state(self) -> DeliveryState:
        """How delivery is doing now; cheap enough to be asked for every frame."""
        return replace(self._state, waiting=self._outbox.count())

    def start(self) -> None:
        """Begin to connect and send."""
        self._thread.start()

    def wake(self) -> None:
        """Say that something was put into the outbox."""
        self._bell.ring()

    def say(self, outgoing: Outgoing) -> None:
        """Send a message that is not kept on disk.

        With `retain` it is remembered for its topic and said again at every new connection, in the order of the first
        mention; without, it is dropped where there is no connection now.
        """
        self._mouth.say(outgoing)
        self._bell.ring()

    def heard(self) -> list[Message]:
        """Take what came in on the topics listened to since the last call, oldest first."""
        return [self._heard.popleft() for _ in range(len(self._heard))]

    def close(self, *, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Send what can still be sent in so many seconds, say `offline` and end the thread.

        Takes at most 1.5 s longer than that; what was not acknowledged stays in the outbox.
        """
        self._stop_at = time.monotonic() + drain_seconds
        self._stop.set()
        self._bell.ring()
        self._thread.join(drain_seconds + JOIN_SECONDS)
        if not self._thread.is_alive():
            self._bell.close()
        if waiting := self._outbox.count():
            log.info("%d alerts wait in the outbox until the agent is started again", waiting)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._connect_and_serve()
            except AgentError as error:
                self._trouble(str(error))
            # Delivery must not end for as long as the agent lives, whatever is wrong with it.
            except Exception:
                if not self._stop.is_set():
                    log.exception("the publisher failed and starts over; please report this")
                self._state = replace(self._state, reason="the publisher failed; its log says why")
            self._state = replace(self._state, connected=False)
            self._mouth.close()
            self._in_flight.clear()
            self._crop_numbers.clear()
            self._said_topics.clear()
            self._stop.wait(self._pauses.take())

    def _connect_and_serve(self) -> None:
        client_id = f"maskwatch-{self._device}"
        with open_connection(self._mqtt, client_id=client_id, device=self._device) as connection:
            self._connected_at = time.monotonic()
            self._crops_wanted = self._mqtt.crops
            self._state = replace(self._state, connected=True)
            self._mouth.open()
            self._listen(connection)
            self._serve(connection)

    def _listen(self, connection: Connection) -> None:
        for topic in self._listen_to:
            try:
                connection.subscribe(topic)
            except UnavailableError as error:
                # Alerts matter more than what anybody has to say to the agent. Where the whole connection is lost,
                # its next turn says so.
                self._mention(f"nothing is heard on {topic}: {error}")

    def _serve(self, connection: Connection) -> None:
        while True:
            at = time.monotonic()
            for outgoing in self._mouth.take():
                self._said_topics[connection.publish(outgoing)] = outgoing.topic
            self._forget_acknowledged()
            self._send_waiting(connection, at=at)
            if not self._in_flight:
                self._well(connection)
            seconds = IDLE_SECONDS
            if self._stop.is_set():
                if not self._in_flight or at >= self._stop_at:
                    return
                seconds = min(seconds, self._stop_at - at)
            events = connection.turn(seconds, bell=self._bell.listening_end.fileno())
            self._bell.hush()
            self._heard.extend(event for event in events if isinstance(event, Message))
            self._settle([event for event in events if isinstance(event, Answer)], connection)
            self._expect_answers(connection)

    def _send_waiting(self, connection: Connection, *, at: float) -> None:
        if at < self._silent_until:
            return
        messages_a_row = 2 if self._mqtt.crops else 1
        limit = max(1, min(ROWS_IN_FLIGHT, connection.in_flight_limit // messages_a_row))
        if len(self._in_flight) >= limit:
            return
        sent = {sent.row_id for sent in self._in_flight.values()} | self._acknowledged
        # What was sent or refused before is the oldest: looking past it must still show enough.
        for row in self._outbox.waiting(limit + len(self._acknowledged) + len(self._refused_until)):
            if len(self._in_flight) >= limit:
                break
            if row.id not in sent and at >= self._refused_until.get(row.id, 0.0):
                self._send(connection, row, at=at)

    def _send(self, connection: Connection, row: Row, *, at: float) -> None:
        # The crop first: a broker handles publications in order, so whoever gets the alert has the picture.
        if self._crops_wanted and row.message["crop"]:
            self._send_crop(connection, row)
        message = as_sent(row.message, now=datetime.now(timezone.utc))
        topic = alerts_topic(self._mqtt, self._device)
        number = connection.publish(Outgoing(topic, json.dumps(message).encode()))
        self._in_flight[number] = _Sent(row.id, at)

    def _send_crop(self, connection: Connection, row: Row) -> None:
        file = Path(row.message["crop"]["file"])
        try:
            picture = file.read_bytes()
        except OSError as error:
            log.warning("%s: the alert goes out without its picture: %s", file, error.strerror)
            return
        if len(picture) + HEADER_BYTES > connection.largest_packet_bytes:
            log.warning("%s: too large for the broker, which takes %d bytes", file, connection.largest_packet_bytes)
            return
        topic = crop_topic(self._mqtt, self._device, row.id)
        self._crop_numbers.add(connection.publish(Outgoing(topic, picture, content_type=JPEG)))

    def _settle(self, answers: list[Answer], connection: Connection) -> None:
        acknowledged = []
        for answer in answers:
            if answer.number in self._crop_numbers:
                self._crop_numbers.remove(answer.number)
                if answer.refusal:
                    self._crops_refused(answer.refusal, connection)
                continue
            if (topic := self._said_topics.pop(answer.number, None)) is not None:
                self._word_answered(topic, answer.refusal, connection)
                continue
            sent = self._in_flight.pop(answer.number)
            if answer.refusal:
                self._alert_refused(sent, answer.refusal, connection)
            else:
                acknowledged.append(sent.row_id)
        if acknowledged:
            self._acknowledged.update(acknowledged)
            for row_id in acknowledged:
                self._refused_until.pop(row_id, None)
            self._state = replace(self._state, sent=self._state.sent + len(acknowledged))
            self._forget_acknowledged()
            self._well(connection)

    def _word_answered(self, topic: str, refusal: str, connection: Connection) -> None:
        if refusal:
            self._mention(
                f"{connection.address}: the broker refuses {topic} ({refusal}); give this device write access to that "
                "topic"
            )

    def _forget_acknowledged(self) -> None:
        """Take acknowledged rows out of the outbox; on a full disk they are only not sent again, until it has room."""
        if not self._acknowledged:
            return
        try:
            self._outbox.remove(*self._acknowledged)
        except UnavailableError as error:
            self._trouble(str(error))
        else:
            self._acknowledged.clear()

    def _alert_refused(self, sent: _Sent, refusal: str, connection: Connection) -> None:
        at = time.monotonic()
        self._silent_until = at + self._timing.refused_pause_seconds
        self._refused_until[sent.row_id] = at + self._timing.refused_row_seconds
        topic = alerts_topic(self._mqtt, self._device)
        self._trouble(
            f"{connection.address}: the broker refuses alerts on {topic} ({refusal}); they are kept and tried again: "
            "give this device write access to that topic"
        )

    def _crops_refused(self, refusal: str, connection: Connection) -> None:
        if self._crops_wanted:
            log.warning(
                "%s: the broker refuses crops on %s (%s) and gets none until the next connection; give this device "
                "write access to that topic, or set mqtt.crops: false",
                connection.address,
                crop_topic(self._mqtt, self._device, "+"),
                refusal,
            )
        self._crops_wanted = False

    def _expect_answers(self, connection: Connection) -> None:
        patience = self._timing.acknowledge_seconds
        at = time.monotonic()
        if any(at - sent.at > patience for sent in self._in_flight.values()):
            raise UnavailableError(
                f"{connection.address}: the broker takes alerts but does not acknowledge them within {patience:.0f} s; "
                "they are kept and sent again"
            )

    def _mention(self, what: str) -> None:
        """Say once in the life of the publisher what keeps no alert from being delivered."""
        if what not in self._mentioned:
            log.warning("%s", what)
        self._mentioned.add(what)

    def _trouble(self, reason: str) -> None:
        if reason not in self._said:
            log.warning("%s", reason)
        self._said.add(reason)
        self._state = replace(self._state, reason=reason)

    def _well(self, connection: Connection) -> None:
        if self._refused_until or self._acknowledged:
            return
        if self._state.reason:
            log.info("%s: connected (%s), alerts are delivered", connection.address, connection.protocol)
        self._said.clear()
        self._state = replace(self._state, reason="")
        if time.monotonic() - self._connected_at >= self._timing.steady_seconds:
            self._pauses.reset()
