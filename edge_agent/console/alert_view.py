"""Alert view: an alert of the history as JSON, and whether its pictures still exist."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edge_agent.alerts.crops import find_crop, find_scene
from edge_agent.messages.alert import with_crop_name

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.alerts.history import HistoryEntry

CropState: TypeAlias = Literal["there", "encrypted", "gone", "none"]
SceneState: TypeAlias = Literal["there", "encrypted", "none"]

ALERT_ID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
LLR_DIGITS = 4
FROM_THE_MESSAGE = ("id", "camera", "label", "score", "readings", "when", "first_seen", "box", "frame_size")


def alert_as_json(entry: HistoryEntry, crops_folder: Path) -> dict[str, Any]:
    """An alert as in a list; reads from the disk whether its pictures exist."""
    message, resolved = entry.message, entry.resolved
    return {
        **{key: message[key] for key in FROM_THE_MESSAGE},
        "review": entry.review,
        "is_false_alarm": entry.is_false_alarm,
        "resolved": {key: resolved[key] for key in ("when", "reason", "duration_seconds")} if resolved else None,
        "crop": crop_state(entry, crops_folder),
        "scene": scene_state(entry, crops_folder),
    }


def alert_in_detail(entry: HistoryEntry, crops_folder: Path) -> dict[str, Any]:
    """An alert with its timeline and the published message."""
    timeline = entry.timeline()
    return {
        **alert_as_json(entry, crops_folder),
        "violation_llr": round(timeline.violation_llr, LLR_DIGITS),
        "compliant_llr": round(timeline.compliant_llr, LLR_DIGITS),
        "timeline": [asdict(point) for point in timeline.points],
        "message": with_crop_name(dict(entry.message)),
    }


def crop_state(entry: HistoryEntry, crops_folder: Path) -> CropState:
    """Whether the crop of an alert still exists."""
    return _state(find_crop(crops_folder, entry.id)) or ("gone" if entry.message["crop"] else "none")


def scene_state(entry: HistoryEntry, crops_folder: Path) -> SceneState:
    """Whether the scene of an alert exists; the history does not record whether there ever was one."""
    return _state(find_scene(crops_folder, entry.id)) or "none"


def _state(file: Path | None) -> Literal["there", "encrypted"] | None:
    if file is None:
        return None
    return "encrypted" if file.suffix == ".age" else "there"
