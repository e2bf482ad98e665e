"""Examples: collects labelled faces from folders and COCO files.

An example is one labelled face of a picture. Class folders give whole pictures or the face detected in them, COCO
scenes their annotated boxes, and folders of one label every detected face. Pictures of a `test` split are rejected:
data for evaluation must never be used for training.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar, cast

import yaml

from edge_agent.domain import CLASSES, LABELS, Box, Class
from edge_agent.errors import ConfigError, PictureError
from edge_agent.vision.images import SUFFIXES, read_picture
from training.annotations import MAX_ERRORS_SHOWN, Correction, read_annotations
from training.label_names import class_of, is_no_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from edge_agent.domain import Image

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Name = TypeVar("Name", bound=Class)


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled face. `box` is None if the whole picture is the face."""

    path: Path
    label: Class
    source: str
    box: Box | None = None
    drawn_on: Path | None = None
    """The picture that this one shows with a drawing."""


def list_pictures(folder: Path) -> list[Path]:
    """Every picture below a folder, by suffix, sorted by name.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; correct the path")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def modified_ns(path: Path) -> int:
    """When a picture was modified, in nanoseconds, as the key of what is cached of it; 0 if there is none."""
    return path.stat().st_mtime_ns if path.is_file() else 0


def pictures_in(folder: Path, *, advice: str) -> list[Path]:
    """Every picture below a folder, as `list_pictures`.

    Raises:
        ConfigError: there is no such folder, or no picture in it.
    """
    pictures = list_pictures(folder)
    if not pictures:
        raise ConfigError(f"{folder}: no pictures ({', '.join(sorted(SUFFIXES))}); {advice}")
    return pictures


def with_pictures(
    items: Iterable[Item], *, unreadable: list[str], path_of: Callable[[Item], Path] = attrgetter("path")
) -> Iterator[tuple[Item, Image]]:
    """Items with their pictures, (height, width, 3), BGR, uint8; adjacent ones of one picture share it.

    Those of unreadable pictures are left out, and the error of each picture is added to `unreadable`.
    """
    for path, of_picture in groupby(items, key=path_of):
        try:
            image = read_picture(path)
        except PictureError as error:
            unreadable.append(str(error))
            continue
        for item in of_picture:
            yield item, image


def labelled_pictures(folder: Path, *, labels: Sequence[Name]) -> list[tuple[Path, Name]]:
    """Every picture in a subfolder that is named after one of `labels`, with that label, sorted by name.

    Raises:
        ConfigError: there is no such folder, the folder of a label has no pictures, or there is only one label.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; correct the path")
    named = [(child, class_of(child.name)) for child in sorted(folder.iterdir()) if child.is_dir()]
    found = [(child, label) for child, label in named if label in {*LABELS, *labels}]
    for child, label in named if found else ():
        if label is None and not child.name.startswith(".") and not is_no_label(child.name) and list_pictures(child):
            log.warning(
                "%s: left out, as the name is that of no label; rename it, for example to %s, or to 'ignore'",
                child,
                " or ".join(LABELS),
            )
    labelled: list[tuple[Path, Name]] = []
    for child, label in found:
        if label in labels:
            pictures = pictures_in(child, advice="fill or remove the folder")
            labelled += [(path, cast("Name", label)) for path in pictures]
    if len({label for _, label in found}) == 1:
        raise ConfigError(
            f"{folder}: pictures of '{found[0][1]}' only; one label alone distinguishes nothing: add a folder of "
            "another label, or in a recipe give it as 'faces' with its 'label'"
        )
    return labelled


def from_class_folders(folder: Path, *, source: str, labels: Sequence[Class] = CLASSES) -> list[Example]:
    """Examples from a folder with one subfolder per label; each picture is one face.

    Raises:
        ConfigError: as for `labelled_pictures`, there is no folder of a label, or it is a test split.
    """
    _reject_test_split(folder)
    examples = [Example(path, label, source) for path, label in labelled_pictures(folder, labels=labels)]
    if not examples:
        raise ConfigError(
            f"{folder}: holds none of the folders {', '.join(labels)}; name one folder per label, "
            "or give the folder as 'faces' with one label"
        )
    return examples


def from_one_label(folder: Path, *, label: Class, source: str) -> list[Example]:
    """Examples from a folder in which all faces have the same label.

    Raises:
        ConfigError: the folder is missing, has no pictures, or is a test split.
    """
    _reject_test_split(folder)
    pictures = pictures_in(folder, advice="fill the folder or take it out of the recipe")
    return [Example(path, label, source) for path in pictures]


def read_scenes(
    annotations: Path,
    *,
    sources: Iterable[str] = (),
    splits: Iterable[str] = ("train",),
    poses: Iterable[str] = (),
    min_face_px: float = 0.0,
    labels: Sequence[Class] = LABELS,
    corrections: Mapping[int, Correction] | None = None,
) -> list[Example]:
    """Annotated faces of COCO scenes, except those marked `ignore`; no sources, splits or poses: all.

    `corrections` maps annotation ids to another label, or to "ignore".

    Raises:
        ConfigError: the file is missing or not COCO, a correction has an unknown id, or no face matches.
    """
    wanted_poses = set(poses)
    examples = [
        Example(face.path, cast("Class", face.name), face.source, face.box, face.drawn_on)
        for face in read_annotations(annotations, sources=sources, splits=splits, corrections=corrections)
        if not face.ignore
        and face.name in labels
        and face.box.shorter_side_px >= max(min_face_px, 1.0)
        and (not wanted_poses or face.pose in wanted_poses)
    ]
    if not examples:
        posed = f", of pose {', '.join(sorted(wanted_poses))}" if wanted_poses else ""
        raise ConfigError(f"{annotations}: no face of {', '.join(labels)}{posed} and {min_face_px:g} px or more")
    return examples


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


def _reject_test_split(folder: Path) -> None:
    if folder.name == "test":
        raise ConfigError(f"{folder}: a test split is for evaluation only; train on other splits")
