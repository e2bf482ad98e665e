"""Pictures without people: collects negative examples for a face detector.

The sources are sample pictures of Python packages, drawn textures, pictures of objects and animals, and parts of scenes
without annotated or detected faces. One third each is for training, for validation (a detector's minimum score) and for
testing (its false detections). No picture is in two splits; scenes of the train split serve the first two, those of the
test split the third. Uncurated pictures, which may show faces, are for training only, if nothing is detected in them.
"""

from __future__ import annotations

import importlib.util
import logging
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
from PIL import Image as Pillow
from tqdm import tqdm

from edge_agent.errors import PictureError
from edge_agent.foreign_text import safe
from edge_agent.vision.images import read_picture
from training.faces.keras_detector import KerasDetector
from training.faces.network import open_network
from training.faces.scenes import annotated_scenes
from training.masks.examples import list_pictures
from training.plotting import write_picture
from training.run_folder import check_new_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from edge_agent.domain import Image
    from training.faces.scenes import Scene

    Detect: TypeAlias = Callable[[Image], tuple[NDArray[np.float32], NDArray[np.float32]]]

SPLITS = ("train", "validation", "test")
SAMPLES = (
    ("skimage", "data", ("brick", "cell", "chelsea", "chessboard_GRAY", "clock_motion", "coffee", "color", "grass")),
    ("skimage", "data", ("gravel", "horse", "hubble_deep_field", "ihc", "logo", "microaneurysms", "moon", "page")),
    ("skimage", "data", ("motorcycle_left", "motorcycle_right", "phantom", "retina", "rocket", "text")),
    ("sklearn", "datasets/images", ("china", "flower")),
    ("matplotlib", "mpl-data/sample_data", ("Minduka_Present_Blue_Pack", "logo2")),
)
"""Package, folder in it, and pictures there without a person; packages that are not installed are skipped."""
SUFFIXES = (".png", ".jpg")
TEXTURES_PER_SPLIT = 60
"""Enough for two of every kind at every scale."""
MIN_SCORE = 0.2
"""A region with a detection of even this score may contain a face."""
DETECTOR_PX = 640
MARGIN_FRACTION = 0.5
"""Around a face: hair, neck and the edge of a mask are not background."""
MIN_SIDE_PX = 96
MAX_ATTEMPTS = 100
"""Windows to try before giving up on a picture: crowds have no background."""
CROPS_PER_PICTURE = 3
MAX_SIDE_PX = 640
"""For pictures from folders."""
UNCURATED_SCORE = 0.4
"""An uncurated picture with a detection of this score is left out: it may show a face, if only a drawn one."""
MAX_UNCURATED = 450
"""Pictures per uncurated folder, so that no folder outweighs the others."""
LARGE_SIDE_PX = 700
"""An uncurated picture with this shorter side also gives a random part, in which small things are larger."""

log = logging.getLogger(__name__)


def write_empty(
    output: Path,
    *,
    scenes: Path,
    folders: Sequence[Path],
    uncurated: Sequence[Path],
    detector: Path,
    max_backgrounds: int,
    seed: int,
) -> dict[str, dict[str, int]]:
    """Write a folder of PNG files for each split; returns the number of pictures by split and kind.

    Raises:
        ConfigError: the folder is not empty, or scenes or folders are missing.
        ModelError: the detector is missing or invalid.
    """
    check_new_folder(output)
    detect = KerasDetector(open_network(detector), longer_px=DETECTOR_PX, shorter_px=DETECTOR_PX, min_score=MIN_SCORE)
    samples = list(_samples())
    objects = [path for folder in folders for path in list_pictures(folder)]
    candidates = [path for folder in uncurated for path in _chosen(list_pictures(folder), seed)]
    written: dict[str, dict[str, int]] = {}
    train, test = (
        sorted(annotated_scenes(scenes, splits=(split,)), key=lambda scene: scene.path) for split in ("train", "test")
    )
    scenes_of = {"train": train[::2], "validation": train[1::2], "test": test}
    for number, split in enumerate(SPLITS):
        random = np.random.default_rng([seed, number])
        kinds = {
            "object": on_plain_colour(objects[number :: len(SPLITS)], np.random.default_rng([seed, number, 1])),
            "sample": iter(samples[number :: len(SPLITS)]),
            "texture": (texture(random, kind) for kind in range(TEXTURES_PER_SPLIT)),
            "background": islice(_backgrounds(scenes_of[split], detect, random), max_backgrounds),
        }
        if split == "train":
            kinds["uncurated"] = without_detections(candidates, detect, np.random.default_rng([seed, number, 2]))
        (output / split).mkdir(parents=True)
        written[split] = {kind: _write(output / split, kind, pictures) for kind, pictures in kinds.items()}
    return written


def texture(random: np.random.Generator, kind: int) -> Image:
    """A drawn texture, 240 to 640 px wide; kinds are multi-scale noise, stripes, tiles, bricks, discs and scribbles."""
    width = int(random.integers(240, 641))
    height = int(width * random.uniform(0.6, 1.0))
    draw = (_clouds, _stripes, _tiles, _bricks, _discs, _scribbles)[kind % 6]
    return draw(width, height, random)


def on_plain_colour(paths: Sequence[Path], random: np.random.Generator) -> Iterator[Image]:
    """Each picture, at most 640 px, with a random colour behind transparent areas; damaged ones are left out."""
    return map(_limited, _opaque(paths, random))


def without_detections(paths: Sequence[Path], detect: Detect, random: np.random.Generator) -> Iterator[Image]:
    """Pictures in which `detect` finds nothing, and a random part of each large one, at most 640 px."""
    nowhere = np.zeros((0, 4), np.float32)
    for picture in _opaque(tqdm(paths, desc="uncurated", unit="picture", leave=False, disable=None), random):
        parts = [picture]
        if min(picture.shape[:2]) >= LARGE_SIDE_PX:
            parts += [part for part in [background_crop(picture, nowhere, random)] if part is not None]
        for part in map(_limited, parts):
            if min(part.shape[:2]) >= MIN_SIDE_PX and not (detect(part)[1] >= UNCURATED_SCORE).any():
                yield part


def background_crop(
    image: Image, faces: NDArray[np.float32], random: np.random.Generator, *, max_attempts: int = MAX_ATTEMPTS
) -> Image | None:
    """A random part of a picture away from all faces, boxes (n, 4); None if none was found in `max_attempts`."""
    height, width = image.shape[:2]
    sides = faces[:, 2:] - faces[:, :2]
    regions = np.concatenate([faces[:, :2] - MARGIN_FRACTION * sides, faces[:, 2:] + MARGIN_FRACTION * sides], axis=1)
    if min(width, height) < MIN_SIDE_PX:
        return None
    for _ in range(max_attempts):
        columns, rows = (int(random.integers(MIN_SIDE_PX, side + 1)) for side in (width, height))
        left, top = int(random.integers(0, width - columns + 1)), int(random.integers(0, height - rows + 1))
        overlapping = (
            (regions[:, 0] < left + columns)
            & (regions[:, 2] > left)
            & (regions[:, 1] < top + rows)
            & (regions[:, 3] > top)
        )
        if not overlapping.any():
            return image[top : top + rows, left : left + columns]
    return None


def _chosen(paths: list[Path], seed: int) -> list[Path]:
    """At most `MAX_UNCURATED` of the paths, at random: neighbours in a folder are often alike."""
    count = min(MAX_UNCURATED, len(paths))
    return [paths[index] for index in np.random.default_rng(seed).permutation(len(paths))[:count]]


def _opaque(paths: Iterable[Path], random: np.random.Generator) -> Iterator[Image]:
    """Pictures with a random colour behind transparent areas; damaged ones are logged and left out."""
    for path in paths:
        try:
            picture = Pillow.open(path).convert("RGBA")
        # Pillow raises SyntaxError for some damaged files.
        except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
            log.warning("%s: skipped: %s", safe(str(path)), safe(str(error)))
            continue
        behind = Pillow.new("RGBA", picture.size, (*_colour(random), 255))
        yield np.asarray(Pillow.alpha_composite(behind, picture).convert("RGB"))[..., ::-1]


def _limited(picture: Image) -> Image:
    """Scale down to at most `MAX_SIDE_PX`."""
    scaled = Pillow.fromarray(picture)
    scaled.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    return np.asarray(scaled)


def _samples() -> Iterator[Image]:
    for package, folder, names in SAMPLES:
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            continue
        for name in names:
            paths = (Path(found.origin).parent / folder / f"{name}{suffix}" for suffix in SUFFIXES)
            path = next((path for path in paths if path.is_file()), None)
            if path is not None:
                yield read_picture(path)


def _backgrounds(scenes: Sequence[Scene], detect: Detect, random: np.random.Generator) -> Iterator[Image]:
    """Parts of scenes without annotated or detected faces, a few per picture."""
    for index in tqdm(random.permutation(len(scenes)), desc="backgrounds", unit="picture", leave=False, disable=None):
        scene = scenes[index]
        try:
            image = read_picture(scene.path)
        except PictureError:
            continue
        faces = np.concatenate([scene.faces, scene.ignored, detect(image)[0]])
        for _ in range(CROPS_PER_PICTURE):
            part = background_crop(image, faces, random)
            if part is None:
                break
            # Check the part alone as well, in which a face is larger on the input.
            if not len(detect(part)[0]):
                yield part


def _write(folder: Path, kind: str, pictures: Iterator[Image]) -> int:
    count = 0
    for count, picture in enumerate(pictures, 1):
        write_picture(folder / f"{kind}-{count:04}.png", picture)
    return count


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    blue, green, red = (int(value) for value in random.integers(0, 256, 3))
    return blue, green, red


def _clouds(width: int, height: int, random: np.random.Generator) -> Image:
    picture = np.zeros((height, width, 3), np.float32)
    for cells in (2, 4, 8, 16, 32, 64):
        noise = random.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
        cloud = np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
        picture += cloud / cells ** random.uniform(0, 1)
    return np.asarray(cv2.normalize(picture, np.zeros(0), 0, 255, cv2.NORM_MINMAX), np.float32).astype(np.uint8)


def _stripes(width: int, height: int, random: np.random.Generator) -> Image:
    rows, columns = np.mgrid[0:height, 0:width]
    angle, period = random.uniform(0, np.pi), random.uniform(6, 80)
    wave = (np.sin((columns * np.cos(angle) + rows * np.sin(angle)) * 2 * np.pi / period) + 1) / 2
    first, second = (np.array(_colour(random)) for _ in range(2))
    return np.asarray(first * wave[..., None] + second * (1 - wave[..., None])).astype(np.uint8)


def _tiles(width: int, height: int, random: np.random.Generator) -> Image:
    cells = int(random.integers(3, 16))
    small = random.integers(0, 256, (cells, cells, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def _bricks(width: int, height: int, random: np.random.Generator) -> Image:
    picture = np.full((height, width, 3), _colour(random), np.uint8)
    tall = int(random.integers(12, 50))
    for row, top in enumerate(range(0, height, tall)):
        for left in range(-tall * (row % 2), width, 2 * tall):
            cv2.rectangle(picture, (left, top), (left + 2 * tall - 3, top + tall - 3), _colour(random), cv2.FILLED)
    return picture


def _discs(width: int, height: int, random: np.random.Generator) -> Image:
    """Discs: round shapes alone are not faces."""
    picture = np.full((height, width, 3), _colour(random), np.uint8)
    for _ in range(int(random.integers(3, 30))):
        centre = int(random.integers(0, width)), int(random.integers(0, height))
        cv2.circle(picture, centre, int(random.integers(4, 60)), _colour(random), cv2.FILLED)
    return picture


def _scribbles(width: int, height: int, random: np.random.Generator) -> Image:
    picture = np.full((height, width, 3), _colour(random), np.uint8)
    for _ in range(int(random.integers(5, 40))):
        points = random.integers(0, [width, height], (int(random.integers(2, 8)), 2))
        cv2.polylines(picture, [points.astype(np.int32)], False, _colour(random), int(random.integers(1, 12)))
    return picture
