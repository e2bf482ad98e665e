"""Ids: UUIDs version 7, increasing."""

import uuid
from datetime import datetime, timedelta, timezone

from edge_agent.messages.ids import uuid7

LATER_THAN_ANY_TEST = datetime(2040, 1, 1, tzinfo=timezone.utc)


def test_an_identifier_is_a_uuid_of_version_7_and_carries_its_time():
    when = LATER_THAN_ANY_TEST

    value = uuid.UUID(uuid7(when))

    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert value.int >> 80 == int(when.timestamp() * 1000)


def test_identifiers_of_the_same_millisecond_count_up():
    taken = [uuid7(LATER_THAN_ANY_TEST) for _ in range(2000)]

    assert taken == sorted(set(taken))


def test_identifiers_count_up_although_the_clock_is_set_back_by_some_hours():
    before = uuid7(LATER_THAN_ANY_TEST)

    after = uuid7(LATER_THAN_ANY_TEST - timedelta(hours=20))

    assert after > before


def test_identifiers_follow_a_clock_that_was_wrong_by_years():
    uuid7(LATER_THAN_ANY_TEST)
    right = LATER_THAN_ANY_TEST - timedelta(days=3650)

    taken = [uuid7(right) for _ in range(2000)]

    assert uuid.UUID(taken[0]).int >> 80 == int(right.timestamp() * 1000)
    assert taken == sorted(set(taken))
