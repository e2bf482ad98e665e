"""Counts: the page by day and hour, JSON and CSV."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest

from edge_agent.domain import Person
from tests.console.test_pages import page


@pytest.fixture
def now(console):
    """The current hour, after counting two people today, one yesterday and one at the back door."""
    now = datetime.now(timezone.utc)
    for person in (
        Person("door", "with_mask", False, now),
        Person("door", "without_mask", False, now),
        Person("door", "with_mask", False, now - timedelta(days=1)),
        Person("back", "undecided", False, now),
    ):
        console.store.count_person(person)
    return now


def test_the_page_shows_days_and_hours(client, now):
    shown = page(client, "/counts")

    assert "4 people in 30 days, 67% with a mask" in shown
    today = now.astimezone()
    assert f"{today.day} {today:%b}: 3 people (1 mask, 1 no mask, 1 undecided), compliance 50%" in shown
    assert f"{today:%H}:00: 3 people (1 mask, 1 no mask, 1 undecided), compliance 50%" in shown
    assert '<polyline class="curve share"' in shown


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"])
def test_the_page_shows_hours_in_zones_of_broken_hours(client, now, monkeypatch, zone):
    with monkeypatch.context() as there:
        there.setenv("TZ", zone)
        time.tzset()
        hour = now.replace(minute=0).astimezone()
        shown = page(client, f"/counts?day={hour.date()}")
    time.tzset()

    assert f"{hour:%H:%M}: 3 people (1 mask, 1 no mask, 1 undecided), compliance 50%" in shown


def test_the_page_of_one_camera_and_day(client, now):
    yesterday = (now - timedelta(days=1)).astimezone().date()

    shown = page(client, f"/counts?camera=door&day={yesterday}")

    assert "3 people in 30 days" in shown
    assert f'id="hours-title">People of {yesterday.day} {yesterday:%b} by hour' in shown


def test_without_people_there_is_a_message(client):
    assert "no people were counted in this period" in page(client, "/counts?day=nonsense&camera=%3Cb%3E")


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_day_out_of_range_means_today(client, day):
    assert f"People of {datetime.now().astimezone():%-d %b} by hour" in page(client, f"/counts?day={day}")


def test_the_api_returns_counts_by_day_hour_and_camera(client, now):
    by_camera = client.get("/api/v1/counts", params={"by": "camera"}).json()["counts"]
    shares = [(one["of"], one["people"], one["compliance"]) for one in by_camera]
    assert shares == [("back", 1, None), ("door", 3, 0.6667)]

    by_day = client.get("/api/v1/counts", params={"camera": "door", "last": 1}).json()["counts"]
    assert [(one["of"], one["with_mask"], one["without_mask"]) for one in by_day] == [
        (now.astimezone().date().isoformat(), 1, 1)
    ]


def test_the_csv_file_has_one_row_per_hour(client, now):
    answer = client.get("/counts.csv", params={"camera": "door"})

    assert answer.headers["content-type"].startswith("text/csv")
    first, *rows = answer.text.splitlines()
    assert first == "hour,people,with_mask,without_mask,mask_worn_incorrectly,undecided,changed,compliance"
    assert len(rows) == 2
    assert rows[-1].endswith(",2,1,1,0,0,0,0.5")
