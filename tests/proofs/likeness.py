"""Do two machines detect the same in the same pictures and recordings, and raise the same alerts?

    python -m tests.proofs.likeness REFERENCE OTHER

Each file is the output of `edge-agent detect --json` or `edge-agent replay --json`. Prints the largest differences, and
exits with 1 if one is larger than the kernels of another CPU explain.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.config.model import Config
from edge_agent.domain import Box
from edge_agent.vision.card import GOLDEN_TOLERANCE, read_detector_card

if TYPE_CHECKING:
    from collections.abc import Sequence

# Measured on 76 faces, x86-64 against an emulated Cortex-A72: an edge moved by 0.04 of the face's shorter side at most
# in LiteRT and by 0.12 in tflite-runtime, whose kernels differ more; scores by 0.03 and by 0.05. On x86-64 alone the
# two runtimes differ by 0.07 and by 0.06.
BOX_TOLERANCE_FRACTION = 0.15
"""Tolerance of each edge, as a share of the face's shorter side."""

BOX_TOLERANCE_PX = 2.0
"""Tolerance for small faces: about two rounding steps of the detector's int8 outputs."""

SCORE_TOLERANCE = GOLDEN_TOLERANCE
"""The tolerance of golden vectors, for the same reason."""

ALERT_TOLERANCE_SECONDS = 0.2
"""Three frames of the example: with slightly weaker evidence a decision needs one or two more readings."""

SAME_FACE_OVERLAP = 0.5
"""Intersection over union from which two boxes are one face."""


@dataclass(slots=True)
class Likeness:
    """The largest differences between two machines, and those that are too large."""

    min_score: float
    min_face_px: float
    pictures: int = 0
    faces: int = 0
    small: int = 0
    unclear: int = 0
    cut_off: int = 0
    alerts: int = 0
    box_px: float = 0.0
    face_score: float = 0.0
    label_score: float = 0.0
    alert_seconds: float = 0.0
    errors: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The differences in a line, followed by a line for each problem."""
        parts = []
        if self.pictures:
            parts.append(
                f"{self.faces} faces in {self.pictures} pictures: boxes within {self.box_px:.1f} px, "
                f"face scores within {self.face_score:.3f}, label scores within {self.label_score:.3f}"
                + (f", {self.small} too small for an alert" if self.small else "")
                + (f", {self.unclear} between two labels" if self.unclear else "")
                + (f", {self.cut_off} cut off by the edge" if self.cut_off else "")
            )
        if self.alerts:
            parts.append(f"{self.alerts} alerts, within {self.alert_seconds:.2f} s")
        return "\n".join(["; ".join(parts) or "no faces and no alerts", *self.errors])


def likeness(
    reference: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]], *, min_score: float, min_face_px: float
) -> Likeness:
    """Compare the lines that two machines printed.

    Below a face score of `min_score` a detector reports nothing; faces with a shorter side below `min_face_px` are not
    required, and their labels are not compared: a box that moves by two pixels shows the classifier another picture.
    Faces that a classifier rejects on only one machine are not errors. Of a face that the edge of the
    picture cuts off, the shorter side is what is left of it: the longer one measures its size, and the crop changes
    with its edges, so that the label is compared without its score.
    """
    found = Likeness(min_score=min_score, min_face_px=min_face_px)
    _compare_pictures(_by_name(reference), _by_name(other), found, sizes=_sizes(reference))
    _compare_alerts(_alerts(reference), _alerts(other), found)
    if not (found.faces or found.alerts or found.errors):
        found.errors.append("no face and no alert in either: nothing to compare")
    return found


def _by_name(lines: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]] | None]:
    """The faces of each picture; None if it could not be read."""
    return {Path(line["path"]).name: line.get("faces") for line in lines if "path" in line}


def _sizes(lines: Sequence[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Width and height of each picture that could be read."""
    return {Path(line["path"]).name: (line["width"], line["height"]) for line in lines if line.get("faces")}


def _alerts(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if "at_seconds" in line]


def _compare_pictures(
    reference: dict[str, list[dict[str, Any]] | None],
    other: dict[str, list[dict[str, Any]] | None],
    found: Likeness,
    *,
    sizes: dict[str, tuple[int, int]],
) -> None:
    if reference.keys() != other.keys():
        found.errors.append(f"not the same pictures: {', '.join(sorted(reference.keys() ^ other.keys()))}")
    for name in reference.keys() & other.keys():
        here, there = reference[name], other[name]
        if here is None or there is None:
            found.errors.append(f"{name}: cannot be read {'here' if here is None else 'there'}")
            continue
        found.pictures += 1
        for face in here:
            twin = max(there, key=lambda one: _box(one).overlap(_box(face)), default=None)
            if twin is None or _box(twin).overlap(_box(face)) < SAME_FACE_OVERLAP:
                _report_missing(name, face, "there", found)
                continue
            there = [one for one in there if one is not twin]
            _compare_faces(name, face, twin, found, is_cut_off=_is_cut_off(_box(face), sizes[name]))
        for face in there:
            _report_missing(name, face, "here", found)


def _report_missing(name: str, face: dict[str, Any], where: str, found: Likeness) -> None:
    """Report a missing face of a required size, unless rounding may have lowered its score below the minimum."""
    is_asked_for = _box(face).shorter_side_px >= found.min_face_px
    if is_asked_for and face["face_score"] - found.min_score > SCORE_TOLERANCE:
        found.errors.append(f"{name}: the face at {face['box']}, score {face['face_score']:.2f}, is missing {where}")


def _compare_faces(
    name: str, here: dict[str, Any], there: dict[str, Any], found: Likeness, *, is_cut_off: bool
) -> None:
    found.faces += 1
    found.cut_off += is_cut_off
    box = _box(here)
    side_px = max(box.width_px, box.height_px) if is_cut_off else box.shorter_side_px
    moved_px = max(abs(a - b) for a, b in zip(here["box"], there["box"], strict=True))
    found.box_px = max(found.box_px, moved_px)
    if moved_px > max(BOX_TOLERANCE_PX, BOX_TOLERANCE_FRACTION * side_px):
        found.errors.append(f"{name}: the face at {here['box']} is at {there['box']} there")
    apart = abs(here["face_score"] - there["face_score"])
    found.face_score = max(found.face_score, apart)
    if apart > SCORE_TOLERANCE:
        found.errors.append(f"{name}: the face at {here['box']} has a score that differs by {apart:.3f} there")
    if box.shorter_side_px < found.min_face_px and not is_cut_off:
        found.small += 1
        return
    if not _is_clear(here):
        found.unclear += 1
        return
    apart = 0.0 if is_cut_off else max(abs(score - there["scores"][label]) for label, score in here["scores"].items())
    found.label_score = max(found.label_score, apart)
    if apart > SCORE_TOLERANCE or here["label"] != there["label"]:
        found.errors.append(
            f"{name}: the face at {here['box']} is classified as {there['scores']} instead of {here['scores']}"
        )


def _is_cut_off(box: Box, size: tuple[int, int]) -> bool:
    width, height = size
    return box.x1 <= 0 or box.y1 <= 0 or box.x2 >= width or box.y2 >= height


def _is_clear(face: dict[str, Any]) -> bool:
    """Whether the label stays the same if scores change by their tolerance; between two labels it may change."""
    best, second = sorted(face["scores"].values(), reverse=True)[:2]
    return bool(best - second > 2 * SCORE_TOLERANCE)


def _compare_alerts(here: list[dict[str, Any]], there: list[dict[str, Any]], found: Likeness) -> None:
    if [alert["label"] for alert in here] != [alert["label"] for alert in there]:
        found.errors.append(f"alerts: {_described(there)} instead of {_described(here)}")
        return
    for one, twin in zip(here, there, strict=True):
        found.alerts += 1
        apart = abs(one["at_seconds"] - twin["at_seconds"])
        found.alert_seconds = max(found.alert_seconds, apart)
        if apart > ALERT_TOLERANCE_SECONDS:
            found.errors.append(f"alert: {one['label']} at {twin['at_seconds']} s instead of {one['at_seconds']} s")


def _described(alerts: list[dict[str, Any]]) -> str:
    return ", ".join(f"{alert['label']} at {alert['at_seconds']} s" for alert in alerts) or "none"


def _box(face: dict[str, Any]) -> Box:
    return Box(*face["box"])


def _lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def main() -> int:
    """Compare two files."""
    faces = Config().faces
    card = read_detector_card(faces.card)[0]
    reference, other = (_lines(path) for path in sys.argv[1:3])
    found = likeness(reference, other, min_score=card.min_score, min_face_px=faces.min_face_px)
    sys.stdout.write(f"{found}\n")
    return 1 if found.errors else 0


if __name__ == "__main__":
    sys.exit(main())
