"""Payload: what do an alert and its end look like on the wire?

Pure: no clock, no I/O. The same shapes are described for others in docs/alert.schema.json and docs/ended.schema.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_agent.domain import timestamp

if TYPE_CHECKING:
    from edge_agent.domain import Alert, Crop, Ended

SCHEMA = "maskwatch.alert/1"
ENDED_SCHEMA = "maskwatch.ended/1"

# Longer than a slow broker takes, shorter than anybody waits to act: older news is history.
HISTORICAL_AFTER_SECONDS = 10.0
# Scores are good for three digits; more would only suggest otherwise.
SCORE_DIGITS = 4
# Milliseconds, like the times it is the difference of.
DURATION_DIGITS = 3


def alert_message(
    alert: Alert,
    *,
    id: str,  # noqa: A002  (the word of the contract)
    device: str,
    boot_id: str,
    clock_synchronised: bool,
    crop: Crop | None,
    crop_error: str = "",
    model_name: str,
    model_sha256: str,
) -> dict[str, Any]:
    """Describe an alert as a JSON object; `sequence` (outbox) and `historical` (at sending) are still missing.

    Where there is no crop, `crop` is null and `crop_error` says why.
    """
    verdict = alert.verdict
    best = verdict.best
    message: dict[str, Any] = {
        "schema": SCHEMA,
        "id": id,
        "device": device,
        "boot_id": boot_id,
        "camera": verdict.track.camera,
        "label": verdict.label,
        "score": round(verdict.score, SCORE_DIGITS),
        "readings": verdict.readings,
        "suppressed": alert.suppressed,
        "first_seen": timestamp(verdict.track.first_seen_when),
        "when": timestamp(alert.when),
        "clock_synchronised": clock_synchronised,
        "box": list(best.track.face.box.as_ints()),
        "frame_size": list(best.frame_size),
        "crop": None,
        "model": {"name": model_name, "sha256": model_sha256},
    }
    if crop is None:
        message["crop_error"] = crop_error or "no picture is kept (evidence.picture: none)"
    else:
        message["crop"] = {"file": crop.file, "sha256": crop.sha256, "bytes": crop.size_bytes}
    return message


def ended_message(
    ended: Ended,
    *,
    id: str,  # noqa: A002  (the word of the contract)
    alert: str,
    device: str,
    boot_id: str,
    clock_synchronised: bool,
) -> dict[str, Any]:
    """Describe the end of the violation that `alert` (an id) told of; `sequence` and `historical` are still missing."""
    return {
        "schema": ENDED_SCHEMA,
        "id": id,
        "alert": alert,
        "device": device,
        "boot_id": boot_id,
        "camera": ended.track.camera,
        "label": ended.label,
        "reason": ended.reason,
        "began": timestamp(ended.began_when),
        "when": timestamp(ended.when),
        "duration_seconds": round(ended.duration_seconds, DURATION_DIGITS),
        "clock_synchronised": clock_synchronised,
    }


def as_sent(message: dict[str, Any], *, waited_seconds: float | None) -> dict[str, Any]:
    """Add to a message what is known only at the moment of sending: whether it is `historical`.

    How long it waited is measured and not the difference of two times of day: a clock may be set in between. None: it
    was put before the machine was started.
    """
    return {**message, "historical": waited_seconds is None or waited_seconds > HISTORICAL_AFTER_SECONDS}
