"""Release: decides whether a new model may go to the next stage. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from edge_agent.messages.rollout import ORDER, Progress, is_reached

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from edge_agent.messages.rollout import Assignment, RolloutState
    from fleet.config import RolloutConfig

WEEK = timedelta(days=7)
MIN_FACTOR, MAX_FACTOR = 1 / 3, 3.0
"""Alerts per hour and device, relative to the week before."""
MIN_EXPECTED = 10.0
"""With ten expected alerts, three or fewer occur by chance in 1 % of cases; fewer expected alerts are inconclusive."""
MIN_ALERTS = 3.0
"""A quiet site with three alerts in a day after a week without any has not changed."""


@dataclass(frozen=True, slots=True)
class Device:
    """Last report of a device about the roll-out."""

    name: str
    number: int
    state: RolloutState


@dataclass(frozen=True, slots=True)
class Alerts:
    """Number of alerts of a stage's devices in the week before it began, and since."""

    week_before: int
    since: int


def accepted_devices(assignment: Assignment, progress: Progress, devices: Sequence[Device]) -> list[str]:
    """The devices of a stage that run the assigned model and have completed its probation."""
    return [
        device.name
        for device in devices
        if device.number == assignment.number
        and device.state == "accepted"
        and is_reached(device.name, assignment, progress.stage)
    ]


def decide(
    assignment: Assignment,
    progress: Progress,
    devices: Sequence[Device],
    alerts: Alerts,
    *,
    settings: RolloutConfig,
    when: datetime,
) -> Progress | None:
    """Return the next stage, or a pause with its reason; None means wait.

    `devices` are those of the group, `alerts` those of the devices that completed probation.
    """
    # Without devices the messages of the fleet may be missing: that is no reason to go on.
    if not devices or progress.number != assignment.number or progress.is_paused or progress.is_rolled_back:
        return None
    if fault := _fault(assignment, progress, devices, alerts, settings=settings, when=when):
        return progress.model_copy(update={"is_paused": True, "reason": fault})
    if progress.stage == ORDER[-1]:
        return None
    reached = [device for device in devices if is_reached(device.name, assignment, progress.stage)]
    is_over = when - progress.since >= timedelta(hours=settings.min_stage_hours)
    accepted = len(accepted_devices(assignment, progress, devices))
    if reached and (not is_over or accepted < settings.min_accepted_fraction * len(reached)):
        return None
    return Progress(number=assignment.number, stage=ORDER[ORDER.index(progress.stage) + 1], since=when)


def _fault(
    assignment: Assignment,
    progress: Progress,
    devices: Sequence[Device],
    alerts: Alerts,
    *,
    settings: RolloutConfig,
    when: datetime,
) -> str:
    reached = [device for device in devices if is_reached(device.name, assignment, progress.stage)]
    rejected = [device.name for device in reached if device.number == assignment.number and device.state == "rejected"]
    if len(rejected) > settings.max_rejected_fraction * len(reached):
        return f"{len(rejected)} of {len(reached)} devices reject it, such as {min(rejected)}: see their status"
    elapsed = when - progress.since
    expected = alerts.week_before * (elapsed / WEEK)
    if alerts.since > MAX_FACTOR * max(expected, MIN_ALERTS):
        return f"{alerts.since} alerts since the stage began, and {expected:.1f} were expected after the week before"
    is_over = elapsed >= timedelta(hours=settings.min_stage_hours)
    if is_over and expected >= MIN_EXPECTED and alerts.since < MIN_FACTOR * expected:
        return (
            f"only {alerts.since} alerts since the stage began, and {expected:.1f} were expected after the week before"
        )
    return ""
