"""Scenes: selects the training and validation pictures of a detector's run, with their faces."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
from tqdm import tqdm

from edge_agent.domain import LABELS, NO_FACE
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from edge_agent.vision.images import read_picture
from training.annotations import read_annotations
from training.coco import CocoFile
from training.faces.boxes import as_array, fraction_inside, pairwise_iou
from training.label_names import class_of, label_of
from training.masks.examples import list_pictures, read_corrections, with_pictures
from training.masks.split import assign_splits, hashes_of_test_sets, perceptual_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Image, Label
    from training.annotations import Correction
    from training.faces.recipe import DataRecipe, FaceRecipe, StyleRecipe

    Boxes: TypeAlias = NDArray[np.float32]
    Teacher: TypeAlias = Callable[[Image, Path], tuple[Boxes, NDArray[np.float32]]]

MATCHING_IOU = 0.2
"""A teacher's detection with this overlap (IoU) is the annotated face, whatever the box style."""
PART_FRACTION = 0.5
"""A detection with this fraction inside an annotated face is part of it, and must not be detected."""

CATEGORY = "face"
"""Of all faces in a run's scenes.json."""

_T = TypeVar("_T")


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
    labels: tuple[Label | None, ...] = ()
    """Of each annotated face; None if unknown."""
    poses: tuple[str | None, ...] = ()
    domain: str | None = None
    drawn_on: Path | None = None
    """The picture that this one shows with a drawing."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneSet:
    """The training and validation scenes of a run."""

    train: tuple[Scene, ...]
    validation: tuple[Scene, ...]
    unreadable: tuple[str, ...]
    excluded: int
    """Pictures excluded because they, near-duplicates, or those they are drawn on, are used for evaluation."""

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
            lines.append(
                f"{self.excluded} pictures excluded: they, a near-duplicate or original are used for evaluation"
            )
        return "\n".join(lines)


def open_scenes(recipe: FaceRecipe, *, folder: Path, teacher: Teacher | None = None) -> SceneSet:
    """Read all sources of a recipe, apply the teacher to training scenes, group near-duplicates, and split.

    Expensive results are cached in `folder`.

    Raises:
        ConfigError: a source is missing or empty, or there is no annotated face for training, for validation or for
            the selection of the best epoch.
    """
    scenes = [(scene, data) for data in recipe.data for scene in _read_source(data)]
    paths = dict.fromkeys(scene.path for scene, _ in scenes)
    progress = tqdm(paths, desc="pictures", unit="picture", leave=False, disable=None)
    unreadable: list[str] = []
    hashes = {
        path: perceptual_hash(image)
        for path, image in with_pictures(progress, unreadable=unreadable, path_of=lambda path: path)
    }
    readable = [(scene, data) for scene, data in scenes if scene.path in hashes]
    splits = assign_splits(
        hashes,
        {
            scene.path: scene.source
            for scene, data in readable
            if data.scenes is not None and scene.source in recipe.validation.sources
        },
        hashes_of_test_sets(recipe.validation.test_sets, folder=folder),
        recipe.validation,
        seed=recipe.seed,
        drawn_on={scene.path: scene.drawn_on for scene, _ in readable if scene.drawn_on is not None},
    )
    pairs = [(scene, data) for scene, data in readable if splits[scene.path] == "train"]
    if teacher is not None:
        pairs = [
            (_with_teacher_detections(scene, data, recipe, teacher), data)
            for scene, data in tqdm(pairs, desc="teacher", unit="picture", disable=None, leave=False)
        ]
    pairs = [(scene, data) for scene, data in pairs if scene.annotated or len(scene.faces)]
    pictures_of = Counter(id(data) for _, data in pairs)
    train = [replace(scene, sampling_probability=data.share / pictures_of[id(data)]) for scene, data in pairs]
    total = sum(scene.sampling_probability for scene in train) or 1.0
    # A picture of two sources, which is drawn more often, still counts once for validation.
    validation = {
        scene.path: scene for scene, data in readable if splits[scene.path] == "validation" and not data.labels
    }
    opened = SceneSet(
        tuple(replace(scene, sampling_probability=scene.sampling_probability / total) for scene in train),
        tuple(validation.values()),
        tuple(unreadable),
        sum(splits[scene.path] == "excluded" for scene, _ in readable),
    )
    for split, part in (("training", opened.train), ("validation", opened.validation)):
        if not any(len(scene.faces) for scene in part):
            raise ConfigError(f"no {split} faces; add annotated pictures, or change validation in the recipe")
    if not any(len(scene.faces) for scene in selection_scenes(opened.validation, recipe)):
        raise ConfigError(
            f"validation.selection_sources: no validation faces of {', '.join(recipe.validation.selection_sources)}, "
            f"only of {', '.join(sorted({scene.source for scene in opened.validation}))}; correct it in the recipe"
        )
    return opened


def selection_scenes(validation: Sequence[Scene], recipe: FaceRecipe) -> list[Scene]:
    """The validation scenes that select the best epoch."""
    sources = recipe.validation.selection_sources
    return [scene for scene in validation if not sources or scene.source in sources]


def manifest_of(scenes: SceneSet, path: Path) -> CocoFile:
    """The scenes as a COCO file at `path` for the conversion, with splits `train` and `validation`.

    Boxes are in the style of training.
    """
    manifest = CocoFile(path, [CATEGORY])
    for split, part in (("train", scenes.train), ("validation", scenes.validation)):
        for scene in part:
            manifest.add_picture(scene.path, source=scene.source, split=split)
            for ignore, boxes in ((False, scene.faces), (True, scene.ignored)):
                for corners in boxes.tolist():
                    manifest.add_face(scene.path, corners, category=CATEGORY, ignore=ignore)
    return manifest


def annotated_scenes(
    annotations: Path,
    *,
    sources: Iterable[str] = (),
    splits: Iterable[str] = (),
    corrections: Mapping[int, Correction] | None = None,
    any_category: bool = False,
) -> list[Scene]:
    """The pictures of COCO scenes with their faces and the ignored ones, sorted by path.

    Faces are annotations named after a label or, with `any_category`, all except of 'no_face'; the label is then None
    if unknown.

    Raises:
        ConfigError: as for `read_annotations`, or there is no face.
    """
    annotated = read_annotations(annotations, sources=sources, splits=splits, corrections=corrections)
    scenes = []
    for path, of_picture in groupby(sorted(annotated, key=lambda face: str(face.path)), key=lambda face: face.path):
        all_faces = list(of_picture)
        faces = [
            face
            for face in all_faces
            if not face.ignore
            and face.box.shorter_side_px >= 1
            and (face.name in LABELS or (any_category and class_of(face.name or "") != NO_FACE))
        ]
        scene = Scene(
            path,
            all_faces[0].source,
            faces=as_array(face.box for face in faces),
            ignored=as_array(face.box for face in all_faces if face.ignore),
            sampling_probability=0.0,
            labels=tuple(label_of(face.name or "") for face in faces),
            poses=tuple(face.pose for face in faces),
            domain=all_faces[0].domain,
            drawn_on=all_faces[0].drawn_on,
        )
        scenes.append(scene)
    if not any(len(scene.faces) for scene in scenes):
        raise ConfigError(f"{annotations}: no face of {', '.join(LABELS)}")
    return scenes


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
    scenes = [
        replace(scene, faces=converted_to_style(scene.faces, data.style))
        for scene in annotated_scenes(
            data.scenes,
            sources=data.sources,
            splits=data.splits,
            corrections=read_corrections(data.corrections) if data.corrections else None,
        )
        if len(scene.faces) and (not data.labels or set(data.labels) & set(scene.labels))
    ]
    if not scenes:
        raise ConfigError(f"{data.scenes}: no picture has a face of {', '.join(data.labels)}; correct labels")
    return _evenly_spaced(scenes, data.max_pictures)


def _evenly_spaced(items: list[_T], max_count: int) -> list[_T]:
    """At most `max_count` items of a list, evenly spread."""
    indices = np.linspace(0, len(items) - 1, min(max_count, len(items))).round().astype(int)
    return [items[index] for index in indices]


def _with_teacher_detections(scene: Scene, data: DataRecipe, recipe: FaceRecipe, teacher: Teacher) -> Scene:
    """Add a teacher's detections: faces of unannotated pictures, and regions that may not be background."""
    if data.empty is not None:
        return scene
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
