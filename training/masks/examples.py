"""Examples: which faces are there to learn from, where do they lie, and what are they?

An example is one face of one picture with its label. Class folders give whole pictures or the face found in them,
COCO scenes give their annotated boxes, and folders of one label give every face found. Pictures of a `test` split
are refused: what a model is judged by must never be learnt.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from edge_agent.domain import LABELS, Box, Image, Label
from edge_agent.errors import ConfigError, PictureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

FOLDER_NAMES: dict[str, Label] = {
    "with_mask": "with_mask",
    "without_mask": "without_mask",
    "mask_worn_incorrectly": "mask_worn_incorrectly",
    "mask_weared_incorrect": "mask_worn_incorrectly",
    "WithMask": "with_mask",
    "WithoutMask": "without_mask",
    "mask": "with_mask",
    "no_mask": "without_mask",
}
"""How the well-known data sets spell the labels in the names of their folders."""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled face. `box` is None where the whole picture is the face."""

    path: Path
    label: Label
    source: str
    box: Box | None = None


def read_picture(path: Path) -> Image:
    """Read a picture: BGR, uint8.

    Raises:
        PictureError: the file is missing or no picture.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise PictureError(f"{path}: cannot be read: {error.strerror}") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise PictureError(f"{path}: not a picture, or cut off")
    return np.asarray(image, np.uint8)


def list_pictures(folder: Path) -> list[Path]:
    """Every picture below a folder, by suffix, in the order of their names.

    Raises:
        ConfigError: the folder is missing.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; correct the path in the recipe")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def from_class_folders(folder: Path, *, source: str, labels: Sequence[Label] = LABELS) -> list[Example]:
    """Examples of a folder with one folder per label; each picture is one face.

    Raises:
        ConfigError: no folder of a label, a folder without pictures, one label only, or a test split.
    """
    _refuse_test_split(folder)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; correct the path in the recipe")
    found = {child: FOLDER_NAMES[child.name] for child in sorted(folder.iterdir()) if child.name in FOLDER_NAMES}
    wanted = {child: label for child, label in found.items() if label in labels}
    if not wanted:
        raise ConfigError(
            f"{folder}: holds none of the folders {', '.join(labels)}; name one folder per label, "
            "or give the folder as 'faces' with one label"
        )
    examples: list[Example] = []
    for child, label in wanted.items():
        pictures = list_pictures(child)
        if not pictures:
            raise ConfigError(f"{child}: no pictures ({', '.join(SUFFIXES)}); fill the folder or take it away")
        examples += [Example(path, label, source) for path in pictures]
    if len(set(found.values())) == 1:
        only = next(iter(wanted.values()))
        raise ConfigError(
            f"{folder}: pictures of '{only}' only; two labels at least are needed to tell them apart, "
            "or give the folder as 'faces' with one label"
        )
    return examples


def from_one_label(folder: Path, *, label: Label, source: str) -> list[Example]:
    """Examples of a folder where every face wears its mask the same way.

    Raises:
        ConfigError: the folder is missing or has no pictures, or is a test split.
    """
    _refuse_test_split(folder)
    pictures = list_pictures(folder)
    if not pictures:
        raise ConfigError(
            f"{folder}: no pictures ({', '.join(SUFFIXES)}); fill the folder or take it out of the recipe"
        )
    return [Example(path, label, source) for path in pictures]


def from_scenes(
    annotations: Path,
    *,
    sources: Iterable[str] = (),
    splits: Iterable[str] = ("train",),
    smallest_px: float = 0.0,
    labels: Sequence[Label] = LABELS,
) -> list[Example]:
    """Annotated faces of COCO scenes; pictures without a `source` or `split` count as the file's stem and `train`.

    Raises:
        ConfigError: the file is missing or not COCO, asks for a test split, or leaves no face.
    """
    if "test" in splits:
        raise ConfigError(f"{annotations}: the 'test' split is for judging only; train on other splits")
    return list(read_scenes(annotations, sources=sources, splits=splits, smallest_px=smallest_px, labels=labels))


def read_scenes(
    annotations: Path,
    *,
    sources: Iterable[str],
    splits: Iterable[str],
    smallest_px: float,
    labels: Sequence[Label] = LABELS,
) -> list[Example]:
    """Annotated faces of COCO scenes, any split; for judging as well as for training.

    Raises:
        ConfigError: the file is missing or not COCO, or leaves no face.
    """
    try:
        content = json.loads(annotations.read_text(encoding="utf-8"))
        names = {int(one["id"]): str(one["name"]) for one in content["categories"]}
        images = {int(one["id"]): one for one in content["images"]}
        boxes = [(int(one["image_id"]), names[int(one["category_id"])], one["bbox"]) for one in content["annotations"]]
    except FileNotFoundError as error:
        raise ConfigError(f"{annotations}: no such file; correct the path in the recipe") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{annotations}: not a COCO file of faces: {error!r}") from error
    wanted_sources, wanted_splits = set(sources), set(splits)
    examples = []
    for image_id, name, (x, y, width, height) in boxes:
        image = images.get(image_id)
        if image is None or name not in labels:
            continue
        source = str(image.get("source", annotations.parent.name))
        chosen = (not wanted_sources or source in wanted_sources) and image.get("split", "train") in wanted_splits
        box = Box(x, y, x + width, y + height)
        if chosen and box.shorter_side_px >= max(smallest_px, 1.0):
            path = annotations.parent / str(image["file_name"])
            examples.append(Example(path, cast("Label", name), source, box))
    if not examples:
        raise ConfigError(
            f"{annotations}: no face of {', '.join(labels)} with sources {sorted(wanted_sources) or 'any'}, "
            f"splits {sorted(wanted_splits)} and {smallest_px:g} px or more"
        )
    return examples


def count_labels(examples: Iterable[Example]) -> Mapping[Label, int]:
    """How many examples of each label, in the order of LABELS; labels without any are left out."""
    counts = dict.fromkeys(LABELS, 0)
    for example in examples:
        counts[example.label] += 1
    return {label: count for label, count in counts.items() if count}


def _refuse_test_split(folder: Path) -> None:
    if folder.name == "test":
        raise ConfigError(f"{folder}: a test split is for judging only; train on other splits")
