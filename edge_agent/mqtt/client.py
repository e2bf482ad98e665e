"""MQTT client: opens, drives and closes one connection to the broker.

Version 5, or 3.1.1 with older brokers. It has no thread and does not reconnect: the owner drives the connection with
`turn`, and opens another when this one is lost.
"""

from __future__ import annotations

import logging
import secrets
import socket
import ssl
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from paho.mqtt import MQTTException
from paho.mqtt.client import WebsocketConnectionError
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.config.secrets import read_password
from edge_agent.errors import UnavailableError
from edge_agent.host.clock import boot_id
from edge_agent.messages.status import offline
from edge_agent.messages.topics import Topics
from edge_agent.mqtt.bounded_client import MAX_MESSAGE_BYTES, BoundedClient
from edge_agent.mqtt.publication import status_publication
from edge_agent.mqtt.tls import certificate_advice, reason_of, tls_advice, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

    from edge_agent.config.model import MqttConfig
    from edge_agent.mqtt.publication import Publication

log = logging.getLogger(__name__)

# A broker on the other side of the world over a phone network answers well within this.
CONNECT_SECONDS = 5.0
# Nearly every broker answers within this; otherwise its version is probed in another way.
CONNACK_SECONDS = 1.0
# To deliver `offline`; a stopping agent has 5 s in all.
CLOSE_SECONDS = 0.5
AT_LEAST_ONCE = 1
MQTT_5 = "MQTT 5"
# MQTT's maximum, for a broker without a limit.
ANY_PACKET_BYTES = 268_435_455
# Of all messages at QoS 1, if the broker permits as many: enough to fill a slow link.
MAX_IN_FLIGHT = 20

RAISE_THE_LIMIT = "raise the broker's limit to the size of messages (mosquitto: message_size_limit)"

# Exceptions of paho's parser for a malformed packet; they differ between versions.
MALFORMED_PACKET = (MQTTException, LookupError, ValueError, struct.error)

# MQTT 5 reason codes (section 2.4); paho translates those of 3.1.1 into them.
NO_MATCHING_SUBSCRIBERS = 16
UNSUPPORTED_VERSION = 132
BAD_USER_OR_PASSWORD = 134
NOT_AUTHORISED = 135
SESSION_TAKEN_OVER = 142
PACKET_TOO_LARGE = 149
RETAIN_NOT_SUPPORTED = 154
QOS_NOT_SUPPORTED = 155
TOPIC_NOT_ACCEPTED = 144
ADVICE = {
    133: "set mqtt.client_id to one that it accepts",
    136: "the agent retries",
    137: "the agent retries",
    138: "its administrator has to unblock this device",
    144: "choose another mqtt.topic_prefix",
    151: "the agent retries; raise the broker's limit of connections",
    156: "set mqtt.host to another of its servers",
    157: "set mqtt.host to its new address",
    159: "the agent retries; raise the broker's limit of the connection rate",
}
"""By the reason code of a refused connection."""
PUBLICATION_ADVICE = {
    131: "the broker's log says why (RabbitMQ: a full queue)",
    NOT_AUTHORISED: "give this device write access to that topic",
    TOPIC_NOT_ACCEPTED: ADVICE[TOPIC_NOT_ACCEPTED],
    151: "raise the broker's quota, or check why its subscribers are behind",
}
"""By the reason code of a refused publication."""


@dataclass(frozen=True, slots=True)
class PubAck:
    """The broker's acknowledgement of the publication with this number; `refusal` is empty if it was accepted.

    `advice` is what to do about a refusal. `no_subscribers`: the broker reports, as MQTT 5 allows, that no client has
    subscribed.
    """

    number: int
    refusal: str
    advice: str = ""
    no_subscribers: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A message on a subscribed topic. The last two fields are MQTT 5's request/response properties, if any."""

    topic: str
    payload: bytes
    retain: bool = False
    response_topic: str = ""
    correlation_data: bytes | None = None


Event: TypeAlias = PubAck | Message


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """What a broker does not support or permit: MQTT 5, retained messages, QoS above this, and a last will."""

    mqtt_5: bool = True
    retain: bool = True
    qos: int = AT_LEAST_ONCE
    will: bool = True


class TakenOverError(UnavailableError):
    """The broker reports that another client with the same id has connected."""


class _LimitedBrokerError(UnavailableError):
    """The broker refused the connection; retry within these limits."""

    def __init__(self, message: str, limits: BrokerLimits) -> None:
        super().__init__(message)
        self.limits = limits


class _RefusedError(_LimitedBrokerError):
    """The broker refused the connection, perhaps because of its will: if it refuses one without, this is the reason."""


class _SilentBrokerError(UnavailableError):
    """The broker did not answer in time: it is slow, or did not understand the version."""


def open_connection(
    mqtt: MqttConfig, *, client_id: str, device: str = "", limits: BrokerLimits | None = None
) -> Connection:
    """Connect to the broker. With a `device`, its status becomes `offline` at the end, also when it vanishes.

    `limits` are those already known; those that the broker reports, one after the other, are added to the connection's.

    Raises:
        ConfigError: the password or a certificate cannot be read.
        UnavailableError: no broker, or it refuses; the message says which and what to do.
    """
    limits, answer_seconds = limits or BrokerLimits(), CONNACK_SECONDS
    refusal: _RefusedError | None = None
    while True:
        try:
            return Connection(mqtt, client_id=client_id, device=device, limits=limits, answer_seconds=answer_seconds)
        except _RefusedError as error:
            limits, answer_seconds, refusal = error.limits, CONNACK_SECONDS, error
        except _LimitedBrokerError as error:
            limits, answer_seconds = error.limits, CONNECT_SECONDS
        except UnavailableError as error:
            if isinstance(error, _SilentBrokerError) and answer_seconds < CONNECT_SECONDS:
                limits, answer_seconds = replace(limits, mqtt_5=_supports_mqtt_5(mqtt)), CONNECT_SECONDS
            elif refusal is None:
                raise
            else:
                raise refusal from None


class Connection:
    """A live connection. Owned by one thread."""

    def __init__(
        self,
        mqtt: MqttConfig,
        *,
        client_id: str,
        device: str = "",
        limits: BrokerLimits | None = None,
        answer_seconds: float = CONNECT_SECONDS,
        has_properties: bool = True,
    ) -> None:
        """Connect within these limits and wait for CONNACK.

        Without properties, a 3.1.1 broker can parse an MQTT 5 CONNECT to its end.

        Raises:
            ConfigError: the password or a certificate cannot be read.
            UnavailableError: no broker, or it refuses.
        """
        self.address = f"{mqtt.host}:{mqtt.port}"
        self._max_in_flight = MAX_IN_FLIGHT
        self.max_packet_bytes = ANY_PACKET_BYTES
        self.limits = limits or BrokerLimits()
        self._mqtt = mqtt
        self._device, self._topics = device, Topics(mqtt.topic_prefix, device)
        self._events: list[Event] = []
        self._connack: ReasonCode | None = None
        self._subacks: dict[int, ReasonCode | None] = {}
        self._loss = ""
        self._is_taken_over = False
        self._has_logged_ignored = False
        self._client = self._make_client(client_id)
        try:
            self._connect(answer_seconds, has_properties=has_properties)
        except BaseException:
            self._hang_up()
            raise

    def publish(self, publication: Publication) -> int:
        """Send a message and return its number, which the `PubAck` refers to: at QoS 0 as soon as it is written.

        At QoS 1 it waits while as many messages are in flight as the broker permits.
        """
        return self._client.publish(**self._within_limits(publication, PacketTypes.PUBLISH)).mid

    def subscribe(self, topic: str, *, retain_as_published: bool = False) -> None:
        """Subscribe to a topic at QoS 1 and wait for SUBACK.

        Messages have `retain` if the broker had kept them; with `retain_as_published` also new ones that it will keep,
        which MQTT 3.1.1 cannot tell.

        Raises:
            UnavailableError: the broker refuses, or the connection is lost.
        """
        if self.limits.mqtt_5:
            options = SubscribeOptions(qos=AT_LEAST_ONCE, retainAsPublished=retain_as_published)
            _, number = self._client.subscribe(topic, options=options)
        else:
            _, number = self._client.subscribe(topic, qos=AT_LEAST_ONCE)
        if not self._wait(lambda: number in self._subacks, CONNECT_SECONDS):
            raise UnavailableError(f"{self.address}: the broker does not answer the subscription of {topic}")
        suback = self._subacks.pop(number or 0)
        if suback is None:
            raise UnavailableError(
                f"{self.address}: the broker's response to the subscription of {topic} contains no result; "
                "report this to its maker"
            )
        if suback.is_failure:
            raise UnavailableError(
                f"{self.address}: the broker does not let {self._user} read {topic} ({suback}); "
                "give that user read access to the topic"
            )

    def turn(self, seconds: float, *, waker: int | None = None) -> list[Event]:
        """Drive the connection until something arrives, `seconds` pass or the file descriptor `waker` is readable.

        Raises:
            UnavailableError: the connection is lost and everything that had arrived was returned.
        """
        client = self._client
        if client.socket() is not None and not self._loss:
            # Messages at QoS 0 are acknowledged locally.
            seconds = 0.0 if self._events else seconds
            client.wait(seconds, waker=waker)
            try:
                client.loop_read()
            except MALFORMED_PACKET as error:
                self._loss = f"the broker sent an invalid packet of {self.protocol} ({type(error).__name__}: {error})"
                self._hang_up()
            else:
                if client.want_write():
                    client.loop_write()
                client.loop_misc()
        if not self._events and (self._loss or client.socket() is None):
            kind = TakenOverError if self._is_taken_over else UnavailableError
            raise kind(f"{self.address}: {self._loss or 'the connection is lost'}")
        events, self._events = self._events, []
        return events

    def close(self, *, why: Literal["stopped", "reloaded"] = "stopped") -> None:
        """Publish `offline` with its reason if there is a status, and disconnect properly."""
        deadline = time.monotonic() + CLOSE_SECONDS
        with suppress(UnavailableError):
            if self._device and not self.is_lost:
                self._client.allow_in_flight(self._max_in_flight)
                status = offline(self._device, why, boot_id=boot_id(), when=datetime.now(timezone.utc))
                number = self.publish(status_publication(self._topics, status))
                # Closing a socket with unread data resets the connection: the broker would lose the last messages and
                # publish the will.
                self._turn_until(
                    lambda events: any(isinstance(event, PubAck) and event.number == number for event in events),
                    deadline,
                )
            self._client.disconnect()
            self._turn_until(lambda _events: self._client.socket() is None, deadline)
        self._hang_up()

    def _turn_until(self, is_done: Callable[[list[Event]], bool], deadline: float) -> None:
        while time.monotonic() < deadline and not is_done(self.turn(deadline - time.monotonic())):
            pass

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None and issubclass(error, Exception):
            # The agent was not stopped: the broker publishes the will.
            self._hang_up()
        else:
            self.close()

    @property
    def protocol(self) -> str:
        """The version in use."""
        return MQTT_5 if self.limits.mqtt_5 else "MQTT 3.1.1"

    @property
    def is_lost(self) -> bool:
        """Whether the broker or the network has closed the connection."""
        return bool(self._loss) or self._client.socket() is None

    @property
    def _user(self) -> str:
        return f"user '{self._mqtt.username}'" if self._mqtt.username else "a client without a user"

    def _make_client(self, client_id: str) -> BoundedClient:
        mqtt = self._mqtt
        client = BoundedClient(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if self.limits.mqtt_5 else MQTTProtocolVersion.MQTTv311,
            # The broker keeps no session: the outbox knows what is pending. (In version 5 this is a clean start,
            # paho's default for the first connection.)
            clean_session=None if self.limits.mqtt_5 else True,
            reconnect_on_failure=False,
            transport=mqtt.transport,
        )
        client.ws_set_options(mqtt.websocket_path, mqtt.websocket_headers)
        client.connect_timeout = CONNECT_SECONDS
        if mqtt.username:
            client.username_pw_set(
                mqtt.username,
                read_password(mqtt.password_file, key="mqtt.password_file") if mqtt.password_file else None,
            )
        if mqtt.tls:
            client.tls_set_context(tls_context(mqtt))
        if self._device and self.limits.will:
            will = status_publication(self._topics, offline(self._device, "connection_lost", boot_id=boot_id()))
            client.will_set(**self._within_limits(will, PacketTypes.WILLMESSAGE))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _within_limits(self, publication: Publication, packet: int) -> dict[str, Any]:
        """The arguments of paho for a publication or a will, as far as the broker supports them."""
        return {
            "topic": publication.topic,
            "payload": publication.payload,
            "qos": min(publication.qos, self.limits.qos),
            "retain": publication.retain and self.limits.retain,
            "properties": _properties(publication, packet) if self.limits.mqtt_5 else None,
        }

    def _connect(self, answer_seconds: float, *, has_properties: bool) -> None:
        try:
            properties = None
            if has_properties and self.limits.mqtt_5:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # as below
                properties.MaximumPacketSize = MAX_MESSAGE_BYTES
            self._client.connect(
                self._mqtt.host, self._mqtt.port, keepalive=self._mqtt.keepalive_seconds, properties=properties
            )
        except WebsocketConnectionError as error:
            self._client.close_unfinished()
            raise UnavailableError(
                f"{self.address}: no WebSocket at {self._mqtt.websocket_path.partition('?')[0]}; check mqtt.port, "
                "mqtt.websocket_path and mqtt.websocket_headers, or set mqtt.transport: tcp"
            ) from error
        except OSError as error:
            raise UnavailableError(f"{self.address}: {_explain(error, self._mqtt)}") from error
        self._wait_for_connack(answer_seconds)
        if self._connack is None or not self._connack.is_failure:
            return
        within = {
            UNSUPPORTED_VERSION: replace(self.limits, mqtt_5=False),
            RETAIN_NOT_SUPPORTED: replace(self.limits, retain=False),
            QOS_NOT_SUPPORTED: replace(self.limits, qos=0),
        }.get(self._connack.value, self.limits)
        if within != self.limits:
            raise _LimitedBrokerError(f"{self.address}: {self._connack}", within)
        refusal = self._explain_refusal(self._connack)
        raise self._refused(refusal, may_be_its_will=self._connack.value in (NOT_AUTHORISED, TOPIC_NOT_ACCEPTED))

    def _refused(self, reason: str, *, may_be_its_will: bool = True) -> UnavailableError:
        if may_be_its_will and self._device and self.limits.will:
            # And not because of the version, if an MQTT 5 broker has just closed the connection.
            return _RefusedError(f"{self.address}: {reason}", replace(self.limits, mqtt_5=True, will=False))
        return UnavailableError(f"{self.address}: {reason}")

    def _wait_for_connack(self, answer_seconds: float) -> None:
        try:
            is_answered = self._wait(lambda: self._connack is not None, answer_seconds)
        except UnavailableError as error:
            if refusal := self._client.certificate_refusal:
                raise UnavailableError(f"{self.address}: {_explain(refusal, self._mqtt)}") from refusal
            # Some old brokers refuse an unknown version by closing the connection.
            if self.limits.mqtt_5:
                raise _LimitedBrokerError(str(error), replace(self.limits, mqtt_5=False)) from error
            raise self._refused(
                "closes the connection without an MQTT answer; check mqtt.port, mqtt.tls (is the port one for TLS?) "
                "and whether the broker asks for mqtt.cert_file"
            ) from error
        if not is_answered:
            raise _SilentBrokerError(f"{self.address}: accepts the connection but does not answer; is it a broker?")

    def _wait(self, is_done: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        held: list[Event] = []
        while not is_done() and time.monotonic() < deadline:
            try:
                held += self.turn(deadline - time.monotonic())
            except UnavailableError:
                # A broker that refuses reports it and closes at once.
                if not is_done():
                    raise
        self._events = held + self._events
        return is_done()

    def _hang_up(self) -> None:
        # Without DISCONNECT, so that the broker publishes the will.
        if (connected := self._client.socket()) is not None:
            connected.close()

    def _explain_refusal(self, reason: ReasonCode) -> str:
        if reason.value == BAD_USER_OR_PASSWORD:
            return f"wrong user or password for {self._user}; check mqtt.username and the file mqtt.password_file"
        if reason.value == NOT_AUTHORISED:
            # mosquitto reports this for a wrong password, too.
            if not self._mqtt.username:
                return "not authorised: the broker asks for a user; set mqtt.username and mqtt.password_file"
            return (
                f"not authorised: {self._user} has a wrong password or may not connect; check mqtt.username, "
                "the file mqtt.password_file and the broker's users"
            )
        if reason.value == PACKET_TOO_LARGE:
            return f"the broker refuses the connection: {reason}; {RAISE_THE_LIMIT}"
        return f"the broker refuses the connection: {reason}; {ADVICE.get(reason.value, 'its log says why')}"

    def _on_connect(
        self, _client: Client, _userdata: Any, _flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._connack = reason
        if reason.is_failure:
            return
        self._max_in_flight = min(MAX_IN_FLIGHT, getattr(properties, "ReceiveMaximum", MAX_IN_FLIGHT))
        # One place is left for the status at the end.
        self._client.allow_in_flight(max(1, self._max_in_flight - 1))
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", ANY_PACKET_BYTES)
        self.limits = replace(
            self.limits,
            retain=self.limits.retain and bool(getattr(properties, "RetainAvailable", 1)),
            qos=min(self.limits.qos, getattr(properties, "MaximumQoS", AT_LEAST_ONCE)),
        )

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.value == SESSION_TAKEN_OVER:
            self._is_taken_over = True
            self._loss = "another client took the connection over; give every device its own device.id"
        elif flags.is_disconnect_packet_from_server:
            self._loss = f"the broker ended the connection: {reason}"
        else:
            self._loss = "the connection is lost"

    def _on_publish(
        self, _client: Client, _userdata: Any, number: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            puback = PubAck(number, str(reason), PUBLICATION_ADVICE.get(reason.value, "the broker's log says why"))
        else:
            puback = PubAck(number, "", no_subscribers=reason.value == NO_MATCHING_SUBSCRIBERS)
        self._events.append(puback)

    def _on_subscribe(
        self,
        _client: Client,
        _userdata: Any,
        number: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        self._subacks[number] = reasons[0] if reasons else None

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._ignore("whose topic is not UTF-8")
            return
        if self._client.has_cut_off:
            self._ignore(f"on {topic} that is larger than {MAX_MESSAGE_BYTES} bytes")
            return
        self._events.append(
            Message(
                topic,
                bytes(message.payload),
                retain=message.retain,
                response_topic=getattr(message.properties, "ResponseTopic", ""),
                correlation_data=getattr(message.properties, "CorrelationData", None),
            )
        )

    def _ignore(self, which: str) -> None:
        """Log, once per connection, which message is ignored."""
        if not self._has_logged_ignored:
            log.warning("%s: a message %s was ignored; further ones are not logged", self.address, which)
        self._has_logged_ignored = True


def _supports_mqtt_5(mqtt: MqttConfig) -> bool:
    # A 3.1.1 broker expects properties, will and user of a CONNECT elsewhere: amqtt reads other bytes as their length
    # and waits for more. Without them it reads to the end and refuses the version.
    bare = mqtt.model_copy(update={"username": "", "password_file": None})
    try:
        Connection(bare, client_id=f"maskwatch-{secrets.token_hex(4)}", has_properties=False).close()
    except _SilentBrokerError:
        raise
    except _LimitedBrokerError as error:
        return error.limits.mqtt_5
    except UnavailableError:
        # The broker requires a user, and reported it in MQTT 5.
        pass
    return True


def _properties(publication: Publication, packet: int) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]  # paho types only some of it
    if publication.content_type:
        properties.ContentType = publication.content_type
    if publication.expiry_seconds is not None:
        properties.MessageExpiryInterval = publication.expiry_seconds
    if publication.user_properties:
        properties.UserProperty = list(publication.user_properties)
    if publication.correlation_data is not None:
        properties.CorrelationData = publication.correlation_data
    return properties


def _explain(error: OSError, mqtt: MqttConfig) -> str:
    match error:
        case socket.gaierror():
            return "unknown host name; check mqtt.host and the name resolution of this device"
        case ConnectionRefusedError():
            return "refused: no broker listens there; is it running, and is mqtt.port right?"
        case TimeoutError():
            return f"no answer within {CONNECT_SECONDS:.0f} s; check mqtt.host, the network and firewalls"
        case ssl.SSLCertVerificationError():
            return f"the broker's certificate is not trusted: {error.verify_message}; {certificate_advice(error)}"
        case ssl.SSLError() | ConnectionResetError() if mqtt.tls:
            return f"no TLS connection ({reason_of(error)}); {tls_advice(error, has_certificate=bool(mqtt.cert_file))}"
        case _:
            return f"cannot be reached: {reason_of(error)}; check mqtt.host and the network"
