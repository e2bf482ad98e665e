"""Exploration: summarises a data set before training."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from edge_agent.domain import LABELS, Box, Class, Image
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from training.label_names import label_of
from training.masks.examples import Example, list_pictures, read_scenes, with_pictures
from training.masks.jitter import FaceCropper
from training.masks.split import duplicate_groups, perceptual_hash
from training.plotting import require_picture_format, write_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SIZE_BANDS_PX = ((0, 16), (16, 32), (32, 64), (64, 1 << 16))
SHEET_COLUMNS = 12
SHEET_ROWS_PER_LABEL = 3
TILE = FaceCropper(margin_fraction=0.25, input_px=96)
MAX_LISTED = 20
MAX_NAMED = 4


@dataclass(slots=True)
class _Statistics:
    """Intermediate results: sides by face number, hashes by picture, tiles for the contact sheet."""

    sides: dict[int, float] = field(default_factory=dict)
    hashes: dict[Path, NDArray[np.uint8]] = field(default_factory=dict)
    tiles: dict[Class, list[Image]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def explore(dataset: Path, *, output: Path | None, duplicate_bits: int) -> str:
    """Summarise class folders or a COCO file as text; `output` gets a contact sheet.

    Raises:
        ConfigError: there are no readable faces, or `output` has a suffix of no format.
    """
    if output is not None:
        require_picture_format(output)
    examples = _examples(dataset)
    statistics = _collect_statistics(examples)
    if not statistics.sides:
        raise ConfigError(
            f"{dataset}: none of its {len(examples)} faces can be read; the first: {statistics.unreadable[0]}"
        )
    if output is not None:
        _write_sheet(statistics.tiles, output)
    groups = duplicate_groups(np.array(list(statistics.hashes.values())), duplicate_bits=duplicate_bits)
    parts = [
        _counts([examples[number] for number in statistics.sides]),
        _sizes(examples, statistics.sides),
        _duplicates(list(statistics.hashes), groups.tolist()),
    ]
    if statistics.unreadable:
        lines = "\n  ".join(map(safe, statistics.unreadable[:MAX_LISTED]))
        parts.append(f"{len(statistics.unreadable)} pictures cannot be read:\n  {lines}")
    return "\n\n".join(parts)


def _collect_statistics(examples: Sequence[Example]) -> _Statistics:
    """Open every picture once; faces of one picture are adjacent."""
    statistics = _Statistics()
    on_sheet = _choose_for_sheet(examples)
    progress = tqdm(enumerate(examples), total=len(examples), desc="reading", unit="face", disable=None)
    pictures = with_pictures(progress, unreadable=statistics.unreadable, path_of=lambda item: item[1].path)
    for (number, example), image in pictures:
        if example.path not in statistics.hashes:
            statistics.hashes[example.path] = perceptual_hash(image)
        box = example.box or Box(0, 0, image.shape[1], image.shape[0])
        statistics.sides[number] = box.shorter_side_px
        if number in on_sheet:
            tile = TILE.crop(image, box, whole=example.box is None)
            statistics.tiles.setdefault(example.label, []).append(tile)
    return statistics


def _examples(dataset: Path) -> list[Example]:
    """Faces of any split: exploring is not training."""
    if dataset.is_file():
        examples = read_scenes(dataset, splits=())
        return sorted(examples, key=lambda example: str(example.path))
    labelled = [(path, label_of(path.parent.name)) for path in list_pictures(dataset)]
    examples = [Example(path, label, path.parent.parent.name) for path, label in labelled if label is not None]
    if not examples:
        raise ConfigError(f"{dataset}: no pictures in folders named after a label ({', '.join(LABELS)})")
    return examples


def _choose_for_sheet(examples: Sequence[Example]) -> set[int]:
    """Faces for the contact sheet, evenly spread over each label."""
    chosen: set[int] = set()
    for label in LABELS:
        numbers = [number for number, example in enumerate(examples) if example.label == label]
        indices = np.linspace(0, len(numbers) - 1, min(len(numbers), SHEET_COLUMNS * SHEET_ROWS_PER_LABEL))
        chosen.update(numbers[int(index)] for index in indices)
    return chosen


def _counts(examples: Sequence[Example]) -> str:
    counts = Counter((example.source, example.label) for example in examples)
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
    for group, count in counts.most_common(MAX_LISTED):
        if count > 1:
            members = [safe(path.name) for path, number in zip(paths, groups, strict=True) if number == group]
            lines.append(f"  {count:>4} alike: {', '.join(members[:MAX_NAMED])}{' ...' if count > MAX_NAMED else ''}")
    return "\n".join(lines)


def _write_sheet(tiles: dict[Class, list[Image]], output: Path) -> None:
    rows = []
    for label in LABELS:
        of_label = tiles.get(label, [])
        for start in range(0, len(of_label), SHEET_COLUMNS):
            row = of_label[start : start + SHEET_COLUMNS]
            row += [np.zeros_like(row[0])] * (SHEET_COLUMNS - len(row))
            rows.append(np.hstack(row))
    output.parent.mkdir(parents=True, exist_ok=True)
    write_picture(output, np.vstack(rows)[..., ::-1])
