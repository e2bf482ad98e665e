"""Scenes: selects the training and validation pictures of a run, with their faces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import numpy as np
from tqdm import tqdm

from edge_agent.errors import ConfigError, PictureError
from edge_agent.foreign_text import safe
from edge_agent.vision.images import read_picture
from training.masks.examples import list_pictures, read_corrections, read_ignored, read_scenes
from training.masks.split import choose_held_out, duplicate_groups, hashes_apart, perceptual_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Image
    from training.faces.recipe import DataRecipe, FaceRecipe, StyleRecipe

    Boxes: TypeAlias = NDArray[np.float32]
    Teacher: TypeAlias = Callable[[Image, Path], tuple[Boxes, NDArray[np.float32]]]

MATCHING_OVERLAP = 0.2
"""A teacher's detection with this overlap (IoU) is the annotated face, whatever the box style."""
PART_FRACTION = 0.5
"""A detection with this fraction inside an annotated face is part of it, and must not be detected."""

_T = TypeVar("_T")

Side: TypeAlias = Literal["learnt", "judging", "apart"]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture with its faces: boxes as x1, y1, x2, y2 in its pixels, shape (n, 4), float32."""

    path: Path
    source: str
    faces: Boxes
    ignored: Boxes
    """Regions with possible unannotated faces, ignored by the loss."""
    chance: float
    """Probability of being drawn; sums to 1 over the training scenes."""
    annotated: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class SceneSet:
    """The training and validation scenes of a run."""

    learnt: tuple[Scene, ...]
    judging: tuple[Scene, ...]
    unreadable: tuple[str, ...]
    kept_apart: int
    """Pictures excluded because they, or near-duplicates, are used for evaluation elsewhere."""

    def table(self) -> str:
        """Pictures and faces by source and side of the split, as text."""
        lines = [f"{'source':<24} {'training':>8} {'faces':>7} {'ignored':>8} {'validation':>10} {'faces':>7}"]
        for source in sorted({scene.source for scene in (*self.learnt, *self.judging)}):
            learnt = [scene for scene in self.learnt if scene.source == source]
            judging = [scene for scene in self.judging if scene.source == source]
            lines.append(
                f"{safe(source):<24} {len(learnt):>8} {sum(len(scene.faces) for scene in learnt):>7} "
                f"{sum(len(scene.ignored) for scene in learnt):>8} {len(judging):>10} "
                f"{sum(len(scene.faces) for scene in judging):>7}"
            )
        if self.kept_apart:
            lines.append(f"{self.kept_apart} pictures excluded: they or a near-duplicate are in a test set")
        return "\n".join(lines)


def open_scenes(recipe: FaceRecipe, *, folder: Path, teacher: Teacher | None = None) -> SceneSet:
    """Read all sources of a recipe, apply the teacher to training scenes, group near-duplicates, and split.

    Expensive results are cached in `folder`.

    Raises:
        ConfigError: a source is missing or empty, or one side of the split has no annotated face.
    """
    scenes = [(scene, data) for data in recipe.data for scene in _listed(data)]
    hashes, unreadable = _hashed([scene.path for scene, _ in scenes])
    readable = [(scene, data) for scene, data in scenes if scene.path in hashes]
    sides = _sides(readable, hashes, hashes_apart(recipe.validation.keep_apart, folder=folder), recipe)
    learnt: list[Scene] = []
    pairs = [(scene, data) for scene, data in readable if sides[scene.path] == "learnt"]
    for scene, data in tqdm(pairs, desc="teacher", unit="picture", disable=teacher is None, leave=False):
        count = sum(1 for _, other in pairs if other is data)
        taught = _taught(scene, recipe, teacher) if teacher is not None and data.empty is None else scene
        if taught.annotated or len(taught.faces):
            learnt.append(replace(taught, chance=data.share / count))
    total = sum(scene.chance for scene in learnt) or 1.0
    opened = SceneSet(
        tuple(replace(scene, chance=scene.chance / total) for scene in learnt),
        tuple(scene for scene, _ in readable if sides[scene.path] == "judging"),
        tuple(unreadable),
        sum(sides[scene.path] == "apart" for scene, _ in readable),
    )
    for name, part in (("learn from", opened.learnt), ("validate by", opened.judging)):
        if not any(len(scene.faces) for scene in part):
            raise ConfigError(f"no faces to {name}; add annotated pictures, or change validation in the recipe")
    return opened


def styled(boxes: Boxes, style: StyleRecipe) -> Boxes:
    """Convert boxes from one style to another: shape (n, 4) to the same."""
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    centres = centres + np.array([0, style.down_fraction], np.float32) * sides
    halves = sides * np.array([style.width_factor, style.height_factor], np.float32) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)


def overlaps(ones: Boxes, others: Boxes) -> NDArray[np.float32]:
    """Intersection over union of every pair: (n, 4) and (m, 4) to (n, m)."""
    intersection = _intersections(ones, others)
    union = _areas(ones)[:, None] + _areas(others)[None] - intersection
    return np.asarray(intersection / np.maximum(union, 1e-9), np.float32)


def _shares_inside(ones: Boxes, others: Boxes) -> NDArray[np.float32]:
    """Fraction of each of `ones` that is inside each of `others`: (n, 4) and (m, 4) to (n, m)."""
    return np.asarray(_intersections(ones, others) / np.maximum(_areas(ones), 1e-9)[:, None], np.float32)


def _intersections(ones: Boxes, others: Boxes) -> NDArray[np.float32]:
    shared = np.minimum(ones[:, None, 2:], others[None, :, 2:]) - np.maximum(ones[:, None, :2], others[None, :, :2])
    return np.asarray(np.prod(np.maximum(shared, 0), axis=2), np.float32)


def _areas(boxes: Boxes) -> NDArray[np.float32]:
    return np.asarray(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1), np.float32)


def _listed(data: DataRecipe) -> list[Scene]:
    """The pictures of one source, not opened yet."""
    nothing = np.zeros((0, 4), np.float32)
    if data.scenes is None:
        folder = data.pictures or data.empty
        if folder is None:
            raise AssertionError("checked by the recipe")
        paths = _spread(list_pictures(folder), data.most)
        if not paths:
            raise ConfigError(f"{folder}: no pictures; fill the folder or take it out of the recipe")
        return [Scene(path, folder.name, nothing, nothing, 0.0, annotated=data.empty is not None) for path in paths]
    corrections = read_corrections(data.corrections) if data.corrections else None
    examples = read_scenes(
        data.scenes, sources=data.sources, splits=data.splits, smallest_px=0.0, corrections=corrections
    )
    ignored = read_ignored(data.scenes, sources=data.sources, splits=data.splits, corrections=corrections)
    scenes = []
    for path, faces in groupby(sorted(examples, key=lambda one: str(one.path)), key=lambda one: one.path):
        of_picture = list(faces)
        boxes = np.array(
            [(one.box.x1, one.box.y1, one.box.x2, one.box.y2) for one in of_picture if one.box is not None], np.float32
        )
        undecided = np.array([(box.x1, box.y1, box.x2, box.y2) for box in ignored.get(path, ())], np.float32)
        scenes.append(Scene(path, of_picture[0].source, styled(boxes, data.style), undecided.reshape(-1, 4), 0.0))
    return _spread(scenes, data.most)


def _spread(items: list[_T], most: int) -> list[_T]:
    """At most `most` items of a list, evenly spread."""
    places = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[place] for place in places]


def _hashed(paths: Sequence[Path]) -> tuple[dict[Path, NDArray[np.uint8]], list[str]]:
    """The hash of every readable picture, and an error for each unreadable one."""
    hashes, unreadable = {}, []
    for path in tqdm(dict.fromkeys(paths), desc="pictures", unit="picture", leave=False):
        try:
            hashes[path] = perceptual_hash(read_picture(path))
        except PictureError as error:
            unreadable.append(str(error))
    return hashes, unreadable


def _sides(
    scenes: Sequence[tuple[Scene, DataRecipe]],
    hashes: dict[Path, NDArray[np.uint8]],
    apart: NDArray[np.uint8],
    recipe: FaceRecipe,
) -> dict[Path, Side]:
    """The side of each picture in the split, the same for near-duplicates; those like `apart` (hashes) are excluded."""
    validation = recipe.validation
    sources = {scene.path: scene.source for scene, data in scenes if data.scenes is not None}
    paths = list(dict.fromkeys(scene.path for scene, _ in scenes))
    groups = duplicate_groups(
        np.array([*(hashes[path] for path in paths), *apart]).reshape(-1, 8), duplicate_bits=validation.duplicate_bits
    )
    of_apart, groups = set(groups[len(paths) :].tolist()), groups[: len(paths)]
    candidates = [index for index, path in enumerate(paths) if sources.get(path) in validation.sources]
    held = choose_held_out(
        groups[candidates],
        [sources[paths[index]] for index in candidates],
        fraction=validation.fraction,
        seed=recipe.seed,
    )
    held_groups = {int(groups[index]) for index, is_held in zip(candidates, held, strict=True) if is_held}
    judges = set(candidates)
    sides: dict[Path, Side] = {}
    for index, path in enumerate(paths):
        group = int(groups[index])
        if group in of_apart:
            sides[path] = "apart"
        elif group in held_groups:
            # Near-duplicates of validation pictures, from sources not used for validation, are excluded.
            sides[path] = "judging" if index in judges else "apart"
        else:
            sides[path] = "learnt"
    return sides


def _taught(scene: Scene, recipe: FaceRecipe, teacher: Teacher) -> Scene:
    """Add a teacher's detections: faces of unannotated pictures, and regions that may not be background."""
    if recipe.teacher is None:
        raise AssertionError("a teacher comes from the recipe")
    boxes, scores = teacher(read_picture(scene.path), scene.path)
    boxes = styled(boxes, recipe.teacher.style)
    sure = scores >= recipe.teacher.sure_score
    if not scene.annotated:
        return replace(scene, faces=boxes[sure], ignored=boxes[~sure])
    known = overlaps(boxes, scene.faces).max(axis=1, initial=0.0) >= MATCHING_OVERLAP
    part = _shares_inside(boxes, scene.faces).max(axis=1, initial=0.0) >= PART_FRACTION
    return replace(scene, ignored=np.concatenate([scene.ignored, boxes[~known & ~part]]))
