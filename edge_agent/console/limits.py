"""Limits: bounds password attempts, and names the unit to which the limits of requests apply.

Pure: time comes in as `at`. All state is bounded, because a client may have any number of addresses.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Literal, TypeAlias

from edge_agent.host.token_bucket import TokenBucket

MAX_ADDRESSES = 10_000
"""A few hundred bytes each; the least recently active address is dropped first."""

Credential: TypeAlias = Literal["password", "token", "display"]

FREE_FAILURES = 3
"""Wrong passwords that cause no delay: typing errors."""
FIRST_PAUSE_SECONDS = 1.0
"""Doubled by each further failure."""
MAX_PAUSE_SECONDS = 300.0
FORGIVEN_SECONDS = 900.0
FAILURES_OF_ALL = 30.0
"""Budget of wrong passwords of all addresses together: a thousand addresses cannot guess faster than a few."""
ONE_MORE_SECONDS = 2.0
"""Refill of that budget: one guess per interval, 43,000 a day, of at least 94^8 passwords."""
IPV6_NETWORK_BITS = 64
"""A single customer's network has enough addresses to use another one for each guess."""


def client_network(address: str) -> str:
    """The unit of rate limiting: an IPv4 address, or the IPv6 network of one customer."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        if not found.is_loopback:
            return str(ip_network((int(found), IPV6_NETWORK_BITS), strict=False))
    return str(found)


@dataclass(slots=True)
class _Failures:
    count: int
    last_at: float


def _budget() -> TokenBucket:
    return TokenBucket(1 / ONE_MORE_SECONDS, burst=FAILURES_OF_ALL)


class Attempts:
    """Delays password guessing, longer after every failure. Owned by the event loop.

    An address that has logged in with a credential before has its own budget for it: guesses from elsewhere do not
    lock it out, and attackers behind the same address are limited as all others together. Whether a guess is right
    never affects the delay, so that the delay reveals nothing.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._known: OrderedDict[tuple[Credential, str], TokenBucket] = OrderedDict()
        self._of_all = _budget()

    def wait_seconds(self, address: str, credential: Credential, *, at: float) -> int:
        """Whole seconds until this address may try a credential again; 0: now."""
        own = self._known.get((credential, address))
        if own is not None:
            return math.ceil(own.wait_seconds(at=at))
        failed = self._failures.get(address)
        pause = 0.0
        if failed is not None and failed.count >= FREE_FAILURES:
            # Of any size: a float would overflow after a thousand failures.
            factor = min(1 << (failed.count - FREE_FAILURES), MAX_PAUSE_SECONDS / FIRST_PAUSE_SECONDS)
            pause = failed.last_at + FIRST_PAUSE_SECONDS * factor - at
        return max(0, math.ceil(max(pause, self._of_all.wait_seconds(at=at))))

    def record_failure(self, address: str, credential: Credential, *, at: float) -> None:
        """Count a failure."""
        own = self._known.get((credential, address))
        if own is not None:
            own.take(at=at)
            return
        self._of_all.take(at=at)
        failed = self._failures.get(address)
        if failed is None or at - failed.last_at > FORGIVEN_SECONDS:
            failed = self._failures[address] = _Failures(0, at)
        failed.count, failed.last_at = failed.count + 1, at
        self._failures.move_to_end(address)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)

    def record_success(self, address: str, credential: Credential) -> None:
        """Clear the failures of an address, and give it a budget of its own."""
        self._failures.pop(address, None)
        self._known.setdefault((credential, address), _budget())
        self._known.move_to_end((credential, address))
        if len(self._known) > MAX_ADDRESSES:
            self._known.popitem(last=False)
