"""Signals: lamps and relays are on for the right person and duration, and off at the end."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from edge_agent.domain import Nearest
from edge_agent.signals.signals import DEBOUNCE_SECONDS, MAX_SIGNALLED, STALE_SECONDS, Signals

MASKED, BARE = Nearest(1, "compliant", is_sure=True), Nearest(1, "without_mask", is_sure=True)
STEP_SECONDS = 0.1


class Pin:
    """Records when it was switched."""

    def __init__(self):
        self.is_on, self.count, self.fails = False, 0, False

    def on(self):
        if self.fails:
            raise OSError("unplugged")
        self.is_on = True
        self.count += 1

    def off(self):
        if self.fails:
            raise OSError("unplugged")
        self.is_on = False


class Door:
    """Signals that are updated step by step."""

    def __init__(self, *, seconds=2.0):
        self.pins: dict[Any, Pin] = {"violation": Pin(), "compliant": Pin(), "fault": Pin()}
        self.signals = Signals({name: (pin, 0.0 if name == "fault" else seconds) for name, pin in self.pins.items()})
        self.at = 100.0

    def passes(self, seconds, *, nearest=None, camera="door", has_fault=False, gives_frames=True):
        """Let time pass; returns the signals that are on at the end."""
        for _ in range(round(seconds / STEP_SECONDS)):
            self.at += STEP_SECONDS
            if gives_frames:
                self.signals.observe(camera, nearest, at=self.at)
            self.signals.update(has_fault=has_fault, at=self.at)
        return {name for name, pin in self.pins.items() if pin.is_on}


def test_a_signal_lasts_its_seconds_and_comes_once_for_each_person():
    door = Door(seconds=2.0)

    assert door.passes(0.5, nearest=BARE) == {"violation"}
    assert door.passes(1.5, nearest=BARE) == {"violation"}
    assert door.passes(1.0, nearest=BARE) == set()
    assert door.passes(3.0, nearest=BARE) == set()
    assert door.pins["violation"].count == 1

    assert door.passes(0.5, nearest=Nearest(2, "mask_worn_incorrectly", is_sure=True)) == {"violation"}
    door.passes(3.0)
    assert door.passes(0.5, nearest=BARE) == {"violation"}, "left, and came back"


def test_only_the_last_people_are_remembered_while_somebody_is_always_in_view():
    door = Door(seconds=0.1)
    bare = [Nearest(number, "without_mask", is_sure=True) for number in range(MAX_SIGNALLED + 1)]
    for one in bare[:-1]:
        door.passes(1.0, nearest=one)
    door.passes(1.0, nearest=bare[0])
    assert door.pins["violation"].count == MAX_SIGNALLED

    door.passes(1.0, nearest=bare[-1])
    door.passes(1.0, nearest=bare[0])
    assert door.pins["violation"].count == MAX_SIGNALLED + 1

    door.passes(1.0, nearest=bare[1])
    assert door.pins["violation"].count == MAX_SIGNALLED + 2


def test_putting_on_a_mask_switches_the_signal():
    door = Door(seconds=1.0)
    door.passes(2.0, nearest=BARE)

    assert door.passes(0.5, nearest=MASKED) == {"compliant"}
    assert door.passes(0.5, nearest=BARE) == {"compliant"}, "for this one it was on already"


def test_shorter_signs_are_ignored():
    door = Door()

    for _ in range(10):
        assert door.passes(DEBOUNCE_SECONDS - STEP_SECONDS, nearest=BARE) == set()
        assert door.passes(DEBOUNCE_SECONDS - STEP_SECONDS, nearest=MASKED) == set()


@pytest.mark.parametrize(
    "nearest", [None, Nearest(1, "undecided", is_sure=True), Nearest(1, "without_mask", is_sure=False)]
)
def test_without_a_certain_sign_no_output_is_on(nearest):
    assert Door().passes(2.0, nearest=nearest) == set()


def test_a_signal_without_a_duration_lasts_as_long_as_its_cause():
    door = Door(seconds=0.0)

    assert door.passes(10.0, nearest=BARE) == {"violation"}
    assert door.passes(0.5, nearest=MASKED) == {"compliant"}
    assert door.passes(0.1) == set()


def test_a_signal_without_a_duration_does_not_flicker_when_the_next_person_has_the_same():
    door = Door(seconds=0.0)

    door.passes(1.0, nearest=MASKED)
    for _ in range(3):
        assert door.passes(STEP_SECONDS, nearest=Nearest(2, "compliant", is_sure=True)) == {"compliant"}
        assert door.passes(STEP_SECONDS, nearest=MASKED) == {"compliant"}

    assert door.pins["compliant"].count == 1


def test_two_people_who_change_places_have_their_signals():
    door = Door(seconds=0.5)

    for _ in range(20):
        door.passes(0.2, nearest=BARE)
        door.passes(0.2, nearest=Nearest(2, "mask_worn_incorrectly", is_sure=True))

    assert 1 <= door.pins["violation"].count <= 2


def test_two_cameras_share_an_output():
    door = Door(seconds=0.0)
    door.passes(0.5, nearest=BARE, camera="left")

    assert door.passes(1.0, nearest=MASKED, camera="right") == {"violation", "compliant"}
    assert door.passes(1.0, camera="left") == {"compliant"}


def test_a_lost_camera_switches_its_outputs_off():
    door = Door(seconds=0.0)
    assert door.passes(1.0, nearest=BARE) == {"violation"}

    assert door.passes(STALE_SECONDS + 1.0, gives_frames=False) == set()


def test_a_fault_is_shown_as_long_as_there_is_one():
    door = Door()

    assert door.passes(1.0, has_fault=True) == {"fault"}
    assert door.passes(0.1) == set()


def test_a_pin_that_cannot_be_switched_is_logged_once(caplog):
    door = Door(seconds=0.2)
    door.pins["violation"].fails = True
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            door.passes(1.0, nearest=Nearest(number, "without_mask", is_sure=True))

    assert len(caplog.records) == 1


def test_a_pin_that_could_not_be_switched_off_is_switched_off_later(caplog):
    door = Door(seconds=1.0)
    assert door.passes(0.5, nearest=BARE) == {"violation"}
    door.pins["violation"].fails = True
    assert door.passes(2.0) == {"violation"}
    door.pins["violation"].fails = False

    assert door.passes(0.5) == set()
    assert len(caplog.records) == 1
