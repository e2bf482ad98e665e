"""Teacher: detects faces that are not annotated, with another detector.

Its detections are cached in a file beside the run, so that a resumed run does not repeat them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edge_agent.host.atomic_files import write_whole
from training.faces.keras_detector import KerasDetector
from training.faces.network import open_network
from training.run_folder import FILE_MODE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.domain import Image
    from training.faces.recipe import TeacherRecipe

    Detections: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]

ROW_LENGTH = 5


class Teacher:
    """A detector with a cache of its detections, which `with` writes, also when interrupted. Owned by one thread."""

    def __init__(self, recipe: TeacherRecipe, *, cache_path: Path) -> None:
        """Load the detector and the cache.

        Raises:
            ModelError: the detector is missing or invalid.
        """
        side = recipe.longer_side_px
        # Square, so that portrait and landscape pictures are scaled alike.
        self._detector = KerasDetector(
            open_network(recipe.detector), longer_px=side, shorter_px=side, min_score=recipe.ignore_score
        )
        self._cache_path = cache_path
        self._cached_detections: dict[str, list[list[float]]] = {}
        if cache_path.is_file():
            self._cached_detections = json.loads(cache_path.read_text(encoding="utf-8"))

    def __call__(self, image: Image, path: Path) -> Detections:
        """Boxes (n, 4) and scores (n,) of a picture, in its pixels, highest first."""
        name = str(path)
        if name not in self._cached_detections:
            boxes, scores = self._detector(image)
            self._cached_detections[name] = np.concatenate([boxes, scores[:, None]], axis=1).round(3).tolist()
        rows = np.array(self._cached_detections[name], np.float32).reshape(-1, ROW_LENGTH)
        return rows[:, :4], rows[:, 4]

    def __enter__(self) -> Teacher:
        """Return self; the cache is read already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write the cache."""
        write_whole(self._cache_path, json.dumps(self._cached_detections).encode(), mode=FILE_MODE)
