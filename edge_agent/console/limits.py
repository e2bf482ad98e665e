"""Limits: bounds requests per address and password attempts.

Pure: time comes in as `at`. All state is bounded, because a client may have any number of addresses.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Literal, TypeAlias

MOST_ADDRESSES = 10_000
"""A hundred bytes each; the least recently active is dropped first."""
LEAST_BURST = 1.0

Credential: TypeAlias = Literal["password", "token", "display"]

FREE_MISTAKES = 3
"""Users mistype twice and then type carefully."""
LONGEST_PAUSE_SECONDS = 300.0
FORGIVEN_SECONDS = 900.0
MISTAKES_OF_ALL = 30.0
"""Of all addresses together at once, so that a thousand addresses guess no more than a few ..."""
ONE_MORE_SECONDS = 2.0
"""... and then one in so many seconds: 43,000 a day, of at least 94^8 passwords; as many at one that was right."""
IPV6_NETWORK_BITS = 64
"""A household has so many addresses that each guess could come from a different one."""


def neighbourhood(address: str) -> str:
    """The unit of rate limiting: an IPv4 address, or the IPv6 network of one customer."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        if not found.is_loopback:
            return f"{IPv6Address(int(found) >> IPV6_NETWORK_BITS << IPV6_NETWORK_BITS)}/{IPV6_NETWORK_BITS}"
    return str(found)


class Rate:
    """Lets each address ask so often in a second, and as often at once. Owned by the event loop."""

    def __init__(self, per_second: float) -> None:
        """Who has kept quiet may ask `per_second` times at once."""
        self._per_second, self._burst = per_second, max(per_second, LEAST_BURST)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, address: str, *, at: float) -> float:
        """Count a request; gives 0, or after how long it may come again."""
        left, since = self._left.get(address, (self._burst, at))
        left = min(self._burst, left + (at - since) * self._per_second)
        is_allowed = left >= 1
        self._left[address] = (left - is_allowed, at)
        self._left.move_to_end(address)
        if len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)
        return 0.0 if is_allowed else (1 - left) / self._per_second


@dataclass(slots=True)
class _Mistakes:
    count: int
    last_at: float


@dataclass(slots=True)
class _Budget:
    """So many mistakes at once, and one more every so often."""

    left: float = MISTAKES_OF_ALL
    since: float = 0.0

    def wait_seconds(self, at: float) -> float:
        return max(0.0, (1 - self._left(at)) * ONE_MORE_SECONDS)

    def take(self, at: float) -> None:
        self.left, self.since = max(self._left(at) - 1, 0.0), at

    def _left(self, at: float) -> float:
        return min(MISTAKES_OF_ALL, self.left + (at - self.since) / ONE_MORE_SECONDS)


class Attempts:
    """Delays password guessing, longer after every mistake. Owned by the event loop.

    An address that was right before, with the same credential, has its own budget: guesses from elsewhere do not lock
    it out, and a neighbour at the same address can guess there as rarely as a thousand strangers together. Whether a
    guess is right never affects whether it has to wait, so that waiting reveals nothing.
    """

    def __init__(self) -> None:
        self._mistakes: OrderedDict[str, _Mistakes] = OrderedDict()
        self._known: OrderedDict[tuple[Credential, str], _Budget] = OrderedDict()
        self._of_all = _Budget()

    def wait_seconds(self, address: str, credential: Credential, *, at: float) -> int:
        """Whole seconds until this address may try a credential again; 0: now."""
        lane = self._known.get((credential, address))
        if lane is not None:
            return math.ceil(lane.wait_seconds(at))
        made = self._mistakes.get(address)
        pause = 0.0
        if made is not None and made.count >= FREE_MISTAKES:
            pause = made.last_at + min(2.0 ** (made.count - FREE_MISTAKES), LONGEST_PAUSE_SECONDS) - at
        return max(0, math.ceil(max(pause, self._of_all.wait_seconds(at))))

    def was_wrong(self, address: str, credential: Credential, *, at: float) -> None:
        """Count a mistake."""
        lane = self._known.get((credential, address))
        if lane is not None:
            lane.take(at)
            return
        self._of_all.take(at)
        made = self._mistakes.get(address)
        if made is None or at - made.last_at > FORGIVEN_SECONDS:
            made = self._mistakes[address] = _Mistakes(0, at)
        made.count, made.last_at = made.count + 1, at
        self._mistakes.move_to_end(address)
        if len(self._mistakes) > MOST_ADDRESSES:
            self._mistakes.popitem(last=False)

    def was_right(self, address: str, credential: Credential) -> None:
        """Clear the mistakes of an address, and record that it was right."""
        self._mistakes.pop(address, None)
        self._known.setdefault((credential, address), _Budget())
        self._known.move_to_end((credential, address))
        if len(self._known) > MOST_ADDRESSES:
            self._known.popitem(last=False)
