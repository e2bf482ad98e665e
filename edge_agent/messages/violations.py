"""Violations message: current number of people without a mask at a camera."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from edge_agent.messages.message import Count, Message, Name, Timestamp, schema_field


class ViolationsMessage(Message):
    """Published at every change, and with 0 at the start, retained. Valid only while the device is not offline."""

    model_config = ConfigDict(title="People without a mask at a camera, retained below <prefix>/<device>/cameras/")

    schema_name: Literal["maskwatch.violations/1"] = schema_field("maskwatch.violations/1")
    camera: Name = Field(description="The camera's name, as in the configuration")
    violations: Count = Field(description="Number of alerted people who have neither left nor put on a mask")
    when: Timestamp = Field(description="Time of the change")
