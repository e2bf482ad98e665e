"""Reports: writes curves, metrics and example pictures of a face detector's run.

The pages show the worst misses and the most confident false detections.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge_agent.domain import Box
from edge_agent.foreign_text import safe
from edge_agent.vision.images import read_picture
from edge_agent.vision.tensors import cut_region, resize
from training.faces.metrics import SceneDetections, match, report
from training.plotting import new_figure, save_figure, write_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Image
    from training.faces.training_loop import Epoch

MIN_IOU, MIN_FACE_PX = 0.5, 16.0
MIN_SHOWN_SCORE = 0.5
MAX_SHOWN = 48
COLUMNS = 8
TILE_PX = 144
SURROUNDINGS_FRACTION = 1.0
FACE_COLOUR, DETECTION_COLOUR = (80, 220, 80), (60, 60, 240)
STRIP_PX = 16


def write_history(history: Sequence[Epoch], folder: Path) -> None:
    """Write `history.csv`, a line per epoch, and `curves.png`."""
    bands = list(history[0].ap) if history else []
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "learning_rate", "loss", *bands, "seconds"])
        writer.writerows(
            [row.epoch, row.learning_rate, row.loss, *row.ap.values(), round(row.seconds, 1)] for row in history
        )
    figure = new_figure(10, 4)
    losses, precisions = figure.subplots(1, 2)
    epochs = [row.epoch for row in history]
    losses.plot(epochs, [row.loss for row in history])
    losses.set(title="loss", xlabel="epoch")
    for band in bands:
        precisions.plot(epochs, [row.ap[band] for row in history], label=band)
    precisions.set(title="average precision on validation scenes", xlabel="epoch")
    if bands:
        precisions.legend()
    for axes in (losses, precisions):
        axes.grid(alpha=0.3)
    save_figure(figure, folder / "curves.png")


def write_reports(all_detections: Sequence[SceneDetections], folder: Path) -> dict[str, Any]:
    """Write `report.json` and `report.txt`: all validation scenes together, and by source."""
    reports = {"all": report(all_detections)}
    for source in sorted({detections.scene.source for detections in all_detections}):
        reports[source] = report([detections for detections in all_detections if detections.scene.source == source])
    lines = [f"{'source':<16}" + "".join(f"{band:>14}" for band in reports["all"])]
    lines += [
        f"{safe(name):<16}" + "".join(f"{value:>14.4f}" for value in values.values())
        for name, values in reports.items()
    ]
    (folder / "report.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")
    return reports


def draw_misses(all_detections: Sequence[SceneDetections], path: Path) -> None:
    """Draw the missed faces, largest first: annotations green, detections red."""
    missed: list[tuple[float, SceneDetections, NDArray[np.float32], str]] = []
    for detections in all_detections:
        matched = match(detections, min_iou=MIN_IOU, min_face_px=MIN_FACE_PX)
        for box in detections.scene.faces[matched.large & ~matched.found]:
            side = min(box[2] - box[0], box[3] - box[1])
            missed.append((float(side), detections, box, f"{side:.0f} px"))
    _draw_page(missed, path)


def draw_false_detections(all_detections: Sequence[SceneDetections], path: Path) -> None:
    """Draw the false detections, highest score first: annotations green, detections red."""
    wrong: list[tuple[float, SceneDetections, NDArray[np.float32], str]] = []
    for detections in all_detections:
        matched = match(detections, min_iou=MIN_IOU, min_face_px=MIN_FACE_PX)
        for index in np.flatnonzero(matched.counted & ~matched.hits):
            score = float(detections.scores[index])
            wrong.append((score, detections, detections.boxes[index], f"{score:.2f}"))
    _draw_page(wrong, path)


def _draw_page(cases: list[tuple[float, SceneDetections, NDArray[np.float32], str]], path: Path) -> None:
    worst = sorted(cases, key=lambda case: -case[0])[:MAX_SHOWN]
    tiles = [_tile(detections, box, f"{caption} {detections.scene.path.stem}") for _, detections, box, caption in worst]
    blank = np.full((TILE_PX + STRIP_PX, TILE_PX, 3), 255, np.uint8)
    tiles += [blank] * (-len(tiles) % COLUMNS or (0 if tiles else COLUMNS))
    rows = [np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)]
    write_picture(path, np.vstack(rows))


def _tile(detections: SceneDetections, box: NDArray[np.float32], caption: str) -> Image:
    """A box with its surroundings, all annotations, and the detections with a score above one half."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = max(box[2] - box[0], box[3] - box[1]) * (0.5 + SURROUNDINGS_FRACTION)
    region = Box(float(x - half), float(y - half), float(x + half), float(y + half))
    tile = resize(cut_region(read_picture(detections.scene.path), region), width_px=TILE_PX, height_px=TILE_PX)
    scale = TILE_PX / max(region.width_px, 1.0)
    confident = [
        found for found, score in zip(detections.boxes, detections.scores, strict=True) if score >= MIN_SHOWN_SCORE
    ]
    for colour, boxes in ((FACE_COLOUR, detections.scene.faces), (DETECTION_COLOUR, [*confident, box])):
        for values in boxes:
            x1, y1, x2, y2 = np.rint((values - np.tile([region.x1, region.y1], 2)) * scale).astype(int).tolist()
            cv2.rectangle(tile, (x1, y1), (x2, y2), colour, 1)
    strip = np.full((STRIP_PX, TILE_PX, 3), 255, np.uint8)
    cv2.putText(strip, caption[:24], (2, STRIP_PX - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([tile, strip])
