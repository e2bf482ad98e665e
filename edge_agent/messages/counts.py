"""Counts message: people and masks per camera, by hour and day."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from edge_agent.messages.message import Count, DeviceMessage, Kind, Part, Timestamp, schema_field

SHARE_DIGITS = 4


class PeopleCounts(Part):
    """People who have left; each counts once, as a violation if a mask was put on or taken off in view."""

    with_mask: Count = 0
    without_mask: Count = 0
    mask_worn_incorrectly: Count = 0
    undecided: Count = Field(default=0, description="Seen too briefly or unclearly for a decision")
    changed: Count = Field(default=0, description="Number of these people whose mask was put on or taken off in view")

    def __add__(self, other: PeopleCounts) -> PeopleCounts:
        """Add two counts."""
        return PeopleCounts(**{name: count + getattr(other, name) for name, count in self})

    @property
    def people(self) -> int:
        """Total number."""
        return self.with_mask + self.without_mask + self.mask_worn_incorrectly + self.undecided

    @property
    def compliance(self) -> float | None:
        """Share 0..1 of people with a correctly worn mask among those with a decision; None if there are none."""
        decided = self.people - self.undecided
        return round(self.with_mask / decided, SHARE_DIGITS) if decided else None


class CountedPeriod(Part):
    """The people counted in an hour or a day."""

    period: Literal["hour", "day"]
    begin: Timestamp = Field(description="Start of the period")
    end: Timestamp = Field(description="End of the period, exclusive")
    cameras: dict[str, PeopleCounts] = Field(description="Counts by the camera's name")


class CountsMessage(DeviceMessage, CountedPeriod):
    """Published after each hour and each day of the device's time zone; contains no data about single people."""

    kind: ClassVar[Kind] = "counts"
    model_config = ConfigDict(title="People counted by a device, as published on <prefix>/<device>/counts")

    schema_name: Literal["maskwatch.counts/1"] = schema_field("maskwatch.counts/1")
