"""Scenes: selects the training and validation pictures of a detector's run, with their faces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import numpy as np
from tqdm import tqdm

from edge_agent.errors import ConfigError, PictureError
from edge_agent.foreign_text import safe
from edge_agent.vision.images import read_picture
from training.faces.boxes import fraction_inside, pairwise_iou
from training.masks.examples import list_pictures, read_corrections, read_ignored, read_scenes
from training.masks.split import choose_held_out, duplicate_groups, hashes_of_test_sets, perceptual_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Image
    from training.faces.recipe import DataRecipe, FaceRecipe, StyleRecipe

    Boxes: TypeAlias = NDArray[np.float32]
    Teacher: TypeAlias = Callable[[Image, Path], tuple[Boxes, NDArray[np.float32]]]

MATCHING_IOU = 0.2
"""A teacher's detection with this overlap (IoU) is the annotated face, whatever the box style."""
PART_FRACTION = 0.5
"""A detection with this fraction inside an annotated face is part of it, and must not be detected."""

_T = TypeVar("_T")

Split: TypeAlias = Literal["train", "validation", "excluded"]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture with its faces: boxes as x1, y1, x2, y2 in its pixels, shape (n, 4), float32."""

    path: Path
    source: str
    faces: Boxes
    ignored: Boxes
    """Regions with possible unannotated faces, ignored by the loss."""
    sampling_probability: float
    """Sums to 1 over the training scenes."""
    annotated: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class SceneSet:
    """The training and validation scenes of a run."""

    train: tuple[Scene, ...]
    validation: tuple[Scene, ...]
    unreadable: tuple[str, ...]
    excluded: int
    """Pictures excluded because they, or near-duplicates, are used for evaluation elsewhere."""

    def table(self) -> str:
        """Pictures and faces by source and split, as text."""
        lines = [f"{'source':<24} {'training':>8} {'faces':>7} {'ignored':>8} {'validation':>10} {'faces':>7}"]
        for source in sorted({scene.source for scene in (*self.train, *self.validation)}):
            train = [scene for scene in self.train if scene.source == source]
            validation = [scene for scene in self.validation if scene.source == source]
            lines.append(
                f"{safe(source):<24} {len(train):>8} {sum(len(scene.faces) for scene in train):>7} "
                f"{sum(len(scene.ignored) for scene in train):>8} {len(validation):>10} "
                f"{sum(len(scene.faces) for scene in validation):>7}"
            )
        if self.excluded:
            lines.append(f"{self.excluded} pictures excluded: they or a near-duplicate are in a test set")
        return "\n".join(lines)


def open_scenes(recipe: FaceRecipe, *, folder: Path, teacher: Teacher | None = None) -> SceneSet:
    """Read all sources of a recipe, apply the teacher to training scenes, group near-duplicates, and split.

    Expensive results are cached in `folder`.

    Raises:
        ConfigError: a source is missing or empty, or there is no annotated face for training or for validation.
    """
    scenes = [(scene, data) for data in recipe.data for scene in _read_source(data)]
    hashes, unreadable = _hash_pictures([scene.path for scene, _ in scenes])
    readable = [(scene, data) for scene, data in scenes if scene.path in hashes]
    splits = _assign_splits(readable, hashes, hashes_of_test_sets(recipe.validation.test_sets, folder=folder), recipe)
    train: list[Scene] = []
    pairs = [(scene, data) for scene, data in readable if splits[scene.path] == "train"]
    for scene, data in tqdm(
        pairs, desc="teacher", unit="picture", disable=True if teacher is None else None, leave=False
    ):
        count = sum(1 for _, other in pairs if other is data)
        if teacher is not None and data.empty is None:
            scene = _with_teacher_detections(scene, recipe, teacher)  # noqa: PLW2901
        if scene.annotated or len(scene.faces):
            train.append(replace(scene, sampling_probability=data.share / count))
    total = sum(scene.sampling_probability for scene in train) or 1.0
    opened = SceneSet(
        tuple(replace(scene, sampling_probability=scene.sampling_probability / total) for scene in train),
        tuple(scene for scene, data in readable if splits[scene.path] == "validation" and not data.labels),
        tuple(unreadable),
        sum(splits[scene.path] == "excluded" for scene, _ in readable),
    )
    for split, part in (("training", opened.train), ("validation", opened.validation)):
        if not any(len(scene.faces) for scene in part):
            raise ConfigError(f"no {split} faces; add annotated pictures, or change validation in the recipe")
    return opened


def converted_to_style(boxes: Boxes, style: StyleRecipe) -> Boxes:
    """Convert boxes from one style to another: shape (n, 4) to the same."""
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    centres = centres + np.array([0, style.down_fraction], np.float32) * sides
    halves = sides * np.array([style.width_factor, style.height_factor], np.float32) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)


def _read_source(data: DataRecipe) -> list[Scene]:
    """The pictures of one source, not opened yet."""
    nothing = np.zeros((0, 4), np.float32)
    if data.scenes is None:
        folder = data.pictures or data.empty
        if folder is None:
            raise AssertionError("checked by the recipe")
        paths = _evenly_spaced(list_pictures(folder), data.max_pictures)
        if not paths:
            raise ConfigError(f"{folder}: no pictures; fill the folder or take it out of the recipe")
        return [Scene(path, folder.name, nothing, nothing, 0.0, annotated=data.empty is not None) for path in paths]
    corrections = read_corrections(data.corrections) if data.corrections else None
    examples = read_scenes(
        data.scenes, sources=data.sources, splits=data.splits, min_face_px=0.0, corrections=corrections
    )
    ignored_boxes = read_ignored(data.scenes, sources=data.sources, splits=data.splits, corrections=corrections)
    scenes = []
    for path, faces in groupby(
        sorted(examples, key=lambda example: str(example.path)), key=lambda example: example.path
    ):
        of_picture = list(faces)
        if data.labels and not any(example.label in data.labels for example in of_picture):
            continue
        boxes = np.array(
            [
                (example.box.x1, example.box.y1, example.box.x2, example.box.y2)
                for example in of_picture
                if example.box is not None
            ],
            np.float32,
        )
        ignored = np.array([(box.x1, box.y1, box.x2, box.y2) for box in ignored_boxes.get(path, ())], np.float32)
        boxes = converted_to_style(boxes, data.style)
        scenes.append(Scene(path, of_picture[0].source, boxes, ignored.reshape(-1, 4), 0.0))
    if not scenes:
        raise ConfigError(f"{data.scenes}: no picture has a face of {', '.join(data.labels)}; correct labels")
    return _evenly_spaced(scenes, data.max_pictures)


def _evenly_spaced(items: list[_T], max_count: int) -> list[_T]:
    """At most `max_count` items of a list, evenly spread."""
    indices = np.linspace(0, len(items) - 1, min(max_count, len(items))).round().astype(int)
    return [items[index] for index in indices]


def _hash_pictures(paths: Sequence[Path]) -> tuple[dict[Path, NDArray[np.uint8]], list[str]]:
    """The hash of every readable picture, and an error for each unreadable one."""
    hashes, unreadable = {}, []
    for path in tqdm(dict.fromkeys(paths), desc="pictures", unit="picture", leave=False, disable=None):
        try:
            hashes[path] = perceptual_hash(read_picture(path))
        except PictureError as error:
            unreadable.append(str(error))
    return hashes, unreadable


def _assign_splits(
    scenes: Sequence[tuple[Scene, DataRecipe]],
    hashes: dict[Path, NDArray[np.uint8]],
    test_hashes: NDArray[np.uint8],
    recipe: FaceRecipe,
) -> dict[Path, Split]:
    """The split of each picture, the same for near-duplicates.

    Near-duplicates of test pictures, whose hashes are `test_hashes`, (n, 8), are excluded.
    """
    validation = recipe.validation
    sources = {scene.path: scene.source for scene, data in scenes if data.scenes is not None}
    paths = list(dict.fromkeys(scene.path for scene, _ in scenes))
    groups = duplicate_groups(
        np.array([*(hashes[path] for path in paths), *test_hashes]).reshape(-1, 8),
        duplicate_bits=validation.duplicate_bits,
    )
    test_groups, groups = set(groups[len(paths) :].tolist()), groups[: len(paths)]
    candidates = [index for index, path in enumerate(paths) if sources.get(path) in validation.sources]
    held_out = choose_held_out(
        groups[candidates],
        [sources[paths[index]] for index in candidates],
        fraction=validation.fraction,
        seed=recipe.seed,
    )
    validation_groups = {int(groups[index]) for index, is_held in zip(candidates, held_out, strict=True) if is_held}
    validation_candidates = set(candidates)
    splits: dict[Path, Split] = {}
    for index, path in enumerate(paths):
        group = int(groups[index])
        if group in test_groups:
            splits[path] = "excluded"
        elif group in validation_groups:
            # Near-duplicates of validation pictures, from sources not used for validation, are excluded.
            splits[path] = "validation" if index in validation_candidates else "excluded"
        else:
            splits[path] = "train"
    return splits


def _with_teacher_detections(scene: Scene, recipe: FaceRecipe, teacher: Teacher) -> Scene:
    """Add a teacher's detections: faces of unannotated pictures, and regions that may not be background."""
    if recipe.teacher is None:
        raise AssertionError("a teacher comes from the recipe")
    boxes, scores = teacher(read_picture(scene.path), scene.path)
    boxes = converted_to_style(boxes, recipe.teacher.style)
    is_confident = scores >= recipe.teacher.pseudo_label_score
    if not scene.annotated:
        return replace(scene, faces=boxes[is_confident], ignored=boxes[~is_confident])
    is_annotated = pairwise_iou(boxes, scene.faces).max(axis=1, initial=0.0) >= MATCHING_IOU
    is_part = fraction_inside(boxes, scene.faces).max(axis=1, initial=0.0) >= PART_FRACTION
    return replace(scene, ignored=np.concatenate([scene.ignored, boxes[~is_annotated & ~is_part]]))
