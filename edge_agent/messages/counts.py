"""Counts message: people and masks per camera, by hour and day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import ConfigDict, Field

from edge_agent.messages.message import Count, Kind, Part, Timestamp, TitledMessage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

SCHEMA: Final = "maskwatch.counts/1"
SHARE_DIGITS = 4


class PeopleCounts(Part):
    """People who have left; each counts once, and one who took a mask off or put one on counts as the violation."""

    with_mask: Count = 0
    without_mask: Count = 0
    mask_worn_incorrectly: Count = 0
    undecided: Count = Field(default=0, description="Seen too briefly or too badly for a decision")
    changed: Count = Field(default=0, description="Of all of these, people whose mask was put on or taken off in view")

    def __add__(self, other: PeopleCounts) -> PeopleCounts:
        """Both together."""
        return PeopleCounts(**{name: count + getattr(other, name) for name, count in self})

    @property
    def people(self) -> int:
        """All of them."""
        return self.with_mask + self.without_mask + self.mask_worn_incorrectly + self.undecided

    @property
    def compliance(self) -> float | None:
        """Share 0..1 of people with a mask, worn properly, among those decided; None where there were none."""
        decided = self.people - self.undecided
        return round(self.with_mask / decided, SHARE_DIGITS) if decided else None


@dataclass(frozen=True, slots=True)
class CountedPeriod:
    """The people of an hour or of a day, by camera."""

    period: Literal["hour", "day"]
    begin: datetime
    end: datetime
    cameras: Mapping[str, PeopleCounts]


class CountsMessage(TitledMessage):
    """Sent when an hour, or a day of the device's clock, is over; no person is told from another."""

    kind: ClassVar[Kind] = "counts"
    model_config = ConfigDict(title="People counted by a device, as published on <prefix>/<device>/counts")

    schema_name: Literal["maskwatch.counts/1"] = Field(
        default=SCHEMA, alias="schema", description="Name and version of this format"
    )
    period: Literal["hour", "day"]
    begin: Timestamp = Field(description="Beginning of the period")
    end: Timestamp = Field(description="End of the period, which is not part of it")
    cameras: dict[str, PeopleCounts] = Field(description="By the camera's name")
