"""Exploring: summarises a data set before training."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from edge_agent.domain import LABELS, Box, Class, Image
from edge_agent.errors import ConfigError, PictureError
from edge_agent.foreign_text import safe
from edge_agent.vision.images import read_picture
from training.label_names import label_of
from training.masks.examples import Example, list_pictures, read_scenes
from training.masks.jitter import View
from training.masks.split import duplicate_groups, perceptual_hash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SIZE_BANDS_PX = ((0, 16), (16, 32), (32, 64), (64, 1 << 16))
SHEET_COLUMNS = 12
SHEET_ROWS_PER_LABEL = 3
TILE = View(margin_fraction=0.25, input_px=96)
LISTED = 20
NAMED = 4


@dataclass(slots=True)
class _Look:
    """Intermediate results: sides by face number, hashes by picture, tiles for the contact sheet."""

    sides: dict[int, float] = field(default_factory=dict)
    hashes: dict[Path, NDArray[np.uint8]] = field(default_factory=dict)
    tiles: dict[Class, list[Image]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def explore(dataset: Path, *, output: Path | None, duplicate_bits: int) -> str:
    """Summarise class folders or a COCO file as text; `output` gets a contact sheet.

    Raises:
        ConfigError: there are no readable faces.
    """
    examples = _examples(dataset)
    look = _look(examples)
    if not look.sides:
        raise ConfigError(f"{dataset}: none of its {len(examples)} faces can be read; the first: {look.unreadable[0]}")
    if output is not None:
        _write_sheet(look.tiles, output)
    groups = duplicate_groups(np.array(list(look.hashes.values())), duplicate_bits=duplicate_bits)
    parts = [
        _counts([examples[number] for number in look.sides]),
        _sizes(examples, look.sides),
        _duplicates(list(look.hashes), groups.tolist()),
    ]
    if look.unreadable:
        lines = "\n  ".join(map(safe, look.unreadable[:LISTED]))
        parts.append(f"{len(look.unreadable)} pictures cannot be read:\n  {lines}")
    return "\n\n".join(parts)


def _look(examples: Sequence[Example]) -> _Look:
    """Open every picture once; faces of one picture are adjacent."""
    look = _Look()
    shown = _shown(examples)
    by_path = groupby(
        tqdm(enumerate(examples), total=len(examples), desc="looking", unit="face"), lambda one: one[1].path
    )
    for path, faces in by_path:
        try:
            image = read_picture(path)
        except PictureError as error:
            look.unreadable.append(str(error))
            continue
        look.hashes[path] = perceptual_hash(image)
        for number, example in faces:
            box = example.box or Box(0, 0, image.shape[1], image.shape[0])
            look.sides[number] = box.shorter_side_px
            if number in shown:
                tile = TILE.cut(image, box, whole=example.box is None)
                look.tiles.setdefault(example.label, []).append(tile)
    return look


def _examples(dataset: Path) -> list[Example]:
    """Faces of any split: exploring is not training."""
    if dataset.is_file():
        examples = read_scenes(dataset, sources=(), splits=("train", "test"), smallest_px=0)
        return sorted(examples, key=lambda one: str(one.path))
    labelled = [(path, label_of(path.parent.name)) for path in list_pictures(dataset)]
    examples = [Example(path, label, path.parent.parent.name) for path, label in labelled if label is not None]
    if not examples:
        raise ConfigError(f"{dataset}: no pictures in folders named after a label ({', '.join(LABELS)})")
    return examples


def _shown(examples: Sequence[Example]) -> set[int]:
    """Faces for the contact sheet, evenly spread over each label."""
    chosen: set[int] = set()
    for label in LABELS:
        numbers = [number for number, one in enumerate(examples) if one.label == label]
        places = np.linspace(0, len(numbers) - 1, min(len(numbers), SHEET_COLUMNS * SHEET_ROWS_PER_LABEL))
        chosen.update(numbers[int(place)] for place in places)
    return chosen


def _counts(examples: Sequence[Example]) -> str:
    counts = Counter((one.source, one.label) for one in examples)
    lines = [f"{'source':<28} {'label':<24} {'faces':>7}"]
    lines += [f"{safe(source):<28} {label:<24} {count:>7}" for (source, label), count in sorted(counts.items())]
    return "\n".join(lines)


def _sizes(examples: Sequence[Example], sides: dict[int, float]) -> str:
    lines = [
        f"{'shorter side, px':<24} " + " ".join(f"{_band(*band):>8}" for band in SIZE_BANDS_PX) + f" {'median':>8}"
    ]
    for label in LABELS:
        of_label = np.array([side for number, side in sides.items() if examples[number].label == label])
        if of_label.size:
            counts = " ".join(f"{int(((of_label >= low) & (of_label < high)).sum()):>8}" for low, high in SIZE_BANDS_PX)
            lines.append(f"{label:<24} {counts} {np.median(of_label):>8.0f}")
    return "\n".join(lines)


def _band(low: int, high: int) -> str:
    return f"{low}-{high}" if high < SIZE_BANDS_PX[-1][1] else f"{low}+"


def _duplicates(paths: Sequence[Path], groups: Sequence[int]) -> str:
    counts = Counter(groups)
    extra = sum(count - 1 for count in counts.values())
    lines = [f"{len(paths)} pictures, {extra} of them near-duplicates of others"]
    for group, count in counts.most_common(LISTED):
        if count > 1:
            members = [safe(path.name) for path, one in zip(paths, groups, strict=True) if one == group]
            lines.append(f"  {count:>4} alike: {', '.join(members[:NAMED])}{' ...' if count > NAMED else ''}")
    return "\n".join(lines)


def _write_sheet(tiles: dict[Class, list[Image]], output: Path) -> None:
    rows = []
    for label in LABELS:
        of_label = tiles.get(label, [])
        for start in range(0, len(of_label), SHEET_COLUMNS):
            row = of_label[start : start + SHEET_COLUMNS]
            row += [np.zeros_like(row[0])] * (SHEET_COLUMNS - len(row))
            rows.append(np.hstack(row))
    _, data = cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(data.tobytes())
