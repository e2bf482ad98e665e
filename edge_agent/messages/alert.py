"""Alert message: a person in violation."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field

from edge_agent.domain import Label  # noqa: TC001  (pydantic reads it)
from edge_agent.messages.message import Count, Kind, Name, Part, QueuedMessage, Sha256, Timestamp

SCHEMA: Final = "maskwatch.alert/1"


class CropFile(Part):
    """The picture of an alert on the device."""

    file: Name = Field(
        description="Name in the folder of crops, or absolute path where mqtt.publish_crop_paths is set; ends in .age "
        "where it is encrypted"
    )
    sha256: Sha256
    bytes: int = Field(ge=1)


class Model(Part):
    """A model by its name and the hash of its file."""

    name: Name
    sha256: Sha256


def _an_error_or_a_crop(schema: dict[str, Any]) -> None:
    """Say in the schema that there is a reason exactly where there is no crop."""
    schema["required"].remove("crop_error")
    schema["if"] = {"properties": {"crop": {"type": "null"}}}
    schema["then"] = {"required": ["crop_error"]}
    schema["else"] = {"not": {"required": ["crop_error"]}}


class AlertMessage(QueuedMessage):
    """Delivery is at least once: `id` tells duplicates, `boot_id` with `sequence` shows gaps."""

    kind: ClassVar[Kind] = "alert"
    model_config = ConfigDict(
        title="An alert, as published on <prefix>/<device>/alerts", json_schema_extra=_an_error_or_a_crop
    )

    schema_name: Literal["maskwatch.alert/1"] = Field(
        default=SCHEMA, alias="schema", description="Name and version of this format"
    )
    camera: Name = Field(description="The camera's name in the configuration")
    device_title: str = Field(default="", description="What people call the device; its name where it has no title")
    camera_title: str = Field(default="", description="What people call the camera; its name where it has no title")
    label: Label = Field(description="What the readings of this person agree on")
    score: float = Field(ge=0, le=1, description="How sure, 0 to 1")
    readings: int = Field(ge=1, description="How many frames the mask was classified in")
    suppressed: Count = Field(
        description="Violations of this camera since its last alert that quiet hours, cool-down or limit held back "
        "until they were over"
    )
    first_seen: Timestamp = Field(description="When this person was first seen")
    box: tuple[int, int, int, int] = Field(
        description="The face as x1, y1, x2, y2 in pixels of the frame; may reach outside of it"
    )
    frame_size: tuple[int, int] = Field(description="Width and height of the frame in pixels")
    crop: CropFile | None = Field(description="The picture on the device; null where there is none")
    crop_error: str = Field(
        default="", min_length=1, description="Why there is no crop; present only where `crop` is null"
    )
    model: Model = Field(description="The mask classifier that decided")

    def as_json(self) -> dict[str, Any]:
        """The JSON object that goes over the wire."""
        content = super().as_json()
        if self.crop is not None:
            del content["crop_error"]
        return content


def with_crop_name(content: dict[str, Any]) -> dict[str, Any]:
    """Give a message as it leaves the device: the name of its picture, and nothing of the folders here."""
    crop = content.get("crop")
    return {**content, "crop": {**crop, "file": PurePath(crop["file"]).name}} if crop else content
