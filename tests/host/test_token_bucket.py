"""Token bucket: rate and burst."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.host.token_bucket import TokenBucket


def test_a_burst_of_one_second_is_allowed_and_the_rest_is_evenly_spaced():
    pace = TokenBucket(20.0)

    assert [pace.take(at=100.0) for _ in range(21)] == [True] * 20 + [False]
    assert pace.wait_seconds(at=100.0) == 0.05
    assert pace.take(at=100.051)
    assert not pace.take(at=100.06)


def test_a_pause_saves_up_at_most_one_second_of_tokens():
    pace = TokenBucket(5.0)
    pace.take(at=0.0)

    assert sum(pace.take(at=3600.0) for _ in range(100)) == 5


def test_a_rate_below_one_message_a_second_is_kept():
    pace = TokenBucket(0.1)

    assert pace.take(at=0.0)
    assert not pace.take(at=9.9)
    assert pace.take(at=10.1)


@given(st.lists(st.floats(0.0, 2.0), max_size=50), st.floats(0.5, 50.0))
def test_the_rate_is_never_exceeded(pauses_seconds, per_second):
    pace, at, taken = TokenBucket(per_second), 0.0, 0
    for pause_seconds in pauses_seconds:
        at += pause_seconds
        while pace.take(at=at):
            taken += 1

    assert taken <= max(1.0, per_second) + at * per_second + 1e-6
