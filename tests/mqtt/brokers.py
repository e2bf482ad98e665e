"""Misbehaving and old brokers, and certificates for a broker with TLS."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import subprocess
import threading
import warnings
from typing import TYPE_CHECKING, Any

from edge_agent.config.model import MqttConfig
from tests.mosquitto import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from typing_extensions import Self

CONNECT = 0x10
WELCOME_5 = b"\x20\x03\x00\x00\x00"
WELCOME_311 = b"\x20\x02\x00\x00"
SESSION_TAKEN_OVER_5 = b"\xe0\x02\x8e\x00"
FIRST_SUBSCRIPTION_DENIED_5 = b"\x90\x04\x00\x01\x00\x87"
UNACCEPTABLE_VERSION_311 = b"\x20\x02\x00\x01"


class LocalBroker:
    """Serves each connection to a free port of the loopback in a thread of its own."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def config(self, **keys: Any) -> MqttConfig:
        """A configuration that points to this broker."""
        return MqttConfig(**{"host": "127.0.0.1", "port": self._server.getsockname()[1], **keys})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes the thread, which close() alone does not.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()
        for connected in self._open:
            connected.close()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connected)
            try:
                connected = self._secured(connected)
            except ssl.SSLError:
                # Its alert is on the way, which closing the socket now could overtake.
                continue
            self._open.append(connected)
            threading.Thread(target=self._serve, args=[connected], daemon=True).start()

    def _secured(self, connected: socket.socket) -> socket.socket:
        return connected

    def _serve(self, connected: socket.socket) -> None:
        raise NotImplementedError


class ScriptedBroker(LocalBroker):
    """Answers each CONNECT as scripted and nothing else. `received` holds the bytes that came after CONNECT."""

    def __init__(
        self,
        answer: Callable[[int], bytes],
        *,
        certificates: Path | None = None,
        alpn: Sequence[str] = (),
        asks_for_certificate: ssl.TLSVersion | None = None,
    ) -> None:
        """`answer` takes the protocol level of CONNECT (5, or 4 for 3.1.1); b"" hangs up. With certificates: TLS.

        With `asks_for_certificate`, clients need a certificate, and this version of TLS is the highest.
        `chosen` holds the ALPN protocol, out of `alpn`, that was negotiated with each client.
        """
        super().__init__()
        self.chosen: list[str | None] = []
        self._answer = answer
        self._tls = None
        if certificates is not None:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(certificates / "server.pem", certificates / "server.key")
            self._tls.set_alpn_protocols(list(alpn))
            if asks_for_certificate is not None:
                self._tls.verify_mode = ssl.CERT_REQUIRED
                self._tls.load_verify_locations(certificates / "ca.pem")
                self._tls.maximum_version = asks_for_certificate
        self.connects = 0
        self.received: list[bytes] = []

    def _secured(self, connected: socket.socket) -> socket.socket:
        if self._tls is None:
            return connected
        secured = self._tls.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)
        self._open.append(secured)
        secured.do_handshake()
        self.chosen.append(secured.selected_alpn_protocol())
        return secured

    def _serve(self, connected: socket.socket) -> None:
        try:
            packet = connected.recv(4096)
            if not packet:
                return
            assert packet[0] == CONNECT
            self.connects += 1
            # Fixed header of two bytes, two of length, "MQTT", and then the level.
            answer = self._answer(packet[8])
            if not answer:
                connected.close()
                return
            connected.sendall(answer)
            while chunk := connected.recv(65536):
                self.received.append(chunk)
        except OSError:
            return


class StrictBroker(LocalBroker):
    """Hangs up on what is not allowed, as RabbitMQ, AWS IoT and HiveMQ do. `taken` holds (topic, retained)."""

    def __init__(
        self,
        allowed: tuple[str, ...],
        *,
        takes_retained: bool = True,
        largest_bytes: int = 1_000_000,
        refusal: int = 0x95,
        answer_to_will: bytes | None = WELCOME_5,
    ) -> None:
        """`allowed` are the prefixes of topics that may be published and read; the topic of the will is not checked.

        A publication at QoS 1 that is larger than `largest_bytes` is refused with the reason code `refusal`;
        `answer_to_will` None: hang up.
        """
        super().__init__()
        self._answer_to_will = answer_to_will
        self._allowed, self._takes_retained = allowed, takes_retained
        self._largest_bytes, self._refusal = largest_bytes, refusal
        self.taken: list[tuple[str, bool]] = []

    def hang_up(self) -> None:
        """Close the newest connection without a reason."""
        self._open[-1].shutdown(socket.SHUT_RDWR)

    def _serve(self, connected: socket.socket) -> None:
        try:
            with connected, connected.makefile("rb") as stream:
                while head := stream.read(1):
                    packet = stream.read(variable_length(stream))
                    answer = self._answer(head[0], packet)
                    if answer is None:
                        connected.shutdown(socket.SHUT_RDWR)
                        return
                    connected.sendall(answer)
        except OSError:
            return

    def _answer(self, head: int, packet: bytes) -> bytes | None:
        """The answer in MQTT 5; None: hang up."""
        match head >> 4:
            case 1:
                # The connect flags follow the protocol's name and level.
                return self._answer_to_will if packet[7] & 4 else WELCOME_5
            case 3:
                return self._publication(head, packet)
            case 8:
                # Packet identifier, no properties, topic.
                is_allowed = self._allows(_text(packet[3:])[0])
                return b"\x90\x04" + packet[:2] + b"\x00\x01" if is_allowed else None
            case 12:
                return b"\xd0\x00"
            case _:
                return None

    def _publication(self, head: int, packet: bytes) -> bytes | None:
        topic, rest = _text(packet)
        retained = bool(head & 1)
        if not self._allows(topic) or (retained and not self._takes_retained):
            return None
        if len(packet) > self._largest_bytes:
            return bytes([0x40, 3, *rest[:2], self._refusal])
        self.taken.append((topic, retained))
        return b"\x40\x02" + rest[:2] if head & 6 else b""

    def _allows(self, topic: str) -> bool:
        return topic.startswith(self._allowed)


def variable_length(stream: Any) -> int:
    """Read the length of a packet, which follows its first byte."""
    length = shift = 0
    while True:
        byte = int(stream.read(1)[0])
        length |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return length


def _text(packet: bytes) -> tuple[str, bytes]:
    end = 2 + int.from_bytes(packet[:2], "big")
    return packet[2:end].decode(), packet[end:]


class Amqtt:
    """amqtt, a broker in Python that speaks only MQTT 3.1.1."""

    def __init__(self) -> None:
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Amqtt:
        from amqtt.broker import Broker

        settings = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
        self._thread.start()

        async def start() -> Broker:
            broker = Broker(settings)
            await broker.start()
            return broker

        self._broker = asyncio.run_coroutine_threadsafe(start(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._broker.shutdown(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        # It leaves the sockets of its clients open. They are collected here, or that would count as the mistake of
        # whichever test runs when Python comes to it.
        del self._broker
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def make_certificates(
    folder: Path, *, name: str = "IP:127.0.0.1", days: int = 2, authority: Path | None = None
) -> Path:
    """Write ca.pem with ca.key, and server.pem and client.pem with their keys, both signed by it.

    Without a `name` they have only a common name, the role; with -1 `days` they have expired. With an `authority`, a
    folder of earlier certificates, that one signs them.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    if authority is None:
        authority = folder
        openssl(
            "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority"
        )
    for role in ("server", "client"):
        openssl("req", *curve, "-keyout", f"{role}.key", "-out", f"{role}.csr", "-subj", f"/CN={role}")
        (folder / "names").write_text(f"subjectAltName={name}\n" if name else "")
        openssl(
            "x509",
            "-req",
            "-in",
            f"{role}.csr",
            "-CA",
            str(authority / "ca.pem"),
            "-CAkey",
            str(authority / "ca.key"),
            "-CAcreateserial",
            "-out",
            f"{role}.pem",
            "-days",
            str(days),
            "-extfile",
            "names",
        )
    return folder
