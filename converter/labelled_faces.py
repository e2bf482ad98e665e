"""Labelled faces: loads the faces that models are evaluated on, with boxes and labels.

Sources are folders, named after labels, in which every picture is one face, and COCO scenes, in which every annotated
box is one. Faces are cropped by the device's own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.domain import Box, Image, Label
from edge_agent.errors import ConfigError, PictureError
from edge_agent.vision.images import read_picture
from edge_agent.vision.tensors import face_region
from training.annotations import read_annotations
from training.label_names import label_of
from training.masks.examples import SUFFIXES, class_folders, list_pictures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class LabelledFace:
    """One face of a picture. `box` is None if the whole picture is the face, `label` if unknown.

    `domain` and `pose` are annotations of the picture and the face; `ignore`: excluded from all counts.
    """

    path: Path
    label: Label | None
    box: Box | None = None
    domain: str | None = None
    pose: str | None = None
    ignore: bool = False

    def region(self, image: Image, *, margin_fraction: float) -> Box:
        """The input region of a model: the whole picture, or a square around the box."""
        if self.box is None:
            return Box(0, 0, image.shape[1], image.shape[0])
        return face_region(self.box, margin_fraction=margin_fraction)

    def side_px(self, image: Image) -> float:
        """Shorter side of the face in pixels."""
        return self.region(image, margin_fraction=0.0).shorter_side_px if self.box is None else self.box.shorter_side_px


def with_pictures(faces: Sequence[LabelledFace], *, unreadable: list[str]) -> Iterator[tuple[LabelledFace, Image]]:
    """Faces with their pictures, each picture read once; unreadable ones are skipped and listed."""
    path: Path | None = None
    image: Image | None = None
    for face in faces:
        if face.path != path:
            path = face.path
            try:
                image = read_picture(path)
            except PictureError as error:
                image = None
                unreadable.append(str(error))
        if image is not None:
            yield face, image


def faces_in(folder: Path) -> list[LabelledFace]:
    """Every picture below a folder as one face, labelled if the folder has subfolders named after labels.

    Raises:
        ConfigError: there is no such folder, it has no pictures, a label's folder is empty, or there is only one label.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    classes = class_folders(folder)
    if not classes:
        pictures = list_pictures(folder)
        if not pictures:
            raise ConfigError(f"{folder}: no pictures in it ({', '.join(SUFFIXES)})")
        return [LabelledFace(path, None) for path in pictures]
    faces = []
    for child, label in classes:
        pictures = list_pictures(child)
        if not pictures:
            raise ConfigError(f"{child}: no pictures of '{label}' in it; fill or remove the folder")
        faces += [LabelledFace(path, label) for path in pictures]
    if len({label for _, label in classes}) == 1:
        raise ConfigError(
            f"{folder}: pictures of '{classes[0][1]}' only; one label alone distinguishes nothing: "
            "add a folder of another label"
        )
    return faces


def labelled_faces_in(folder: Path) -> list[LabelledFace]:
    """Every picture of a folder that has one subfolder per label.

    Raises:
        ConfigError: as for `faces_in`, or no subfolder is named after a label.
    """
    faces = faces_in(folder)
    if faces[0].label is None:
        raise ConfigError(
            f"{folder}: no folder in it is named after a label; sort the pictures into with_mask/, without_mask/ "
            "and mask_worn_incorrectly/"
        )
    return faces


def validation_faces(place: Path) -> list[LabelledFace]:
    """Labelled faces to fit a card to: from one folder per label, or from the `validation` split of COCO annotations.

    Raises:
        ConfigError: there are none.
    """
    return faces_of_scenes(place, split="validation") if place.is_file() else labelled_faces_in(place)


def faces_of_scenes(
    annotations: Path,
    *,
    split: str | None = None,
    source: str | None = None,
    min_side_px: float = 0.0,
    labelled: bool = True,
    with_ignored: bool = False,
) -> list[LabelledFace]:
    """Annotated faces of COCO scenes, optionally of one split and source; `labelled`: only those with a known label.

    `with_ignored` includes faces marked as undecidable, of any size.

    Raises:
        ConfigError: the file is missing or not COCO, or no face matches.
    """
    annotated = read_annotations(annotations)
    faces = []
    for face in annotated:
        label = label_of(face.name) if face.name is not None else None
        # Pictures without a split belong to training.
        wanted = split in {None, face.split} and source in {None, face.source}
        counts = (label is not None or not labelled) and face.box.shorter_side_px >= max(min_side_px, 1.0)
        if wanted and (with_ignored if face.ignore else counts):
            faces.append(
                LabelledFace(face.path, label, face.box, domain=face.domain, pose=face.pose, ignore=face.ignore)
            )
    if all(face.ignore for face in faces):
        splits, sources = ({face.split for face in annotated}, {str(face.source) for face in annotated})
        raise ConfigError(
            f"{annotations}: no face of {min_side_px:g} px or more with split {split or 'any'} and source "
            f"{source or 'any'}; splits there: {', '.join(sorted(splits))}; sources: {', '.join(sorted(sources))}"
        )
    return sorted(faces, key=lambda face: str(face.path))
