"""COCO files: writes pictures and their faces in the format that `annotations` reads."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

DIGITS = 2
"""Hundredths of a pixel."""


class CocoFile:
    """The content of a COCO file. File names are relative to its folder."""

    def __init__(self, path: Path, categories: Iterable[str]) -> None:
        """Nothing is written before `write`."""
        self.path = path
        self._categories = {name: number for number, name in enumerate(categories, 1)}
        self._images: dict[str, dict[str, Any]] = {}
        self._annotations: list[dict[str, Any]] = []

    def add_picture(self, path: Path, *, source: str, split: str, drawn_on: Path | None = None) -> None:
        """Add a picture, unless it has been added before; `drawn_on` is the one that it shows with a drawing."""
        name = self._name(path)
        image = {"id": len(self._images) + 1, "file_name": name, "source": source, "split": split}
        self._images.setdefault(name, image | ({"drawn_on": self._name(drawn_on)} if drawn_on else {}))

    def add_face(self, picture: Path, corners: Sequence[float], *, category: str, ignore: bool = False) -> None:
        """Add a face of an added picture; corners are x1, y1, x2, y2 in its pixels."""
        x1, y1, x2, y2 = corners
        face = {
            "id": len(self._annotations) + 1,
            "image_id": self._images[self._name(picture)]["id"],
            "category_id": self._categories[category],
            "bbox": [round(value, DIGITS) for value in (x1, y1, x2 - x1, y2 - y1)],
        }
        self._annotations.append(face | ({"ignore": 1} if ignore else {}))

    def _name(self, picture: Path) -> str:
        return os.path.relpath(picture, self.path.parent)

    def content(self) -> str:
        """The content of the file."""
        return json.dumps(
            {
                "categories": [{"id": number, "name": name} for name, number in self._categories.items()],
                "images": list(self._images.values()),
                "annotations": self._annotations,
            }
        )

    def write(self) -> None:
        """Write the file."""
        self.path.write_text(self.content(), encoding="utf-8")
