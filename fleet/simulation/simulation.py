"""Event loop: runs thousands of simulated devices in one thread.

One selector (epoll) for all connections, a heap of timers, and a few threads for blocking connects and TLS handshakes.
"""

from __future__ import annotations

import heapq
import itertools
import random
import resource
import selectors
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_agent.errors import ConfigError
from fleet.simulation.device import Device, Totals

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet.simulation.device import Brokers
    from fleet.simulation.ledger import Ledger

CONNECTING = 16
"""Concurrent handshakes."""
MISC_SECONDS = 10.0
"""Interval of paho's keep-alive handling."""
RESOLVED_AFTER_SECONDS = 5.0
MAX_TURN_SECONDS = 0.2
FILES_A_DEVICE = 4
SITES = 20
PUMPED_AT_MOST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """Load to generate."""

    devices: int
    prefix: str = "sim"
    alerts_per_second: float = 0.0
    """Total of all devices, Poisson distributed; 0 with `closed_loop`: as fast as they are acknowledged."""
    closed_loop: bool = False
    backlog: int = 0
    """Alerts waiting on each device at the start, as after an outage."""
    messages_per_second: float = 2.0
    """Rate limit of a device (mqtt.messages_per_second)."""
    reconnect_spread_seconds: float = 5.0

    def names(self) -> list[str]:
        """The ids of the devices, spread over twenty sites."""
        return [f"{self.prefix}{number % SITES}-{number}" for number in range(self.devices)]


class Simulation:
    """All devices. Owned by one thread."""

    def __init__(self, load: Load, brokers: Brokers, ledger: Ledger, *, seed: int | None = None) -> None:
        """Create the devices without connecting.

        Raises:
            ConfigError: the limit of open files is too low.
        """
        self._load, self._random = load, random.Random(seed)  # noqa: S311  (nothing secret about it)
        self.totals = Totals()
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._pool = ThreadPoolExecutor(CONNECTING, "connecting")
        self._connecting: dict[Future[bool], Device] = {}
        self._files: dict[Device, tuple[Any, int]] = {}
        _allow_files(load.devices * FILES_A_DEVICE + 100)
        per_second = 10_000.0 if load.closed_loop else load.messages_per_second
        self.devices = [
            Device(name, brokers, ledger=ledger, totals=self.totals, messages_per_second=per_second)
            for name in load.names()
        ]
        self._ends_at = self._alert_at = 0.0

    @property
    def waiting(self) -> int:
        """Number of messages not acknowledged by a broker."""
        return sum(device.waiting for device in self.devices)

    def run(self, *, seconds: float, drain_seconds: float, report: Callable[[Simulation], None]) -> float:
        """Generate load for `seconds`, then wait for all acknowledgements; returns the seconds of that wait."""
        begin = time.monotonic()
        self._ends_at = begin + seconds
        for device in self.devices:
            for _ in range(self._load.backlog):
                device.raise_alert(historical=True)
            self._after(self._random.uniform(0, self._load.reconnect_spread_seconds), partial(self._connect, device))
            self._after(self._random.uniform(0, MISC_SECONDS), partial(self._check, device))
        if self._load.alerts_per_second:
            self._alert_at = begin
            self._after(0.0, self._next_alert)
        self._after(1.0, lambda: self._report(report))
        while time.monotonic() < self._ends_at:
            self._turn()
        drained_from = time.monotonic()
        while self.waiting and time.monotonic() < self._ends_at + drain_seconds:
            self._turn()
        return time.monotonic() - drained_from

    def close(self) -> None:
        """Disconnect every device cleanly."""
        self._pool.shutdown(cancel_futures=True)
        for device in self.devices:
            if device.is_connected:
                device.client.on_disconnect = None
                device.client.disconnect()
                device.client.loop_write()
        self._selector.close()

    def _turn(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        for future in [connecting for connecting in self._connecting if connecting.done()]:
            self._connected(self._connecting.pop(future), is_connected=future.result())
        wait = min(MAX_TURN_SECONDS, max(0.0, self._timers[0][0] - time.monotonic())) if self._timers else 0.0
        for key, events in self._selector.select(wait):
            self._serve(key.data, events)

    def _serve(self, device: Device, events: int) -> None:
        client = device.client
        if events & selectors.EVENT_READ:
            client.loop_read()
            connected = client.socket()
            # Decrypted bytes buffered in the TLS layer do not make the socket readable.
            while connected is not None and hasattr(connected, "pending") and connected.pending():
                client.loop_read()
                connected = client.socket()
        if events & selectors.EVENT_WRITE and client.socket() is not None:
            client.loop_write()
        self._pump(device)

    def _pump(self, device: Device) -> None:
        again_at = device.pump(at=time.monotonic())
        if again_at is not None:
            self._after(min(max(0.0, again_at - time.monotonic()), PUMPED_AT_MOST_SECONDS), lambda: self._pump(device))
        self._watch(device)

    def _watch(self, device: Device) -> None:
        """Select for the events that the client waits for."""
        connected = device.client.socket()
        if connected is None or device not in self._files:
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if device.client.want_write() else 0)
        if self._files[device][1] != wanted:
            self._selector.modify(connected, wanted, device)
            self._files[device] = (connected, wanted)

    def _connect(self, device: Device) -> None:
        device.listen(clock=time.monotonic, lost=lambda: self._lost(device))
        self._connecting[self._pool.submit(device.connect)] = device

    def _connected(self, device: Device, *, is_connected: bool) -> None:
        connected = device.client.socket()
        if not is_connected or connected is None:
            self._retry(device)
            return
        device.connected_at = time.monotonic()
        self._selector.register(connected, selectors.EVENT_READ, device)
        self._files[device] = (connected, selectors.EVENT_READ)
        self._watch(device)

    def _lost(self, device: Device) -> None:
        """Handle a lost or refused connection."""
        if device in self._files:
            # Only once: paho may call on_disconnect several times.
            self._selector.unregister(self._files.pop(device)[0])
            device.client.on_disconnect = None
            self._retry(device)

    def _retry(self, device: Device) -> None:
        was_connected = device.is_connected
        device.lost()
        pause = device.pause_seconds()
        # All devices lose their broker at the same moment; spread their reconnects.
        spread = self._random.uniform(0, self._load.reconnect_spread_seconds) if was_connected else 0.0
        self._after(pause + spread, lambda: self._connect(device))

    def _check(self, device: Device) -> None:
        self._after(MISC_SECONDS, lambda: self._check(device))
        if device not in self._files:
            return
        if device.has_timed_out(at=time.monotonic()):
            self.totals.timeouts += 1
            self._lost(device)
            return
        device.client.loop_misc()
        self._pump(device)

    def _next_alert(self) -> None:
        if time.monotonic() >= self._ends_at:
            return
        device = self._random.choice(self.devices)
        alert = device.raise_alert()
        self._after(RESOLVED_AFTER_SECONDS, lambda: self._resolve(device, alert))
        self._pump(device)
        # Scheduled by the clock and not from now: a busy machine generates no fewer alerts.
        self._alert_at += self._random.expovariate(self._load.alerts_per_second)
        self._after(max(0.0, self._alert_at - time.monotonic()), self._next_alert)

    def _resolve(self, device: Device, alert: Any) -> None:
        if time.monotonic() < self._ends_at:
            device.resolve(alert, after_seconds=RESOLVED_AFTER_SECONDS)
            self._pump(device)

    def _report(self, report: Callable[[Simulation], None]) -> None:
        report(self)
        self._after(1.0, lambda: self._report(report))

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), action))


def _allow_files(count: int) -> None:
    """Raise the limit of open files.

    Raises:
        ConfigError: the hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ConfigError(
            f"the devices need {count} open files and this process may have {hard}; raise its hard limit (ulimit -Hn), "
            "or run several 'simulate', each with fewer devices and a --prefix of its own"
        )
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
