"""Backoff: delays double with jitter, up to a limit."""

from edge_agent.host.backoff import STEADY_SECONDS, Backoff


def test_delays_double_up_to_the_maximum_with_jitter_of_at_most_half():
    pauses = Backoff(first_seconds=1.0, max_seconds=5.0)

    taken = [pauses.take() for _ in range(5)]

    assert all(full / 2 <= pause <= full for pause, full in zip(taken, [1.0, 2.0, 4.0, 5.0, 5.0], strict=True))


def test_delays_are_random_so_that_devices_do_not_reconnect_together():
    taken = {Backoff(first_seconds=1.0, max_seconds=5.0).take() for _ in range(20)}

    assert len(taken) == 20


def test_a_reset_restarts_the_delays():
    pauses = Backoff(first_seconds=1.0, max_seconds=64.0)
    for _ in range(6):
        pauses.take()

    pauses.reset()

    assert pauses.take() <= 1.0


def test_delays_are_reset_only_after_a_period_without_failures():
    """A program that dies after each first picture would be started every second."""
    pauses = Backoff(first_seconds=1.0, max_seconds=64.0)
    for _ in range(4):
        pauses.take()

    assert pauses.take(well_seconds=STEADY_SECONDS - 0.1) >= 8.0
    assert pauses.take(well_seconds=STEADY_SECONDS) <= 1.0


def test_the_longest_delay_is_kept_however_many_attempts_fail():
    pauses = Backoff(first_seconds=1.0, max_seconds=60.0)
    for _ in range(10_000):
        pauses.take()

    assert 30.0 <= pauses.take() <= 60.0
