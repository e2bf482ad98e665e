"""Deletion: removes everything stored about an alert."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.alerts.crops import find_crop, find_scene
from edge_agent.errors import CommandError, CropError
from edge_agent.host.atomic_files import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.alerts.history import AlertHistory


def delete_alert(alert_id: str, *, history: AlertHistory, crops_folder: Path, publishes_crops: bool) -> bool:
    """Remove the pictures of an alert and what the history knows of it; False where that has no such alert.

    `publishes_crops`: the crop of an alert is sent with it, and so stays while its alert is pending.

    Raises:
        CommandError: the crop is still to be sent, and so nothing was removed.
        CropError: a picture cannot be removed; the history still knows of it.
        UnavailableError: the history takes nothing; the pictures are gone.
    """
    if history.entry(alert_id) is None:
        return False
    if publishes_crops and history.is_pending(alert_id):
        raise CommandError(
            "the crop of this alert still waits to be sent (mqtt.publish_crops); delete it once the broker has it"
        )
    # The pictures first: what remains when the power goes in between can be found, and deleted again.
    for picture in (find_scene(crops_folder, alert_id), find_crop(crops_folder, alert_id)):
        if picture is None:
            continue
        try:
            picture.unlink(missing_ok=True)
            sync_folder(crops_folder)
        except OSError as error:
            raise CropError(
                f"{picture}: cannot be removed: {error.strerror}; the agent needs write access to {crops_folder}"
            ) from error
    return history.remove(alert_id)
