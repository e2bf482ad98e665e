"""Pictures: stores what the configuration allows of an alert's face, without bystanders, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from edge_agent.alerts.anonymise import own_face, without_faces
from edge_agent.alerts.crops import Crops
from edge_agent.alerts.encryption import open_encryption

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edge_agent.config.model import CropsConfig
    from edge_agent.domain import Box, Crop, Frame, Reading


class NoPictures:
    """Stores no pictures."""

    def keep_reading(self, _picture_id: str, _reading: Reading) -> None:
        """Keep nothing."""

    def keep_scene(self, _picture_id: str, _scene: bytes) -> None:
        """Keep nothing."""

    def keep_frame(self, _picture_id: str, _frame: Frame, *, faces: Iterable[Box]) -> None:
        """Keep nothing."""


class FacePictures:
    """Stores the picture of an alert, with the faces of bystanders hidden if configured."""

    def __init__(self, crops: Crops, *, margin_fraction: float, blur_bystanders: bool) -> None:
        """`margin_fraction` is the margin of the cutouts of readings."""
        self._crops = crops
        self._margin_fraction = margin_fraction
        self._blur_bystanders = blur_bystanders

    def keep_reading(self, picture_id: str, reading: Reading) -> Crop:
        """Store the cutout of a reading.

        Raises:
            CropError: it cannot be encoded or written; nothing is left behind.
        """
        cutout = reading.cutout
        if self._blur_bystanders and reading.bystanders:
            face = own_face(reading, margin_fraction=self._margin_fraction)
            cutout = without_faces(cutout, reading.bystanders, except_for=face)
        return self._crops.save(picture_id, cutout)

    def keep_scene(self, picture_id: str, scene: bytes) -> Crop:
        """Store the scene of an alert, a JPEG in which bystanders are already hidden.

        Raises:
            CropError: it cannot be written; nothing is left behind.
        """
        return self._crops.save_scene(picture_id, scene)

    def keep_frame(self, picture_id: str, frame: Frame, *, faces: Iterable[Box]) -> Crop:
        """Store a whole frame. It belongs to no alert, so all people in it are bystanders.

        Raises:
            CropError: it cannot be encoded or written; nothing is left behind.
        """
        return self._crops.save(picture_id, without_faces(frame.image, faces if self._blur_bystanders else ()))


Pictures: TypeAlias = FacePictures | NoPictures


def open_pictures(folder: Path, config: CropsConfig) -> Pictures:
    """Choose what to store in a folder, which need not exist yet.

    Raises:
        ConfigError: pictures cannot be encrypted as configured.
    """
    match config.picture:
        case "none":
            return NoPictures()
        case "face" | "scene":
            crops = Crops(
                folder,
                jpeg_quality=config.jpeg_quality,
                keep_free_bytes=config.keep_free_bytes,
                encryption=open_encryption(config.encrypt_for),
            )
            return FacePictures(crops, margin_fraction=config.margin_fraction, blur_bystanders=config.blur_bystanders)
