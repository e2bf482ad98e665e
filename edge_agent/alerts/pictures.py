"""Pictures: stores what the configuration allows of an alert, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from edge_agent.alerts.crops import Crops

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edge_agent.config.model import CropsConfig
    from edge_agent.domain import Box, Frame, Reading


class NoPictures:
    """Stores no pictures."""

    def keep_reading(self, _alert_id: str, _reading: Reading) -> None:
        """Keep nothing."""

    def keep_scene(self, _alert_id: str, _scene: bytes) -> None:
        """Keep nothing."""

    def keep_frame(self, _picture_id: str, _frame: Frame, *, faces: Iterable[Box]) -> None:
        """Keep nothing."""


Pictures: TypeAlias = Crops | NoPictures


def open_pictures(folder: Path, config: CropsConfig) -> Pictures:
    """Choose what to store in a folder, which need not exist yet.

    Raises:
        ConfigError: pictures cannot be encrypted as configured.
    """
    match config.picture:
        case "none":
            return NoPictures()
        case "face" | "scene":
            return Crops(folder, config)
