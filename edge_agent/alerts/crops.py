"""Crops: stores the pictures of alerts, each complete or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import cv2

from edge_agent.alerts.anonymise import without_faces
from edge_agent.alerts.encryption import open_encryption
from edge_agent.errors import ConfigError, CropError
from edge_agent.host.atomic_files import UNFINISHED, is_there, make_folder, write_whole
from edge_agent.messages.alert import CropFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edge_agent.config.model import CropsConfig
    from edge_agent.domain import Box, Frame, Image, Reading

# Faces are personal data: not readable by all users.
FILE_MODE = 0o640
# Alert id and kind of picture. The folder may also contain files of the user.
CROP_NAME = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.scene)?\.jpg(\.age)?\Z")


def find_crop(folder: Path, alert_id: str) -> Path | None:
    """Find the crop of an alert, encrypted or not; None if there is none, or the id is invalid.

    Raises:
        CropError: the folder cannot be accessed.
    """
    return _find(folder, f"{alert_id}.jpg")


def find_scene(folder: Path, alert_id: str) -> Path | None:
    """Find the scene of an alert, as `find_crop`."""
    return _find(folder, f"{alert_id}.scene.jpg")


def _find(folder: Path, name: str) -> Path | None:
    files = [folder / candidate for candidate in (name, f"{name}.age") if CROP_NAME.match(candidate)]
    try:
        return next((file for file in files if is_there(file)), None)
    except OSError as error:
        raise CropError(f"{folder}: cannot be read: {error.strerror}; the agent needs access to it") from error


class Crops:
    """A folder of crops and scenes, one JPEG each per alert, named by its id. Written by one thread."""

    def __init__(self, folder: Path, config: CropsConfig) -> None:
        """Use a folder, which need not exist yet, and delete files that a power loss left incomplete.

        Raises:
            ConfigError: pictures cannot be encrypted as configured, or the folder's name is not UTF-8, as messages are.
        """
        self.folder, self._config = folder, config
        try:
            str(folder.absolute()).encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"{folder}: its path is not UTF-8; choose another folder for the crops") from error
        self._keeps_none = config.picture == "none"
        self._encrypt = open_encryption(() if self._keeps_none else config.encrypt_for)
        self._suffix = ".age" if config.encrypt_for else ""
        # If this fails, `save` reports the reason.
        with suppress(OSError):
            for leftover in folder.glob(UNFINISHED.format(name="*")):
                leftover.unlink()

    def save(self, alert_id: str, cutout: Image) -> CropFile:
        """Store a picture (BGR, uint8); it survives a power loss once this returns.

        Raises:
            CropError: it cannot be encoded or written; nothing is left behind.
        """
        return self._keep(f"{alert_id}.jpg", self._encoded(cutout))

    def keep_reading(self, alert_id: str, reading: Reading) -> CropFile | None:
        """Store the cutout of a reading, with the faces of bystanders hidden if configured.

        None: `crops.picture` is none.

        Raises:
            CropError: it cannot be encoded or written; nothing is left behind.
        """
        if self._keeps_none:
            return None
        cutout = reading.cutout
        if self._config.blur_bystanders and reading.bystanders:
            cutout = without_faces(cutout, reading.bystanders, except_for=reading.face_in_cutout)
        return self.save(alert_id, cutout)

    def keep_frame(self, picture_id: str, frame: Frame, *, faces: Iterable[Box]) -> CropFile | None:
        """Store a whole frame, as `keep_reading`. It belongs to no alert, so all people in it are bystanders."""
        if self._keeps_none:
            return None
        return self.save(picture_id, without_faces(frame.image, faces if self._config.blur_bystanders else ()))

    def keep_scene(self, alert_id: str, scene: bytes) -> CropFile:
        """Store the scene of an alert, a JPEG in which bystanders are already hidden.

        Raises:
            CropError: it cannot be written; nothing is left behind.
        """
        return self._keep(f"{alert_id}.scene.jpg", scene)

    def _keep(self, name: str, jpeg: bytes) -> CropFile:
        # Encrypted in memory, so that the plain picture never reaches the disk.
        content = self._encrypt(jpeg)
        path = self.folder.absolute() / f"{name}{self._suffix}"
        try:
            make_folder(self.folder)
            self._leave_room(len(content))
            write_whole(path, content, mode=FILE_MODE)
        except OSError as error:
            raise CropError(
                f"{path}: the crop cannot be kept: {error.strerror}; crops.dir needs to be a writable folder "
                "with free space"
            ) from error
        return CropFile(file=str(path), sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))

    def _leave_room(self, size_bytes: int) -> None:
        """Check that the disk keeps its reserve: the store needs it for alerts, which matter more."""
        free_bytes = shutil.disk_usage(self.folder).free
        keep_free_bytes = self._config.keep_free_bytes
        if free_bytes - size_bytes < keep_free_bytes:
            reason = f"{free_bytes} bytes are free and crops.keep_free_bytes is {keep_free_bytes}"
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {reason}")

    def _encoded(self, cutout: Image) -> bytes:
        try:
            _, content = cv2.imencode(".jpg", cutout, [cv2.IMWRITE_JPEG_QUALITY, self._config.jpeg_quality])
        except cv2.error as error:
            raise CropError(
                f"{self.folder}: a picture of shape {cutout.shape} cannot be encoded as JPEG; please report this"
            ) from error
        return content.tobytes()
