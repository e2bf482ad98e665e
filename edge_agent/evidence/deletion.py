"""Deletion: how does everything go that is kept of an alert, once a person wants it to?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.durable import sync_folder
from edge_agent.errors import CommandError, CropError
from edge_agent.evidence.crops import find_crop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.evidence.album import Album


def delete_alert(alert_id: str, *, album: Album, crops_folder: Path, is_owed: Callable[[str], bool]) -> bool:
    """Remove the picture of an alert and what the album knows of it; False where the album has no such alert.

    `is_owed` tells whether the picture of an alert is still to be sent.

    Raises:
        CommandError: it is, and so nothing was removed.
        CropError: the picture cannot be removed; the album still knows of it.
        UnavailableError: the album takes nothing; the picture is gone.
    """
    if album.entry(alert_id) is None:
        return False
    if is_owed(alert_id):
        raise CommandError(
            "the picture of this alert still waits to be sent to the broker (mqtt.crops); delete it once that has it"
        )
    # The picture first: what remains when the power goes in between can be found, and deleted again.
    crop = find_crop(crops_folder, alert_id)
    if crop is not None:
        try:
            crop.unlink(missing_ok=True)
            sync_folder(crops_folder)
        except OSError as error:
            raise CropError(
                f"{crop}: cannot be removed: {error.strerror}; the agent needs write access to {crops_folder}"
            ) from error
    return album.remove(alert_id)
