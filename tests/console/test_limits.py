"""Limits: requests and guesses per address are limited, in bounded memory."""

import pytest
from starlette.exceptions import HTTPException

from edge_agent.config.model import ConsoleConfig
from edge_agent.config.secrets import ConsoleSecrets
from edge_agent.console.auth import Auth
from edge_agent.console.limits import (
    FAILURES_OF_ALL,
    FREE_FAILURES,
    MAX_ADDRESSES,
    MAX_PAUSE_SECONDS,
    ONE_MORE_SECONDS,
    Attempts,
    client_network,
)


def requests_in(auth: Auth, address: str, *, count: int) -> list[object]:
    """The status and headers of each request; empty if it is allowed."""
    answers: list[object] = []
    for _ in range(count):
        try:
            auth.check_rate(address)
            answers.append("")
        except HTTPException as refused:
            answers.append((refused.status_code, refused.headers))
    return answers


def an_auth(now: list[float], *, per_second: float) -> Auth:
    return Auth(ConsoleConfig(max_requests_per_second=per_second), ConsoleSecrets(), clock=lambda: now[0])


def test_requests_of_an_address_are_limited_and_allowed_again_later():
    now = [0.0]
    auth = an_auth(now, per_second=5)

    assert requests_in(auth, "192.0.2.1", count=6) == ["", "", "", "", "", (429, {"Retry-After": "1"})]
    assert requests_in(auth, "192.0.2.2", count=1) == [""]
    now[0] = 0.25
    assert requests_in(auth, "192.0.2.1", count=2) == ["", (429, {"Retry-After": "1"})]


def test_a_million_addresses_use_bounded_memory():
    auth, attempts = an_auth([0.0], per_second=1), Attempts()
    for number in range(MAX_ADDRESSES + 100):
        auth.check_rate(f"address {number}")
        attempts.record_failure(f"address {number}", "token", at=0.0)

    assert auth._buckets.cache_info().currsize == MAX_ADDRESSES
    assert len(attempts._failures) == MAX_ADDRESSES


def test_failed_logins_increase_the_delay_up_to_a_limit():
    attempts, at, pauses = Attempts(), 0.0, []
    for _ in range(14):
        attempts.record_failure("a", "token", at=at)
        pauses.append(attempts.wait_seconds("a", "token", at=at))
        # Late enough that the limit of all addresses together does not apply.
        at += 400.0

    assert pauses == [0] * (FREE_FAILURES - 1) + [1, 2, 4, 8, 16, 32, 64, 128, 256] + [MAX_PAUSE_SECONDS] * 3


def test_a_patient_attacker_still_waits_after_thousands_of_failures():
    attempts, at = Attempts(), 0.0
    for _ in range(3000):
        attempts.record_failure("a", "token", at=at)
        at += attempts.wait_seconds("a", "token", at=at)

    attempts.record_failure("a", "token", at=at)
    assert attempts.wait_seconds("a", "token", at=at) == MAX_PAUSE_SECONDS


def test_a_delay_ends_and_a_right_password_clears_mistakes():
    attempts = Attempts()
    for _ in range(FREE_FAILURES + 3):
        attempts.record_failure("a", "token", at=0.0)

    assert attempts.wait_seconds("a", "token", at=1.0) == 7
    assert attempts.wait_seconds("b", "token", at=1.0) == 0
    assert attempts.wait_seconds("a", "token", at=8.0) == 0
    attempts.record_success("a", "token")
    attempts.record_failure("a", "token", at=8.0)
    assert attempts.wait_seconds("a", "token", at=8.0) == 0


def test_a_thousand_addresses_guess_no_more_often_than_a_few():
    attempts = Attempts()
    for number in range(int(FAILURES_OF_ALL)):
        attempts.record_failure(f"address {number}", "token", at=0.0)

    assert attempts.wait_seconds("yet another", "token", at=0.0) == 2
    assert attempts.wait_seconds("yet another", "token", at=2.0) == 0


def test_guesses_from_elsewhere_do_not_lock_out_known_addresses():
    attempts = Attempts()
    attempts.record_success("home", "password")
    for number in range(1000):
        attempts.record_failure(f"address {number}", "password", at=0.0)

    assert attempts.wait_seconds("home", "password", at=0.0) == 0
    assert attempts.wait_seconds("home", "token", at=0.0) > 0
    assert attempts.wait_seconds("elsewhere", "password", at=0.0) > 0


def test_guesses_from_a_known_address_are_limited_as_those_from_elsewhere():
    attempts = Attempts()
    attempts.record_success("home", "token")
    guesses, at = 0, 0.0
    while at < 86_400.0:
        if not attempts.wait_seconds("home", "token", at=at):
            attempts.record_failure("home", "token", at=at)
            guesses += 1
        at += 0.5

    assert guesses <= 86_400 / ONE_MORE_SECONDS + FAILURES_OF_ALL


@pytest.mark.parametrize(
    ("address", "known_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("what a proxy made up" * 50, ("what a proxy made up" * 50)[:64]),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address, known_as):
    assert client_network(address) == known_as
