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
    """Remove an alert's pictures and its history entry; False if there is no such alert.

    `publishes_crops`: the crop is sent with its alert, and so is kept while the alert is pending.

    Raises:
        CommandError: the crop is not sent yet; nothing was removed.
        CropError: a picture cannot be found or removed; the history entry remains.
        UnavailableError: the history cannot be written; the pictures are gone.
    """
    if history.entry(alert_id) is None:
        return False
    if publishes_crops and history.is_pending(alert_id):
        raise CommandError(
            "the crop of this alert has not been sent yet (mqtt.publish_crops); delete the alert once it was delivered"
        )
    # Pictures first: after a power loss in between, the entry remains and can be deleted again.
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
