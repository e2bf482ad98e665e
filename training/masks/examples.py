"""Examples: collects labelled faces from folders and COCO files.

An example is one labelled face of a picture. Class folders give whole pictures or the face detected in them, COCO
scenes their annotated boxes, and folders of one label every detected face. Pictures of a `test` split are rejected:
data for evaluation must never be used for training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import yaml

from edge_agent.domain import CLASSES, LABELS, Box, Class, Label
from edge_agent.errors import ConfigError
from training.annotations import MAX_ERRORS_SHOWN, read_annotations
from training.label_names import label_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


Correction: TypeAlias = Class | Literal["ignore"]


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled face. `box` is None if the whole picture is the face."""

    path: Path
    label: Class
    source: str
    box: Box | None = None


def list_pictures(folder: Path) -> list[Path]:
    """Every picture below a folder, by suffix, sorted by name.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; correct the path")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def class_folders(folder: Path) -> list[tuple[Path, Label]]:
    """The subfolders that are named after a label, with that label, sorted by name."""
    labelled = [(child, label_of(child.name)) for child in sorted(folder.iterdir()) if child.is_dir()]
    return [(child, label) for child, label in labelled if label is not None]


def from_class_folders(folder: Path, *, source: str, labels: Sequence[Label] = LABELS) -> list[Example]:
    """Examples from a folder with one subfolder per label; each picture is one face.

    Raises:
        ConfigError: there is no folder of a label, only one label, a folder without pictures, or it is a test split.
    """
    _reject_test_split(folder)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; correct the path")
    found = dict(class_folders(folder))
    selected = {child: label for child, label in found.items() if label in labels}
    if not selected:
        raise ConfigError(
            f"{folder}: holds none of the folders {', '.join(labels)}; name one folder per label, "
            "or give the folder as 'faces' with one label"
        )
    examples: list[Example] = []
    for child, label in selected.items():
        pictures = list_pictures(child)
        if not pictures:
            raise ConfigError(f"{child}: no pictures ({', '.join(SUFFIXES)}); fill or remove the folder")
        examples += [Example(path, label, source) for path in pictures]
    if len(set(found.values())) == 1:
        only = next(iter(selected.values()))
        raise ConfigError(
            f"{folder}: pictures of '{only}' only; training needs at least two labels, "
            "or give the folder as 'faces' with one label"
        )
    return examples


def from_one_label(folder: Path, *, label: Label, source: str) -> list[Example]:
    """Examples from a folder in which all faces have the same label.

    Raises:
        ConfigError: the folder is missing, has no pictures, or is a test split.
    """
    _reject_test_split(folder)
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
    min_face_px: float = 0.0,
    labels: Sequence[Class] = LABELS,
    corrections: Mapping[int, Correction] | None = None,
) -> list[Example]:
    """Annotated faces of COCO scenes; `source` defaults to the file's folder, `split` to `train`.

    Raises:
        ConfigError: the file is missing or not COCO, a test split is requested, or no face matches.
    """
    if "test" in splits:
        raise ConfigError(f"{annotations}: the 'test' split is for evaluation only; train on other splits")
    return read_scenes(
        annotations, sources=sources, splits=splits, min_face_px=min_face_px, labels=labels, corrections=corrections
    )


def read_scenes(
    annotations: Path,
    *,
    sources: Iterable[str],
    splits: Iterable[str],
    min_face_px: float,
    labels: Sequence[Class] = LABELS,
    corrections: Mapping[int, Correction] | None = None,
) -> list[Example]:
    """Annotated faces of COCO scenes of any split, except those marked `ignore`; for evaluation and training.

    `corrections` maps annotation ids to another label, or to "ignore".

    Raises:
        ConfigError: the file is missing or not COCO, a correction has an unknown id, or no face matches.
    """
    selected = set(labels)
    examples = [
        Example(face.path, face.label, face.source, face.box)
        for face in _read_annotations(annotations, sources=sources, splits=splits, corrections=corrections or {})
        if face.label != "ignore" and face.label in selected and face.box.shorter_side_px >= max(min_face_px, 1.0)
    ]
    if not examples:
        raise ConfigError(
            f"{annotations}: no face of {', '.join(labels)} with sources {sorted(set(sources)) or 'any'}, "
            f"splits {sorted(set(splits))} and {min_face_px:g} px or more"
        )
    return examples


def read_ignored(
    annotations: Path,
    *,
    sources: Iterable[str],
    splits: Iterable[str],
    corrections: Mapping[int, Correction] | None = None,
) -> dict[Path, list[Box]]:
    """The boxes marked `ignore`, by picture: undecidable faces, excluded from training and counts.

    Raises:
        ConfigError: as for `read_scenes`.
    """
    boxes: dict[Path, list[Box]] = {}
    for face in _read_annotations(annotations, sources=sources, splits=splits, corrections=corrections or {}):
        if face.label == "ignore":
            boxes.setdefault(face.path, []).append(face.box)
    return boxes


def read_corrections(path: Path) -> dict[int, Correction]:
    """Read corrections: a YAML mapping from annotation ids to a label or "ignore".

    Raises:
        ConfigError: the file is missing, or an entry is invalid.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such list of corrections; correct the path") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not a YAML file: {error}") from error
    allowed = (*CLASSES, "ignore")
    rows = content.items() if isinstance(content, dict) else [(None, content)]
    wrong = [f"{key}: {value}" for key, value in rows if not isinstance(key, int) or value not in allowed]
    if wrong:
        raise ConfigError(
            f"{path}: not 'annotation id: label' with one of {', '.join(allowed)}: "
            f"{'; '.join(wrong[:MAX_ERRORS_SHOWN])}"
        )
    return dict(content)


@dataclass(frozen=True, slots=True)
class _Annotation:
    path: Path
    label: Correction
    source: str
    box: Box


def _read_annotations(
    annotations: Path, *, sources: Iterable[str], splits: Iterable[str], corrections: Mapping[int, Correction]
) -> list[_Annotation]:
    """The corrected annotations of some sources and splits; "ignore" if undecidable."""
    wanted_sources, wanted_splits = set(sources), set(splits)
    faces = read_annotations(annotations)
    if unknown_ids := set(corrections) - {face.number for face in faces}:
        raise ConfigError(f"{annotations}: has no annotation {min(unknown_ids)}, which the corrections name")
    found = []
    for face in faces:
        source = face.source or annotations.parent.name
        if (not wanted_sources or source in wanted_sources) and face.split in wanted_splits:
            # Labels of other tasks are filtered out later.
            label: Correction = "ignore" if face.ignore else cast("Class", face.name)
            found.append(_Annotation(face.path, corrections.get(face.number, label), source, face.box))
    return found


def _reject_test_split(folder: Path) -> None:
    if folder.name == "test":
        raise ConfigError(f"{folder}: a test split is for evaluation only; train on other splits")
