"""Origin and licence terms of the training images.

Terms are quoted as found at each source; the images are not part of the project.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class DataSource:
    """A set of images, named after its folder."""

    name: str
    what: str
    origin: str
    terms: str


SOURCES = (
    DataSource(
        "drawn",
        "bare faces from the other data sets with synthetic masks, worn properly and incorrectly",
        "'edge-train synthesise'",
        "those of the source images",
    ),
    DataSource(
        "bearded",
        "bare faces from the other data sets with synthetic beards",
        "'edge-train synthesise --draw beards'",
        "those of the source images",
    ),
    DataSource(
        "empty",
        "images without people: samples from Python packages, images of Debian packages (games, wallpapers, stamps, "
        "astronomy), synthetic textures, crops from the other data sets",
        "'edge-train empty'",
        "those of the packages and images",
    ),
    DataSource(
        "street",
        "photographs of people in streets and crowds, median face width 22 px",
        "Kaggle 'Face Mask Detection' (853 images), via github hittheant/475Project",
        "CC0 on Kaggle (from memory); none in the repository",
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
        "press photographs and portraits from all continents, close-up and turned faces, respirators, visors, scarves",
        "github jolignier/face-mask-dataset-ilc-2021, vyivanov/ds-masters_hack-1, rxkt/mask-detector-strict, "
        "karysutariya/Facemask-type-detection",
        "none stated; stock and press photographs",
    ),
    DataSource(
        "mined",
        "the same images with a detector's boxes and its false detections",
        "'edge-train mine'",
        "those of the images",
    ),
    DataSource("web", "heads and portraits from the web", "github chandrikadeb7/Face-Mask-Detection", "MIT"),
    DataSource(
        "crops",
        "tight crops of faces",
        "Kaggle 'Face Mask 12K', via github Karimashraf01/Face-Mask-Detection-using-MobilenetV2",
        "MIT (repository)",
    ),
    DataSource(
        "masked_photos",
        "photographs in which every person wears a mask",
        "github X-zhangyang/Real-World-Masked-Face-Dataset",
        "asks for citation; research",
    ),
)


def source_of(name: str) -> DataSource:
    """The source of a training data set, matched by a folder in its name: `street`, `web/train`, `drawn_web`."""
    folders = PurePosixPath(name).parts
    for source in SOURCES:
        if any(folder == source.name or folder.startswith(f"{source.name}_") for folder in folders):
            return source
    return DataSource(name, "", "not listed; ask its author", "unknown")
