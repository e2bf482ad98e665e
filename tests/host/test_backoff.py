"""Backoff: delays double with jitter, up to a limit."""

from edge_agent.host.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_are_shortened_by_no_more_than_a_half():
    pauses = Backoff(first_seconds=1.0, longest_seconds=5.0)

    taken = [pauses.take() for _ in range(5)]

    assert all(full / 2 <= pause <= full for pause, full in zip(taken, [1.0, 2.0, 4.0, 5.0, 5.0], strict=True))


def test_devices_do_not_come_back_in_the_same_moment():
    taken = {Backoff(first_seconds=1.0, longest_seconds=5.0).take() for _ in range(20)}

    assert len(taken) == 20


def test_a_reset_restarts_the_delays():
    pauses = Backoff(first_seconds=1.0, longest_seconds=64.0)
    for _ in range(6):
        pauses.take()

    pauses.reset()

    assert pauses.take() <= 1.0
