"""Quiet hours: parsed in the forms that users write."""

from datetime import datetime

import pytest

from edge_agent.config.quiet_hours import parse_quiet_hours


def monday(hour: int, minute: int = 0, *, days_later: int = 0) -> datetime:
    """Local time in the week of Monday, 2 March 2026."""
    return datetime(2026, 3, 2 + days_later, hour, minute)  # noqa: DTZ001  (the local clock on the wall)


def test_hours_across_midnight_belong_to_the_day_on_which_they_begin():
    hours = parse_quiet_hours("fri 22:00-06:00")

    covered = [hours.cover(monday(hour, days_later=day)) for day, hour in [(4, 21), (4, 22), (5, 5), (5, 6), (5, 22)]]

    assert covered == [False, True, True, False, False]


def test_the_end_is_exclusive():
    hours = parse_quiet_hours("12:00-13:30")

    assert [hours.cover(monday(12)), hours.cover(monday(13, 29)), hours.cover(monday(13, 30))] == [True, True, False]


def test_a_whole_day_is_24_hours():
    hours = parse_quiet_hours("Saturday, Sunday 00:00-24:00")

    assert [day for day in range(7) if hours.cover(monday(23, 59, days_later=day))] == [5, 6]


def test_days_may_go_over_the_end_of_the_week():
    assert parse_quiet_hours("sat-mon, wed 8:00-9:00").days == {5, 6, 0, 2}


def test_days_may_be_shortened_to_three_letters_or_more():
    assert parse_quiet_hours("Tues - Thurs, sunday 8:00-9:00").days == {1, 2, 3, 6}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("at night", "not a period such as"),
        ("22:00", "not a period such as"),
        ("25:00-26:00", "25:00 is not a time of day"),
        ("10:60-11:00", "10:60 is not a time of day"),
        ("08:00-08:00", "has no length; a whole day is 00:00-24:00"),
        ("mon-xyz 08:00-09:00", "'mon-xyz' is not a day of the week"),
        ("xyz 08:00-09:00", "'xyz' is not a day of the week"),
        # Once taken for Saturday, for Monday to Friday, and for Monday.
        ("sat sun 00:00-24:00", "'sat sun' is not a day of the week"),
        ("mon-fri-sun 08:00-09:00", "'mon-fri-sun' is not a day of the week"),
        ("month 08:00-09:00", "'month' is not a day of the week"),
    ],
)
def test_invalid_times_are_reported(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_quiet_hours(text)
