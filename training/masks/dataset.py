"""Data set: selects the training and validation faces of a run, and how often each is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from edge_agent.domain import LABELS, Box
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from training.masks import examples as faces
from training.masks.landmarks import LandmarkDetector
from training.masks.pack import Pack, open_pack
from training.masks.split import choose_held_out, duplicate_groups, hashes_apart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Class
    from training.masks.examples import Example
    from training.masks.recipe import DataRecipe, MaskRecipe

FOUND_SCORE = 0.6

Side: TypeAlias = Literal["learnt", "judging", "apart", "uncounted"]


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """A selection of faces: rows of (pack number, index in the pack) with their labels and probabilities."""

    packs: tuple[Pack, ...]
    rows: NDArray[np.int64]
    """Shape (n, 2)."""
    answers: NDArray[np.int64]
    """Index of the label: shape (n,)."""
    chances: NDArray[np.float64]
    """Probability of being drawn, sums to 1: shape (n,)."""

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.rows)

    def example(self, row: int) -> Example:
        """The example of a row."""
        pack, index = self.rows[row]
        return self.packs[int(pack)].examples[int(index)]

    def place(self, row: int) -> tuple[Box, bool]:
        """The box of a face in its picture, and whether it is the whole picture."""
        pack, index = self.rows[row]
        return Box(*self.packs[int(pack)].places[int(index)].tolist()), bool(self.packs[int(pack)].whole[int(index)])

    def sources(self) -> list[str]:
        """The source of each face."""
        return [self.example(row).source for row in range(len(self))]


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """The training and validation faces of a run."""

    labels: tuple[Class, ...]
    learnt: Faces
    judging: Faces
    unreadable: tuple[str, ...]
    kept_apart: int
    """Faces excluded because their picture, or a near-duplicate, is used for evaluation elsewhere."""

    def table(self) -> str:
        """Counts by source, label and side of the split, as text."""
        lines = [f"{'source':<28} {'label':<22} {'training':>8} {'validation':>10}"]
        counts: dict[tuple[str, str], list[int]] = {}
        for side, part in enumerate((self.learnt, self.judging)):
            for row in range(len(part)):
                example = part.example(row)
                counts.setdefault((example.source, example.label), [0, 0])[side] += 1
        lines += [
            f"{safe(source):<28} {safe(label):<22} {one:>8} {other:>10}"
            for (source, label), (one, other) in sorted(counts.items())
        ]
        if self.kept_apart:
            lines.append(f"excluded: {self.kept_apart}, whose picture or a near-duplicate is in a test set")
        return "\n".join(lines)


def open_data_set(recipe: MaskRecipe, *, packs_folder: Path) -> DataSet:
    """Read all sources of a recipe, group near-duplicates, and split.

    Raises:
        ConfigError: a source is missing or empty, or one label has no faces on one side of the split.
    """
    detector = LandmarkDetector(recipe.detector, min_score=FOUND_SCORE) if recipe.detector else None
    packs = tuple(_open(one, recipe, detector, packs_folder) for one in recipe.data)
    apart = hashes_apart(recipe.validation.keep_apart, folder=packs_folder)
    sides = _sides(packs, apart, recipe)
    rows, answers, chances, places = [], [], [], []
    judged: set[tuple[object, ...]] = set()
    for number, (pack, data) in enumerate(zip(packs, recipe.data, strict=True)):
        of_pack = [sides[example.path] for example in pack.examples]
        learnt = max(1, of_pack.count("learnt"))
        for index, example in enumerate(pack.examples):
            rows.append((number, index))
            answers.append(recipe.labels.index(example.label))
            chances.append(data.share / learnt)
            places.append(of_pack[index])
            if of_pack[index] == "judging":
                # A face of two sources, which is drawn more often, still counts once for validation.
                face = (example.path, *pack.places[index].tolist())
                if face in judged or not _counts(example, recipe):
                    places[-1] = "uncounted"
                judged.add(face)
    table = np.array(rows, np.int64), np.array(answers, np.int64), np.array(chances)
    where = np.array(places)
    data_set = DataSet(
        recipe.labels,
        _part(packs, *table, chosen=where == "learnt"),
        _part(packs, *table, chosen=where == "judging"),
        tuple(one for pack in packs for one in pack.unreadable),
        places.count("apart"),
    )
    _check(data_set)
    return data_set


def _open(data: DataRecipe, recipe: MaskRecipe, detector: LandmarkDetector | None, folder: Path) -> Pack:
    classes = [one for one in recipe.labels if one in data.labels]
    labels = [one for one in LABELS if one in classes]
    if data.scenes:
        found = faces.from_scenes(
            data.scenes,
            sources=data.sources,
            splits=data.splits,
            smallest_px=data.smallest_px,
            labels=classes,
            corrections=faces.read_corrections(data.corrections) if data.corrections else None,
        )
        return open_pack(found, folder=folder)
    if data.folders:
        found = faces.from_class_folders(data.folders, source=_name(data.folders), labels=labels)
        return open_pack(found, folder=folder, detector=detector if data.find else None)
    if data.faces is None or data.label is None:
        raise AssertionError("checked by the recipe")
    found = faces.from_one_label(data.faces, label=data.label, source=_name(data.faces))
    return open_pack(found, folder=folder, detector=detector, every_face=True)


def _name(folder: Path) -> str:
    """The distinctive part of a folder's last two names: `.../faces/web/train` is `web`."""
    return folder.parent.name if folder.name == "train" else folder.name


def _sides(packs: Sequence[Pack], apart: NDArray[np.uint8], recipe: MaskRecipe) -> dict[Path, Side]:
    """The side of the split of each picture, the same for near-duplicates.

    Pictures of data with `held_out: false` are for training. Near-duplicates of pictures used for evaluation elsewhere,
    whose hashes are `apart`, (n, 8), are excluded.
    """
    hashes: dict[Path, NDArray[np.uint8]] = {}
    sources: dict[Path, str] = {}
    learnt_only: set[Path] = set()
    for pack, data in zip(packs, recipe.data, strict=True):
        for example, bits in zip(pack.examples, pack.hashes, strict=True):
            hashes[example.path] = bits
            sources.setdefault(example.path, example.source)
            if not data.held_out:
                learnt_only.add(example.path)
    paths = list(hashes)
    groups = duplicate_groups(
        np.array([*(hashes[path] for path in paths), *apart]), duplicate_bits=recipe.validation.duplicate_bits
    )
    of_apart, groups = set(groups[len(paths) :].tolist()), groups[: len(paths)]
    held = choose_held_out(
        groups, [sources[path] for path in paths], fraction=recipe.validation.fraction, seed=recipe.seed
    )
    only_learnt = {int(groups[index]) for index, path in enumerate(paths) if path in learnt_only}
    sides: dict[Path, Side] = {}
    for index, path in enumerate(paths):
        group = int(groups[index])
        judges = bool(held[index]) and group not in only_learnt
        sides[path] = "apart" if group in of_apart else "judging" if judges else "learnt"
    return sides


def _counts(example: Example, recipe: MaskRecipe) -> bool:
    return example.box is None or example.box.shorter_side_px >= recipe.validation.smallest_px


def _part(
    packs: tuple[Pack, ...],
    rows: NDArray[np.int64],
    answers: NDArray[np.int64],
    chances: NDArray[np.float64],
    *,
    chosen: NDArray[np.bool_],
) -> Faces:
    part = chances[chosen]
    return Faces(packs, rows[chosen], answers[chosen], part / max(part.sum(), 1e-12))


def _check(data_set: DataSet) -> None:
    for name, part in (("learn from", data_set.learnt), ("validate by", data_set.judging)):
        counts = np.bincount(part.answers, minlength=len(data_set.labels))
        missing = [label for label, count in zip(data_set.labels, counts, strict=True) if not count]
        if missing:
            raise ConfigError(
                f"no faces of {', '.join(missing)} to {name}; add pictures of that label, change "
                "validation.fraction, or take the label out of 'labels'"
            )
