"""Roll-out messages: the model that a group of devices should run, and its stages.

Two signed documents: the assigned models (`ASSIGNMENTS`, signed by two people), and the stage of each roll-out
(`STAGES`, signed by the server). The second selects one of the two models named in the first and can name no other.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from pydantic import Field

from edge_agent.messages.message import Count, Name, Part, Timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

ASSIGNMENTS: Final = "assignments.json"
STAGES: Final = "stages.json"
MINIMUM_VERSION: Final = "minimum_version"
"""Key of a model's target for the least version of the agent that can run it."""

Stage: TypeAlias = Literal["named", "first", "some", "all"]
ORDER: tuple[Stage, ...] = ("named", "first", "some", "all")
SHARES: Mapping[Stage, float] = {"named": 0.0, "first": 0.01, "some": 0.1, "all": 1.0}
"""Share of a group's devices that a stage reaches, besides the named ones."""
RolloutState: TypeAlias = Literal["accepted", "probation", "rejected"]

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Version = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]


class Assignment(Part):
    """The model assigned to a group."""

    number: int = Field(ge=1, description="1, 2, 3, ...; a newer assignment replaces an older one")
    model: ModelName | None = Field(description="Model; null: that of each device's configuration")
    previous: ModelName | None = Field(
        description="Model of devices that the roll-out has not reached, and of all after a rollback"
    )
    named: tuple[Name, ...] = Field((), description="Devices of the first stage")


class Assignments(Part):
    """The model assigned to every group."""

    schema_name: Literal["maskwatch.assignments/1"] = Field("maskwatch.assignments/1", alias="schema")
    groups: dict[Name, Assignment]


class Progress(Part):
    """The stage of an assignment."""

    number: int = Field(ge=1, description="Number of the assignment; ignored if it is not the current one")
    stage: Stage
    since: Timestamp = Field(description="Time at which the stage was released")
    is_paused: bool = Field(False, description="No more devices change their model")
    is_rolled_back: bool = Field(False, description="All devices run the previous model")
    reason: str = Field("", description="Why it is paused or rolled back")


class Stages(Part):
    """The stage of every group."""

    schema_name: Literal["maskwatch.stages/1"] = Field("maskwatch.stages/1", alias="schema")
    groups: dict[Name, Progress]


class RolloutFigures(Part):
    """The state of the roll-out on a device."""

    group: Name
    number: Count = Field(description="Number of the current assignment; 0: none yet")
    model: str = Field(description="The model concerned; empty: that of the configuration")
    state: RolloutState = Field(
        description="probation: running for less than ten minutes; rejected: the previous one is running"
    )


def place(device: str) -> float:
    """Position of a device, 0..1, by the hash of its id; a stage reaches it if this is below the stage's share."""
    return int.from_bytes(hashlib.sha256(device.encode()).digest()[:8], "big") / 2**64


def is_reached(device: str, assignment: Assignment, stage: Stage) -> bool:
    """Whether a device belongs to a stage or to one before it."""
    return device in assignment.named or place(device) < SHARES[stage]


def assigned_model(
    assignment: Assignment, progress: Progress | None, *, device: str, running: str | None
) -> str | None:
    """The model that a device should run; None: that of its configuration.

    `progress` of another assignment is ignored: then only the named devices run the new model.
    """
    stage: Stage = "named"
    if progress is not None and progress.number == assignment.number:
        if progress.is_rolled_back:
            return assignment.previous
        if progress.is_paused:
            return running
        stage = progress.stage
    return assignment.model if is_reached(device, assignment, stage) else assignment.previous
