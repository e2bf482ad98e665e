"""Probe message: tests the permission to publish. Subscribers ignore it by its `schema`."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from edge_agent.messages.message import Message, Timestamp, schema_field


class ProbeMessage(Message):
    """Published by `edge-agent doctor` on every topic of the device to check whether the broker accepts it."""

    model_config = ConfigDict(title="A message without content, with which the doctor checks the access list")

    schema_name: Literal["maskwatch.probe/1"] = schema_field("maskwatch.probe/1")
    when: Timestamp = Field(description="Time of sending")
