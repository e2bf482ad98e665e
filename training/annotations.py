"""Annotations: reads the faces of a COCO file, and which of them to ignore."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_agent.domain import Box, Class
from edge_agent.errors import ConfigError, mistakes_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_ERRORS_SHOWN = 5
UNUSED_KEYS = {"area", "segmentation"}
"""Standard COCO keys that are not needed for faces."""

Correction: TypeAlias = Class | Literal["ignore"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AnnotatedFace:
    """One annotated box of a picture.

    `number` is its id, 0 if it has none, `name` that of its category; `ignore`: its label is undecidable. `drawn_on` is
    the picture that this one shows with a drawing.
    """

    number: int
    path: Path
    source: str
    split: str
    domain: str | None
    pose: str | None
    name: str | None
    box: Box
    ignore: bool
    drawn_on: Path | None


# The keys in use; COCO files have many more, which are irrelevant here.
class _Image(BaseModel):
    id: int
    file_name: str
    width: int | None = None
    height: int | None = None
    source: str | None = None
    split: str = "train"
    domain: str | None = None
    drawn_on: str | None = None


class _Annotation(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: int = 0
    image_id: int
    category_id: int | None = None
    bbox: tuple[float, float, float, float]
    pose: str | None = None
    ignore: bool = False
    # A crowd is an area with many faces that have no boxes of their own.
    iscrowd: bool = False


class _Category(BaseModel):
    id: int
    name: str


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_annotations(
    path: Path,
    *,
    sources: Iterable[str] = (),
    splits: Iterable[str] = (),
    corrections: Mapping[int, Correction] | None = None,
) -> list[AnnotatedFace]:
    """Read the boxes of some sources and splits of a COCO file, in file order; none given: all.

    The source of a picture defaults to the folder of the file, its split to `train`. `corrections` maps annotation ids
    to another label, or to "ignore". Boxes outside their picture are skipped; these and unknown keys are logged.

    Raises:
        ConfigError: the file is missing or not COCO, an annotation has no category or no picture, a correction has an
            unknown id, or there is no face of the sources and splits.
    """
    faces = _read_all(path)
    if not faces:
        raise ConfigError(f"{path}: no annotated faces")
    corrected = corrections or {}
    if unknown_ids := set(corrected) - {face.number for face in faces}:
        raise ConfigError(f"{path}: has no annotation {min(unknown_ids)}, which the corrections name")
    wanted_sources, wanted_splits = set(sources), set(splits)
    found = [
        _corrected(face, corrected.get(face.number))
        for face in faces
        if (not wanted_sources or face.source in wanted_sources) and (not wanted_splits or face.split in wanted_splits)
    ]
    if not found:
        raise ConfigError(
            f"{path}: no face of source {_names(wanted_sources) or 'any'} and split {_names(wanted_splits) or 'any'}; "
            f"sources there: {_names(face.source for face in faces)}; splits: {_names(face.split for face in faces)}"
        )
    return found


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))


def _corrected(face: AnnotatedFace, correction: Correction | None) -> AnnotatedFace:
    if correction is None:
        return face
    return replace(face, name=correction, ignore=correction == "ignore")


def _read_all(path: Path) -> list[AnnotatedFace]:
    content = _load(path)
    names = {category.id: category.name for category in content.categories}
    images = {image.id: image for image in content.images}
    faces, outside = [], []
    for annotation in content.annotations:
        image = images[annotation.image_id]
        x, y, width, height = annotation.bbox
        box = Box(x, y, x + width, y + height)
        if not box.clipped(width_px=image.width or math.inf, height_px=image.height or math.inf).area_px:
            outside.append(f"annotation {annotation.id}")
            continue
        faces.append(
            AnnotatedFace(
                number=annotation.id,
                path=_picture(path, image.file_name),
                source=image.source or path.parent.name,
                split=image.split,
                domain=image.domain,
                pose=annotation.pose,
                name=names.get(annotation.category_id) if annotation.category_id is not None else None,
                box=box,
                ignore=annotation.ignore or annotation.iscrowd,
                drawn_on=_picture(path, image.drawn_on) if image.drawn_on else None,
            )
        )
    if outside:
        log.warning("%s: %d boxes lie outside their picture and are left out: %s", path, len(outside), _listed(outside))
    if unused_keys := {key for annotation in content.annotations for key in annotation.model_extra or ()} - UNUSED_KEYS:
        log.warning("%s: keys of annotations that are not used: %s", path, ", ".join(sorted(unused_keys)))
    return faces


def _picture(annotations: Path, name: str) -> Path:
    """The path of a picture, normalised, so that one named by two files is recognised as the same."""
    return Path(os.path.normpath(annotations.parent / name))


def _load(path: Path) -> _Coco:
    try:
        content = _Coco.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; correct the path") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: not a COCO file of faces: {_listed(mistakes_in(error))}") from error
    names = {category.id: category.name for category in content.categories}
    images = {image.id: image for image in content.images}
    if errors := [
        error_text for annotation in content.annotations if (error_text := _error_in(annotation, images, names))
    ]:
        raise ConfigError(f"{path}: not a COCO file of faces: {_listed(errors)}")
    return content


def _error_in(annotation: _Annotation, images: Mapping[int, _Image], names: Mapping[int, str]) -> str:
    """Why an annotation cannot be used; empty if it can."""
    if annotation.image_id not in images:
        return f"annotation {annotation.id}: image_id {annotation.image_id} is not among the images"
    if annotation.ignore or annotation.iscrowd or annotation.category_id in names:
        return ""
    if annotation.category_id is None:
        return f"annotation {annotation.id} has neither category_id nor ignore"
    return f"annotation {annotation.id}: category_id {annotation.category_id} is not among the categories"


def _listed(errors: Sequence[str]) -> str:
    more = len(errors) - MAX_ERRORS_SHOWN
    return "; ".join([*errors[:MAX_ERRORS_SHOWN], *([f"and {more} more"] if more > 0 else [])])
