"""Data sources: where do the pictures behind a model come from, and on what terms?

Terms as they were found with each source; none of the pictures is part of this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class DataSource:
    """One set of pictures, under the name of its folder."""

    name: str
    what: str
    origin: str
    terms: str


SOURCES = (
    DataSource(
        "drawn",
        "bare faces of the other parts, with masks drawn on them by this project, worn properly and wrongly",
        "'edge-train synthesise'",
        "those of the pictures drawn on",
    ),
    DataSource(
        "empty",
        "pictures without people: samples of Python packages, drawn textures, parts of the other parts' pictures",
        "'edge-train empty'",
        "those of the packages and of the pictures",
    ),
    DataSource(
        "street",
        "photographs of people in the street and in crowds, faces 22 px wide in the middle",
        "the 853-picture 'Face Mask Detection' set of Kaggle, by way of github hittheant/475Project",
        "CC0 as remembered from Kaggle; none in the repository",
    ),
    DataSource(
        "groups",
        "photographs with boxes, with and without masks",
        "github MacwinWin/face_mask_dataset",
        "none stated",
    ),
    DataSource("portraits", "portraits with boxes", "github formatcom/tfm-mask-detect", "GPL-3.0 (repository)"),
    DataSource(
        "elsewhere",
        "press photographs and portraits of all continents, near and turned faces, respirators, visors, scarves",
        "github jolignier/face-mask-dataset-ilc-2021, vyivanov/ds-masters_hack-1, rxkt/mask-detector-strict, "
        "karysutariya/Facemask-type-detection",
        "none stated; stock and press pictures",
    ),
    DataSource(
        "mined",
        "the same pictures with the boxes of a detector, and what it takes wrongly for a face",
        "'edge-train mine'",
        "those of the pictures",
    ),
    DataSource("web", "heads and portraits from the web", "github chandrikadeb7/Face-Mask-Detection", "MIT"),
    DataSource(
        "crops",
        "tight crops of faces",
        "'Face Mask 12K' of Kaggle, by way of github Karimashraf01/Face-Mask-Detection-using-MobilenetV2",
        "MIT (repository)",
    ),
    DataSource(
        "masked_photos",
        "photographs on which every person wears a mask",
        "github X-zhangyang/Real-World-Masked-Face-Dataset",
        "asks for citation; research",
    ),
)


def source_of(name: str) -> DataSource:
    """What is known of a part of the training data, by any folder in its name; `street`, `web/train`, `drawn_web`."""
    folders = PurePosixPath(name).parts
    for source in SOURCES:
        if any(folder == source.name or folder.startswith(f"{source.name}_") for folder in folders):
            return source
    return DataSource(name, "", "not listed; ask its author", "unknown")
