"""Kept connection: the broker connection that a reload keeps if its settings have not changed."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from edge_agent.mqtt.client import open_connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from edge_agent.config.model import MqttConfig
    from edge_agent.mqtt.client import BrokerLimits, Connection


class KeptConnection:
    """Holds the connection from one publisher to the next. Owned by the thread that has `owned`."""

    def __init__(self) -> None:
        """Nothing is opened before `use`."""
        self.owned = threading.Lock()
        """Of one publisher at a time: two connections with one client id would end each other."""
        self._connection: Connection | None = None
        self._settings: tuple[MqttConfig, str] | None = None

    @contextmanager
    def use(self, mqtt: MqttConfig, *, device: str, limits: BrokerLimits) -> Iterator[Connection]:
        """Lend the connection with these settings; it stays open at the end of the block, but not after an error.

        One that is already open is lent again if it has these settings, and is without restrictions that the broker may
        have lifted.

        Raises:
            ConfigError: the password or a certificate cannot be read.
            UnavailableError: no broker, or it refuses.
        """
        connection, self._connection = self._connection, None
        if connection is not None and not (
            self._settings == (mqtt, device) and connection.limits.retain and connection.limits.will
        ):
            connection.close(why="reloaded")
            connection = None
        if connection is None:
            client_id = mqtt.client_id or f"maskwatch-{device}"
            connection = open_connection(mqtt, client_id=client_id, device=device, limits=limits)
        with ExitStack() as stack:
            stack.enter_context(connection)
            yield connection
            stack.pop_all()
        self._connection, self._settings = connection, (mqtt, device)

    def __enter__(self) -> Self:
        """Return this; `use` opens the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Publish `offline` and disconnect, if there is a connection."""
        if self._connection is not None:
            self._connection.close()
