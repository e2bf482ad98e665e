"""Bounded client: paho's client, with limits for the messages of each direction and a wait that others can end."""

from __future__ import annotations

import select
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, _WebsocketWrapper

from edge_agent.mqtt.tls import is_certificate_refused

if TYPE_CHECKING:
    import socket

# More than any command, birth message or alert has; larger messages are dropped.
MAX_MESSAGE_BYTES = 256 * 1024
DISCARDED_BYTES = 1024 * 1024
LENGTH_IN_8_BYTES = 0x7F
"""Length field of a WebSocket frame whose length follows in eight bytes (RFC 6455, section 5.2)."""


class BoundedClient(Client):
    """A client that never buffers a message larger than MAX_MESSAGE_BYTES, whatever the broker sends.

    paho would keep a packet of up to 256 MB in memory. Data beyond the limit is dropped where paho reads from its
    socket, the only possible place: the beginning of the packet has topic and number, so that it is acknowledged like
    any other and the broker does not send it again.
    """

    certificate_refusal: ssl.SSLError | None = None
    """The broker's alert about this device's certificate: with TLS 1.3 it arrives only after the handshake."""
    _unfinished: socket.socket | None = None

    def wait(self, seconds: float, *, waker: int | None) -> None:
        """Wait until data arrive, can be sent if some wait, or the file descriptor `waker` is readable."""
        connected: Any = self.socket()
        # Decrypted bytes buffered in the TLS layer do not make the socket readable.
        if isinstance(connected, (ssl.SSLSocket, _WebsocketWrapper)) and connected.pending():
            return
        poll = select.poll()
        poll.register(connected.fileno(), select.POLLIN | (select.POLLOUT if self.want_write() else 0))
        if waker is not None:
            poll.register(waker, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)

    def allow_in_flight(self, messages: int) -> None:
        """Send this many messages at QoS 1 before the first is acknowledged; further ones wait.

        paho knows this limit, but not the broker's, and its setter refuses to change it during a connection.
        """
        self._max_inflight_messages = messages

    def close_unfinished(self) -> None:
        """Close the connection after a failed WebSocket handshake, which paho does not do."""
        if self._unfinished is not None:
            self._unfinished.close()

    def _create_socket_connection(self) -> socket.socket:
        self._unfinished = opened = super()._create_socket_connection()
        return opened

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        self._unfinished = secured = super()._ssl_wrap_socket(tcp_sock)
        return secured

    @property
    def has_cut_off(self) -> bool:
        """Whether the current packet was truncated."""
        return bool(self._in_packet["remaining_length"] > MAX_MESSAGE_BYTES)

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            return self._recv_bounded(bufsize)
        except ssl.SSLError as error:
            if is_certificate_refused(error):
                self.certificate_refusal = error
            raise

    def _sock_send(self, buf: bytes | bytearray) -> int:
        try:
            return super()._sock_send(buf)
        except ssl.SSLError:
            # The broker has closed the connection; its alert may be unread, which paho would discard.
            with suppress(OSError):
                self._sock_recv(1)
            raise

    def _recv_bounded(self, bufsize: int) -> bytes:
        if not self._in_packet["have_remaining"] or not self.has_cut_off:
            return super()._sock_recv(bufsize)
        room = MAX_MESSAGE_BYTES - len(self._in_packet["packet"])
        # paho needs the last byte to complete the packet.
        if room > 0 or bufsize == 1:
            return super()._sock_recv(min(bufsize, max(room, 1)))
        dropped = super()._sock_recv(min(bufsize - 1, DISCARDED_BYTES))
        if not dropped:
            return dropped
        self._in_packet["to_process"] -= len(dropped)
        if isinstance(self._sock, _WebsocketWrapper):
            _drop_what_was_read(self._sock)
        raise BlockingIOError


def _drop_what_was_read(frame: Any) -> None:
    """Free the consumed part of a WebSocket frame; paho keeps a frame until its end, however large.

    The rest becomes a new frame (RFC 6455, section 5.2: two bytes, and 8 of length; servers do not mask).
    """
    buffer, taken = frame._readbuffer, frame._payload_head  # noqa: SLF001
    length_bits = buffer[1] & 0x7F if taken else 0
    # Large frames have a 64-bit length.
    if length_bits == LENGTH_IN_8_BYTES:
        left = int.from_bytes(buffer[2:10], "big") - taken
        frame._readbuffer = bytearray([buffer[0], LENGTH_IN_8_BYTES, *left.to_bytes(8, "big")]) + buffer[10 + taken :]  # noqa: SLF001
        frame._payload_head = 0  # noqa: SLF001
