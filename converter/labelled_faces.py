"""Labelled faces: loads the faces that models are evaluated on, with boxes and labels.

Sources are folders, named after labels, in which every picture is one face, and COCO scenes, in which every annotated
box is one. Faces are cropped by the device's own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.domain import LABELS, Box, Image, Label
from edge_agent.errors import ConfigError
from edge_agent.vision.tensors import face_region
from training.annotations import read_annotations
from training.label_names import label_of
from training.masks.examples import labelled_pictures, pictures_in

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class LabelledFace:
    """One face of a picture. `box` is None if the whole picture is the face, `label` if unknown.

    `domain` and `pose` are annotations of the picture and the face.
    """

    path: Path
    label: Label | None
    box: Box | None = None
    domain: str | None = None
    pose: str | None = None

    def region(self, image: Image, *, margin_fraction: float) -> Box:
        """The input region of a model: the whole picture, or a square around the box."""
        if self.box is None:
            return Box(0, 0, image.shape[1], image.shape[0])
        return face_region(self.box, margin_fraction=margin_fraction)

    def side_px(self, image: Image) -> float:
        """Shorter side of the face in pixels."""
        return self.region(image, margin_fraction=0.0).shorter_side_px if self.box is None else self.box.shorter_side_px


def faces_in(folder: Path) -> list[LabelledFace]:
    """Every picture below a folder as one face, labelled if the folder has subfolders named after labels.

    Raises:
        ConfigError: there is no such folder, it has no pictures, a label's folder is empty, or there is only one label.
    """
    if labelled := labelled_pictures(folder, labels=LABELS):
        return [LabelledFace(path, label) for path, label in labelled]
    return [LabelledFace(path, None) for path in pictures_in(folder, advice="give a folder of pictures")]


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
) -> list[LabelledFace]:
    """Annotated faces of COCO scenes, optionally of one split and source; `labelled`: only those with a known label.

    Raises:
        ConfigError: the file is missing or not COCO, or no face matches.
    """
    faces = [
        LabelledFace(face.path, label, face.box, domain=face.domain, pose=face.pose)
        for face in read_annotations(annotations, sources=[source] if source else (), splits=[split] if split else ())
        for label in [label_of(face.name or "")]
        if not face.ignore and (label is not None or not labelled) and face.box.shorter_side_px >= max(min_side_px, 1.0)
    ]
    if not faces:
        raise ConfigError(f"{annotations}: no face of a known label and {min_side_px:g} px or more in what was chosen")
    return sorted(faces, key=lambda face: str(face.path))
