"""Limits: bounds requests per address and password attempts.

Pure: time comes in as `at`. All state is bounded, because a client may have any number of addresses.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Literal, TypeAlias

from edge_agent.host.token_bucket import TokenBucket

MOST_ADDRESSES = 10_000
"""A few hundred bytes each; the least recently active address is dropped first."""

Credential: TypeAlias = Literal["password", "token", "display"]

FREE_MISTAKES = 3
"""Wrong passwords that cause no delay: typing errors."""
FIRST_PAUSE_SECONDS = 1.0
"""Doubled by each further mistake."""
LONGEST_PAUSE_SECONDS = 300.0
FORGIVEN_SECONDS = 900.0
MISTAKES_OF_ALL = 30.0
"""Budget of wrong passwords of all addresses together: a thousand addresses cannot guess faster than a few."""
ONE_MORE_SECONDS = 2.0
"""Refill of that budget: one guess per interval, 43,000 a day, of at least 94^8 passwords."""
IPV6_NETWORK_BITS = 64
"""A single customer's network has enough addresses to use another one for each guess."""


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
    """A token bucket of requests per address. Owned by the event loop."""

    def __init__(self, per_second: float) -> None:
        """`per_second` is the rate and the burst."""
        self._per_second = per_second
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def wait_seconds(self, address: str, *, at: float) -> float:
        """Count a request; returns 0 if it is allowed, otherwise the seconds until the next one is."""
        bucket = self._buckets.setdefault(address, TokenBucket(self._per_second))
        self._buckets.move_to_end(address)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0 if bucket.take(at=at) else bucket.wait_seconds(at=at)


@dataclass(slots=True)
class _Mistakes:
    count: int
    last_at: float


def _budget() -> TokenBucket:
    return TokenBucket(1 / ONE_MORE_SECONDS, burst=MISTAKES_OF_ALL)


class Attempts:
    """Delays password guessing, longer after every mistake. Owned by the event loop.

    An address that has logged in with a credential before has its own budget for it: guesses from elsewhere do not
    lock it out, and attackers behind the same address are limited as all others together. Whether a guess is right
    never affects the delay, so that the delay reveals nothing.
    """

    def __init__(self) -> None:
        self._mistakes: OrderedDict[str, _Mistakes] = OrderedDict()
        self._known: OrderedDict[tuple[Credential, str], TokenBucket] = OrderedDict()
        self._of_all = _budget()

    def wait_seconds(self, address: str, credential: Credential, *, at: float) -> int:
        """Whole seconds until this address may try a credential again; 0: now."""
        lane = self._known.get((credential, address))
        if lane is not None:
            return math.ceil(lane.wait_seconds(at=at))
        made = self._mistakes.get(address)
        pause = 0.0
        if made is not None and made.count >= FREE_MISTAKES:
            # Of any size: a float would overflow after a thousand mistakes.
            factor = min(1 << (made.count - FREE_MISTAKES), LONGEST_PAUSE_SECONDS / FIRST_PAUSE_SECONDS)
            pause = made.last_at + FIRST_PAUSE_SECONDS * factor - at
        return max(0, math.ceil(max(pause, self._of_all.wait_seconds(at=at))))

    def was_wrong(self, address: str, credential: Credential, *, at: float) -> None:
        """Count a mistake."""
        lane = self._known.get((credential, address))
        if lane is not None:
            lane.take(at=at)
            return
        self._of_all.take(at=at)
        made = self._mistakes.get(address)
        if made is None or at - made.last_at > FORGIVEN_SECONDS:
            made = self._mistakes[address] = _Mistakes(0, at)
        made.count, made.last_at = made.count + 1, at
        self._mistakes.move_to_end(address)
        if len(self._mistakes) > MOST_ADDRESSES:
            self._mistakes.popitem(last=False)

    def was_right(self, address: str, credential: Credential) -> None:
        """Clear the mistakes of an address, and give it a budget of its own."""
        self._mistakes.pop(address, None)
        self._known.setdefault((credential, address), _budget())
        self._known.move_to_end((credential, address))
        if len(self._known) > MOST_ADDRESSES:
            self._known.popitem(last=False)
