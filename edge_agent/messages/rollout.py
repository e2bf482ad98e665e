"""Roll-out messages: the model that a group of devices should run, and its stages.

Two signed documents: what people want (`WISHES`, signed by two of them), and how far that may go by now (`STAGES`,
signed by the server). The second chooses between the two models that the first names, and can name no other.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from pydantic import Field

from edge_agent.messages.message import Count, Name, Part, Timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

WISHES: Final = "wishes.json"
STAGES: Final = "stages.json"
MINIMUM_VERSION: Final = "minimum_version"
"""What a model's target says of the agent that can run it."""

Stage: TypeAlias = Literal["named", "first", "some", "all"]
ORDER: tuple[Stage, ...] = ("named", "first", "some", "all")
SHARES: Mapping[Stage, float] = {"named": 0.0, "first": 0.01, "some": 0.1, "all": 1.0}
"""Of the devices of a group, beside those that are named."""
RolloutState: TypeAlias = Literal["accepted", "probation", "rejected"]

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Version = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]


class Wish(Part):
    """What a group should run."""

    number: int = Field(ge=1, description="1, 2, 3, ...; a newer wish replaces an older")
    model: ModelName | None = Field(description="null: what each device's configuration names")
    previous: ModelName | None = Field(
        description="What devices run that the roll-out has not reached, and all after it is rolled back"
    )
    named: tuple[Name, ...] = Field((), description="Devices that run it first")


class Wishes(Part):
    """What every group should run."""

    schema_name: Literal["maskwatch.wishes/1"] = Field("maskwatch.wishes/1", alias="schema")
    groups: dict[Name, Wish]


class Progress(Part):
    """How far a wish has got."""

    number: int = Field(ge=1, description="Of the wish; one of another number says nothing")
    stage: Stage
    since: Timestamp = Field(description="When the stage was released")
    is_paused: bool = Field(False, description="No further device changes its model")
    is_rolled_back: bool = Field(False, description="All run the previous one")
    reason: str = Field("", description="Why it is paused or rolled back")


class Stages(Part):
    """How far every group has got."""

    schema_name: Literal["maskwatch.stages/1"] = Field("maskwatch.stages/1", alias="schema")
    groups: dict[Name, Progress]


class RolloutFigures(Part):
    """How the roll-out goes on a device."""

    group: Name
    number: Count = Field(description="Of the wish that it follows; 0: none yet")
    model: str = Field(description="The model that this is about; empty: what the configuration names")
    state: RolloutState = Field(description="probation: runs for less than ten minutes; rejected: the one before runs")


def place(device: str) -> float:
    """Where a device stands among all, 0..1, by the hash of its id: below its share a stage reaches it."""
    return int.from_bytes(hashlib.sha256(device.encode()).digest()[:8], "big") / 2**64


def is_reached(device: str, wish: Wish, stage: Stage) -> bool:
    """Whether a device belongs to a stage or to one before it."""
    return device in wish.named or place(device) < SHARES[stage]


def wanted_model(wish: Wish, progress: Progress | None, *, device: str, running: str | None) -> str | None:
    """The model that a device should run; None: what its configuration names.

    `progress` of another wish says nothing: then the devices that are named begin.
    """
    if progress is None or progress.number != wish.number:
        progress = None
    if progress is not None and progress.is_rolled_back:
        return wish.previous
    if progress is not None and progress.is_paused:
        return running
    return wish.model if is_reached(device, wish, progress.stage if progress else "named") else wish.previous
