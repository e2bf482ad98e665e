"""Schemas: response models of the API, for its OpenAPI document."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edge_agent.alerts.history import DayCount, Review
from edge_agent.alerts.timeline import TimelinePoint
from edge_agent.console.alert_view import CropState, SceneState
from edge_agent.domain import Label
from edge_agent.messages.alert import AlertMessage
from edge_agent.messages.message import Count


class _Response(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Resolved(_Response):
    """How and when a violation ended."""

    when: str
    reason: Literal["left", "compliant"]
    duration_seconds: float


class Alert(_Response):
    """An alert with its resolution and review."""

    id: str
    camera: str
    label: Label
    score: float
    readings: int
    when: str
    first_seen: str
    box: tuple[int, int, int, int] = Field(description="The face in pixels of its frame")
    frame_size: tuple[int, int]
    review: Review = Field(description="What it shows according to a reviewer; empty: not reviewed")
    is_false_alarm: bool
    resolved: Resolved | None
    crop: CropState = Field(description="The picture; `gone`: removed by age or size, `none`: not stored")
    scene: SceneState = Field(
        description="The whole frame with all other faces hidden; `none`: not stored (crops.picture)"
    )


class AlertDetail(Alert):
    """An alert with its timeline."""

    violation_llr: float = Field(description="Threshold of a violation")
    compliant_llr: float = Field(description="Threshold of a worn mask")
    timeline: list[TimelinePoint]
    message: AlertMessage = Field(description="As published")


class Alerts(_Response):
    """Alerts, the newest first."""

    alerts: list[Alert]
    next: str | None = Field(description="`before` of the next page; null: there are no more")


class PeopleCount(_Response):
    """People of a day, an hour or a camera."""

    of: str = Field(description="The day as YYYY-MM-DD, the start of the hour, or the camera")
    people: Count = Field(description="Total")
    with_mask: Count
    without_mask: Count
    mask_worn_incorrectly: Count
    undecided: Count
    changed: Count = Field(description="People among these whose mask was put on or taken off in view")
    compliance: float | None = Field(description="Share with a mask among decided people; null without any")


class PeopleCounted(_Response):
    """Counts, in order."""

    counts: list[PeopleCount]


class Days(_Response):
    """Alerts by day and label."""

    days: list[DayCount]


class ReviewRequest(_Response):
    """What an alert really shows."""

    review: Review = Field(description="Empty: remove the review")


class Health(_Response):
    """Whether the agent is healthy."""

    ok: bool
    reasons: list[str]
