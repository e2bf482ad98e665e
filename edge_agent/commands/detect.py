"""`edge-agent detect`: detects faces in pictures and classifies their masks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from edge_agent.camera.pictures import picture_paths
from edge_agent.command_line import with_progress
from edge_agent.commands.options import accept_json, add_command, configured, distinct, named, print_json
from edge_agent.domain import Box
from edge_agent.errors import ConfigError, PictureError
from edge_agent.foreign_text import safe
from edge_agent.vision.annotation import annotate, in_words
from edge_agent.vision.detection import detect as analyse
from edge_agent.vision.images import SUFFIXES, read_picture
from edge_agent.wiring import open_models

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection

    from edge_agent.domain import Image
    from edge_agent.vision.detection import Detection


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "detect",
        detect,
        summary="detect faces in pictures and classify their masks",
        example="edge-agent detect --annotate annotated/ pictures/",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="picture, or folder of pictures")
    parser.add_argument(
        "--annotate",
        type=Path,
        metavar="FOLDER",
        help="write annotated copies to this folder; those of equal names are numbered",
    )
    accept_json(parser)


def detect(options: argparse.Namespace) -> int:
    """Analyse each picture. Unreadable ones are reported, and the exit status is then 1."""
    detector, classifier = open_models(configured(options))
    pictures = picture_paths(options.paths)
    if not pictures:
        folders = ", ".join(map(str, options.paths))
        raise PictureError(f"{folders}: contains no pictures; add files that end in {', '.join(sorted(SUFFIXES))}")
    originals = {path.parent.resolve() for path in pictures}
    failed = 0
    # Of `pictures/a.png` "pictures/a": folders keep pictures of equal names apart.
    names = distinct(str(Path(named(path).parent.name, path.stem)) for path in pictures)
    for path, name in zip(with_progress(pictures, unit="pictures"), names, strict=True):
        try:
            image = read_picture(path)
        except PictureError as error:
            failed += 1
            _print_failure(path, error, as_json=options.json)
            continue
        seen = analyse(image, detector, classifier)
        _print_seen(path, seen, as_json=options.json)
        if options.annotate is not None:
            try:
                _save_annotated(path, seen, image, options.annotate / f"{name}.jpg", originals=originals)
            except PictureError as error:
                failed += 1
                print(safe(str(error)), file=sys.stderr)
    return PictureError.exit_code if failed else 0


def _print_seen(path: Path, seen: Detection, *, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(path), **seen.model_dump(mode="json")})
        return
    words = [f"{in_words(face.label, face.label_score)} at {Box(*face.box).as_ints()}" for face in seen.faces]
    print(safe(f"{path}: {'; '.join(words) or 'no face'}"))


def _print_failure(path: Path, error: PictureError, *, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(path), "error": str(error)})
    else:
        print(safe(str(error)), file=sys.stderr)


def _save_annotated(path: Path, seen: Detection, image: Image, target: Path, *, originals: Collection[Path]) -> None:
    """Write an annotated copy.

    Raises:
        ConfigError: the copy would be written into one of the folders `originals`, or cannot be written.
        PictureError: the picture is too wide or too high for JPEG.
    """
    if target.parent.resolve() in originals:
        raise ConfigError(f"--annotate: would replace pictures in {target.parent}; choose another folder")
    drawn = annotate(image, [(Box(*face.box), face.label, face.label_score) for face in seen.faces])
    done, content = cv2.imencode(".jpg", drawn)
    if not done:
        raise PictureError(f"{path}: {seen.width}x{seen.height} pixels cannot be drawn as JPEG; cut it into pieces")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.tobytes())
    except OSError as error:
        raise ConfigError(f"--annotate: cannot write {target}: {error.strerror}") from error
