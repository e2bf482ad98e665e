"""Signals: switches the lamps, buzzers and relays.

In: the nearest person of each camera, and whether the device has a fault. Out: switched pins. Time comes in as `at`.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.config.model import SignalName
    from edge_agent.domain import Nearest

DEBOUNCE_SECONDS = 0.3
"""Shorter signs are ignored: for two frames at ten a second, two people changed places."""
STALE_SECONDS = 5.0
"""After this long without a frame the person has left, or the camera is away. The slowest camera allowed gives a frame
every two seconds."""
MAX_SIGNALLED = 100
"""Of one camera: more than stand in front of it at once; who has been behind so many others may be signalled again."""

log = logging.getLogger(__name__)


class OutputPin(Protocol):
    """One output that can be switched."""

    def on(self) -> None:
        """Switch it on."""

    def off(self) -> None:
        """Switch it off."""


@dataclass(slots=True)
class _Shown:
    """The last state of one camera."""

    seen_at: float
    since: float
    """Of the signal; it may have passed from one person to another."""
    person: tuple[SignalName, int] | None = None
    signalled: OrderedDict[tuple[SignalName, int], None] = field(default_factory=OrderedDict)
    """The people in view who have had their signal; the last to be nearest come last."""


@dataclass(slots=True)
class _Output:
    pin: OutputPin
    seconds: float
    on_until: float = float("-inf")
    is_on: bool = False
    is_broken: bool = False


class Signals:
    """Switches the outputs; without any it does nothing. Owned by the main thread.

    Each person has each signal once, for as long as people are in view. A signal of 0 seconds lasts as long as its
    reason.
    """

    def __init__(self, outputs: Mapping[SignalName, tuple[OutputPin, float]]) -> None:
        """`outputs` are the pin and duration in seconds of each signal; all pins are off."""
        self._outputs = {name: _Output(pin, seconds) for name, (pin, seconds) in outputs.items()}
        self._shown: dict[str, _Shown] = {}

    def observe(self, camera: str, nearest: Nearest | None, *, at: float) -> None:
        """Record the nearest person in a frame."""
        self._note(camera, _person_of(nearest), is_empty=nearest is None, at=at)

    def update(self, *, has_fault: bool, at: float) -> None:
        """Switch the outputs that are due; called several times a second."""
        self._note("", ("fault", 0) if has_fault else None, is_empty=not has_fault, at=at)
        lasting: set[SignalName] = set()
        for camera, shown in [*self._shown.items()]:
            if at - shown.seen_at > STALE_SECONDS:
                del self._shown[camera]
            elif shown.person is not None and at - shown.since >= DEBOUNCE_SECONDS:
                lasting.add(shown.person[0])
                self._begin(shown, shown.person, at)
        for name, output in self._outputs.items():
            _switch(name, output, is_on=at < output.on_until or (not output.seconds and name in lasting))

    def _note(self, source: str, person: tuple[SignalName, int] | None, *, is_empty: bool, at: float) -> None:
        shown = self._shown.setdefault(source, _Shown(at, at))
        shown.seen_at = at
        if (person and person[0]) != (shown.person and shown.person[0]):
            shown.since = at
        shown.person = person
        if is_empty:
            shown.signalled.clear()

    def _begin(self, shown: _Shown, person: tuple[SignalName, int], at: float) -> None:
        if person in shown.signalled:
            shown.signalled.move_to_end(person)
            return
        shown.signalled[person] = None
        if len(shown.signalled) > MAX_SIGNALLED:
            shown.signalled.popitem(last=False)
        if (output := self._outputs.get(person[0])) is not None and output.seconds:
            output.on_until = at + output.seconds


def _person_of(nearest: Nearest | None) -> tuple[SignalName, int] | None:
    """The signal and the person's track; None without a person, or while undecided."""
    if nearest is None or not nearest.is_sure:
        return None
    match nearest.sign:
        case "without_mask" | "mask_worn_incorrectly":
            return "violation", nearest.track
        case "compliant":
            return "compliant", nearest.track
        case "with_mask" | "undecided":
            return None


def _switch(name: SignalName, output: _Output, *, is_on: bool) -> None:
    if is_on == output.is_on:
        return
    try:
        (output.pin.on if is_on else output.pin.off)()
    # Whatever the library raises: detection continues without a lamp, and the next update tries again.
    except Exception as error:  # noqa: BLE001
        if not output.is_broken:
            log.warning("signal %s: its pin cannot be switched: %s", name, error)
        output.is_broken = True
    else:
        output.is_on, output.is_broken = is_on, False
