"""Data set: selects the training and validation faces of a run, and how often each is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_agent.domain import CLASSES, LABELS, NO_FACE, Box
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from training.coco import CocoFile
from training.masks import examples
from training.masks.detection import RANDOM_PARTS, open_detector
from training.masks.pack import Pack, open_pack
from training.masks.split import Split, assign_splits, hashes_of_test_sets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Class, Image
    from training.masks.detection import Detector
    from training.masks.examples import Example
    from training.masks.recipe import DataRecipe, MaskRecipe


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """A selection of faces: rows of (pack number, index in the pack) with their labels and probabilities."""

    packs: tuple[Pack, ...]
    rows: NDArray[np.int64]
    """Shape (n, 2)."""
    targets: NDArray[np.int64]
    """Index of each label: shape (n,)."""
    sampling_probabilities: NDArray[np.float64]
    """Sum to 1: shape (n,)."""

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.rows)

    def example(self, row: int) -> Example:
        """The example of a row."""
        pack, index = self._at(row)
        return pack.examples[index]

    def crop(self, row: int) -> tuple[Image, Box, bool]:
        """A face with its surroundings, its box in these, and whether it is the whole picture."""
        pack, index = self._at(row)
        return pack.crop(index), pack.box(index), bool(pack.whole[index])

    def location(self, row: int) -> tuple[Box, bool]:
        """The box of a face in its picture, and whether it is the whole picture."""
        pack, index = self._at(row)
        return Box(*pack.boxes_in_picture[index].tolist()), bool(pack.whole[index])

    def _at(self, row: int) -> tuple[Pack, int]:
        number, index = self.rows[row].tolist()
        return self.packs[number], index

    def sources(self) -> list[str]:
        """The source of each face."""
        return [self.example(row).source for row in range(len(self))]


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """The training and validation faces of a run."""

    labels: tuple[Class, ...]
    train: Faces
    validation: Faces
    unreadable: tuple[str, ...]
    excluded: int
    """Faces excluded because their picture, a near-duplicate, or the one it is drawn on, is used for evaluation."""

    def table(self) -> str:
        """Counts by source, label and split, as text."""
        lines = [f"{'source':<28} {'label':<22} {'training':>8} {'validation':>10}"]
        counts: dict[tuple[str, str], list[int]] = {}
        for column, faces in enumerate((self.train, self.validation)):
            for row in range(len(faces)):
                example = faces.example(row)
                counts.setdefault((example.source, example.label), [0, 0])[column] += 1
        lines += [
            f"{safe(source):<28} {safe(label):<22} {train:>8} {validation:>10}"
            for (source, label), (train, validation) in sorted(counts.items())
        ]
        if self.excluded:
            lines.append(
                f"excluded: {self.excluded}, whose picture is used for evaluation, or a near-duplicate or original"
            )
        return "\n".join(lines)


def open_data_set(recipe: MaskRecipe, *, packs_folder: Path) -> DataSet:
    """Read all sources of a recipe, group near-duplicates, and split.

    Raises:
        ConfigError: a source is missing or empty, a label has no training or no validation faces, or no validation
            face selects the best epoch.
    """
    detector = open_detector(recipe.detector) if recipe.detector else None
    packs = tuple(_open(data, recipe, detector, packs_folder) for data in recipe.data)
    split_of_picture = _splits_of(packs, recipe, packs_folder)
    rows, targets, weights = [], [], []
    splits: list[Split | Literal["not_evaluated"]] = []
    evaluated: set[tuple[object, ...]] = set()
    for number, (pack, data) in enumerate(zip(packs, recipe.data, strict=True)):
        of_pack = [split_of_picture[example.path] for example in pack.examples]
        train_count = max(1, of_pack.count("train"))
        for index, example in enumerate(pack.examples):
            rows.append((number, index))
            targets.append(recipe.labels.index(example.label))
            weights.append(data.share / train_count)
            splits.append(of_pack[index])
            if of_pack[index] == "validation":
                # A face of two sources, which is sampled more often, still counts once for validation.
                face = (example.path, *pack.boxes_in_picture[index].tolist())
                if face in evaluated or not _is_large_enough(example, recipe):
                    splits[-1] = "not_evaluated"
                evaluated.add(face)
    table = np.array(rows, np.int64), np.array(targets, np.int64), np.array(weights)
    data_set = DataSet(
        recipe.labels,
        _subset(packs, *table, chosen=np.array(splits) == "train"),
        _subset(packs, *table, chosen=np.array(splits) == "validation"),
        tuple(error for pack in packs for error in pack.unreadable),
        splits.count("excluded"),
    )
    _check_every_label_occurs(data_set)
    wanted, present = set(recipe.validation.sources), set(data_set.validation.sources())
    if wanted and not wanted & present:
        raise ConfigError(
            f"validation.sources: no validation faces of {', '.join(sorted(wanted))}, only of "
            f"{', '.join(sorted(present))}; correct it in the recipe"
        )
    return data_set


def manifest_of(data_set: DataSet, recipe: MaskRecipe, path: Path) -> CocoFile:
    """The faces as a COCO file at `path` for the conversion of the model, with splits `train` and `validation`.

    A picture that is a whole face gets a box that, grown by the recipe's margin, is the picture again.
    """
    manifest = CocoFile(path, recipe.labels)
    for split, faces in (("train", data_set.train), ("validation", data_set.validation)):
        for row in range(len(faces)):
            example = faces.example(row)
            manifest.add_picture(example.path, source=example.source, split=split)
            box, is_whole = faces.location(row)
            if is_whole:
                # The box b is the picture w without margin m: w = (1 + 2m) * b, so b = w - 2 * (m / (1 + 2m)) * w.
                box = box.grown(-recipe.margin_fraction / (1 + 2 * recipe.margin_fraction))
            manifest.add_face(example.path, (box.x1, box.y1, box.x2, box.y2), category=example.label)
    return manifest


def _open(data: DataRecipe, recipe: MaskRecipe, detector: Detector | None, folder: Path) -> Pack:
    wanted = data.labels or (LABELS if data.scenes else CLASSES)
    classes = [name for name in recipe.labels if name in wanted]
    if data.scenes:
        found = examples.read_scenes(
            data.scenes,
            sources=data.sources,
            splits=data.splits,
            poses=data.poses,
            min_face_px=data.min_face_px,
            labels=classes,
            corrections=examples.read_corrections(data.corrections) if data.corrections else None,
        )
        return open_pack(found, folder=folder)
    if data.folders:
        found = examples.from_class_folders(data.folders, source=_name(data.folders), labels=classes)
        return open_pack(found, folder=folder, detector=detector if data.detect_faces else None)
    if data.empty:
        found = examples.from_one_label(data.empty, label=NO_FACE, source=_name(data.empty))
        return open_pack(found, folder=folder, detector=RANDOM_PARTS, every_face=True)
    if data.faces is None or data.label is None:
        raise AssertionError("checked by the recipe")
    found = examples.from_one_label(data.faces, label=data.label, source=_name(data.faces))
    return open_pack(found, folder=folder, detector=detector, every_face=True)


def _name(folder: Path) -> str:
    """The distinctive part of a folder's last two names: `.../faces/web/train` is `web`."""
    return folder.parent.name if folder.name == "train" else folder.name


def _splits_of(packs: Sequence[Pack], recipe: MaskRecipe, packs_folder: Path) -> dict[Path, Split]:
    """The split of each picture; those of data with `held_out: false` are for training."""
    hashes: dict[Path, NDArray[np.uint8]] = {}
    sources: dict[Path, str] = {}
    train_only: set[Path] = set()
    drawn_on: dict[Path, Path] = {}
    for pack, data in zip(packs, recipe.data, strict=True):
        for example, bits in zip(pack.examples, pack.hashes, strict=True):
            hashes[example.path] = bits
            sources.setdefault(example.path, example.source)
            if example.drawn_on is not None:
                drawn_on[example.path] = example.drawn_on
            if not data.held_out:
                train_only.add(example.path)
    test_hashes = hashes_of_test_sets(recipe.validation.test_sets, folder=packs_folder)
    return assign_splits(
        hashes,
        sources,
        test_hashes,
        recipe.validation,
        seed=recipe.seed,
        train_only=train_only,
        drawn_on=drawn_on,
    )


def _is_large_enough(example: Example, recipe: MaskRecipe) -> bool:
    return example.box is None or example.box.shorter_side_px >= recipe.validation.min_face_px


def _subset(
    packs: tuple[Pack, ...],
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    chosen: NDArray[np.bool_],
) -> Faces:
    return Faces(packs, rows[chosen], targets[chosen], weights[chosen] / max(weights[chosen].sum(), 1e-12))


def _check_every_label_occurs(data_set: DataSet) -> None:
    for split, faces in (("training", data_set.train), ("validation", data_set.validation)):
        counts = np.bincount(faces.targets, minlength=len(data_set.labels))
        missing = [label for label, count in zip(data_set.labels, counts, strict=True) if not count]
        if missing:
            raise ConfigError(
                f"no {split} faces of {', '.join(missing)}; add pictures of that label, change "
                "validation.fraction, or take the label out of 'labels', unless model.weights has it"
            )
