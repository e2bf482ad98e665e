"""`edge-agent detect`: which faces are in these pictures, and how does each wear its mask?"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from edge_agent.camera.pictures import SUFFIXES, picture_paths, read_picture
from edge_agent.commands.options import accept_json, add_command, configured, print_json, with_progress
from edge_agent.errors import ConfigError, PictureError
from edge_agent.vision.annotation import WORDS, annotate
from edge_agent.wiring import open_eyes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from edge_agent.domain import Face, Image, Label
    from edge_agent.vision.faces import FaceFinder
    from edge_agent.vision.masks import MaskReader


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "detect",
        detect,
        summary="find the faces in pictures and read their masks",
        example="edge-agent detect --annotate seen/ pictures/",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="picture, or folder of pictures")
    parser.add_argument(
        "--annotate", type=Path, metavar="FOLDER", help="draw what was found into copies in this folder"
    )
    accept_json(parser)


def detect(options: argparse.Namespace) -> int:
    """Look at each picture; an unreadable one gets a line that says so, and the exit status is then 1."""
    finder, reader = open_eyes(configured(options))
    pictures = picture_paths(options.paths)
    if not pictures:
        folders = ", ".join(map(str, options.paths))
        raise PictureError(f"{folders}: holds no picture; put files there that end in {', '.join(sorted(SUFFIXES))}")
    failed = 0
    for path in with_progress(pictures, unit="pictures"):
        try:
            image = read_picture(path)
        except PictureError as error:
            failed += 1
            _print_failure(path, error, as_json=options.json)
            continue
        seen = _look(path, image, finder, reader)
        _print_seen(seen, as_json=options.json)
        if options.annotate is not None:
            try:
                _save_annotated(seen, image, options.annotate)
            except PictureError as error:
                failed += 1
                print(error, file=sys.stderr)
    return PictureError.exit_code if failed else 0


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is in one picture."""

    path: Path
    size: tuple[int, int]
    faces: list[tuple[Face, Label, Mapping[Label, float]]]
    elapsed_ms: dict[str, float]


def _look(path: Path, image: Image, finder: FaceFinder, reader: MaskReader) -> _Seen:
    began = time.perf_counter()
    faces = finder.find(image)
    found = time.perf_counter()
    readings = [reader.read(image, face.box) for face in faces]
    read = time.perf_counter()
    return _Seen(
        path,
        (image.shape[1], image.shape[0]),
        [(face, label, scores) for face, (label, scores) in zip(faces, readings, strict=True)],
        {"faces": 1000 * (found - began), "masks": 1000 * (read - found)},
    )


def _print_seen(seen: _Seen, *, as_json: bool) -> None:
    if not as_json:
        words = [f"{WORDS[label]} {scores[label]:.0%} at {face.box.as_ints()}" for face, label, scores in seen.faces]
        print(f"{seen.path}: {'; '.join(words) or 'no face'}")
        return
    faces = [
        {
            "box": [round(side, 1) for side in (face.box.x1, face.box.y1, face.box.x2, face.box.y2)],
            "face_score": round(face.score, 4),
            "label": label,
            "label_score": round(scores[label], 4),
            "scores": {name: round(score, 4) for name, score in scores.items()},
        }
        for face, label, scores in seen.faces
    ]
    width, height = seen.size
    elapsed = {stage: round(value, 2) for stage, value in seen.elapsed_ms.items()}
    print_json({"path": str(seen.path), "width": width, "height": height, "faces": faces, "elapsed_ms": elapsed})


def _print_failure(path: Path, error: PictureError, *, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(path), "error": str(error)})
    else:
        print(f"{path}: {error}", file=sys.stderr)


def _save_annotated(seen: _Seen, image: Image, folder: Path) -> None:
    """Keep the name and the last folder of the original, which tells most pictures apart.

    Raises:
        ConfigError: the copy would stand among originals, or cannot be written.
        PictureError: it is too long or too high for a JPEG.
    """
    originals = seen.path.absolute().parent
    target = folder / originals.name / f"{seen.path.stem}.jpg"
    if target.parent.exists() and target.parent.samefile(originals):
        raise ConfigError(f"--annotate {folder}: would replace pictures in {originals}; choose another folder")
    drawn = annotate(image, [(face.box, label, scores[label]) for face, label, scores in seen.faces])
    done, content = cv2.imencode(".jpg", drawn)
    if not done:
        width_px, height_px = seen.size
        raise PictureError(f"{seen.path}: {width_px}x{height_px} pixels cannot be drawn as JPEG; cut it into pieces")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.tobytes())
    except OSError as error:
        raise ConfigError(f"--annotate {folder}: cannot write {target}: {error.strerror}") from error
