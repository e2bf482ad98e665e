"""Alert message: a person in violation."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from edge_agent.domain import Label  # noqa: TC001  (pydantic reads it)
from edge_agent.messages.message import CameraMessage, Count, Kind, Name, Part, Sha256, Timestamp, schema_field


class CropFile(Part):
    """The picture of an alert on the device."""

    file: Name = Field(
        description="Name in crops.dir, or absolute path if mqtt.publish_crop_paths is set; ends in .age if encrypted"
    )
    sha256: Sha256
    bytes: int = Field(ge=1)


class Model(Part):
    """Name of a model and hash of its file."""

    name: Name
    sha256: Sha256


def _an_error_or_a_crop(schema: dict[str, Any]) -> None:
    """Require `crop_error` in the schema exactly if `crop` is null."""
    schema["required"].remove("crop_error")
    schema["if"] = {"properties": {"crop": {"type": "null"}}}
    schema["then"] = {"required": ["crop_error"]}
    schema["else"] = {"not": {"required": ["crop_error"]}}


class AlertMessage(CameraMessage):
    """Delivery is at least once: `id` marks duplicates, `boot_id` with `sequence` shows gaps."""

    kind: ClassVar[Kind] = "alert"
    model_config = ConfigDict(
        title="An alert, as published on <prefix>/<device>/alerts", json_schema_extra=_an_error_or_a_crop
    )

    schema_name: Literal["maskwatch.alert/1"] = schema_field("maskwatch.alert/1")
    label: Label = Field(description="The result of this person's readings")
    score: float = Field(ge=0, le=1, description="Score of the label, 0 to 1")
    readings: int = Field(ge=1, description="Number of frames in which the mask was classified")
    suppressed: Count = Field(
        description="Violations of this camera since its last alert that ended while quiet hours, cool-down or limit "
        "allowed no alert"
    )
    first_seen: Timestamp = Field(description="Time at which this person was first detected")
    box: tuple[int, int, int, int] = Field(
        description="The face as x1, y1, x2, y2 in pixels of the frame; may reach outside the frame"
    )
    frame_size: tuple[int, int] = Field(description="Width and height of the frame in pixels")
    crop: CropFile | None = Field(description="The picture on the device; null if there is none")
    crop_error: str = Field(
        default="", min_length=1, description="Why there is no crop; present only if `crop` is null"
    )
    model: Model = Field(description="The mask classifier")

    @model_validator(mode="after")
    def _has_a_crop_or_an_error(self) -> AlertMessage:
        if self.crop is None and not self.crop_error:
            raise ValueError("neither crop nor crop_error is given")
        return self

    def as_json(self) -> dict[str, Any]:
        """The JSON object to publish."""
        content = super().as_json()
        if self.crop is not None:
            del content["crop_error"]
        return content


def with_crop_name(content: dict[str, Any]) -> dict[str, Any]:
    """Replace the path of the picture by its name, because folders of the device are not published."""
    crop = content.get("crop")
    return {**content, "crop": {**crop, "file": PurePath(crop["file"]).name}} if crop else content
