"""`edge-convert evaluate` of face detectors: average precision, recall, false detections, latency."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from converter.commands.options import fraction
from converter.faces.band_plot import draw_bands
from converter.faces.box_style import with_moved_boxes
from converter.faces.candidates import (
    DEFAULT_LONGER_SIDE_PX,
    DEFAULT_MIN_FACE_PX,
    DEFAULT_MIN_SCORE,
    DetectorCandidate,
    DetectorSettings,
    open_detector_candidates,
)
from converter.faces.evaluation import MIN_FACE_PX, Band, DetectorReport, evaluate_detectors, scenes_of
from converter.labelled_faces import faces_in
from converter.model_kind import CARD_SUFFIX
from edge_agent.command_line import number
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from edge_agent.vision.classifier import open_classifier
from training.plotting import require_plot_format

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from training.faces.scenes import Scene


def add_detector_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for detectors."""
    group = parser.add_argument_group("of face detectors (average precision by overlap and size, times)")
    group.add_argument(
        "--empty", type=Path, metavar="DIR", help="pictures without people, to count false detections in"
    )
    group.add_argument(
        "--classifier",
        type=Path,
        action="append",
        default=[],
        metavar="MODEL",
        help="the mask classifier for all detectors, or one per detector: detections that it rejects are not "
        "counted, and the share of faces detected and classified correctly is printed",
    )
    group.add_argument("--plot", type=Path, metavar="FILE.png", help="also plot the shares by size and pose")
    group.add_argument(
        "--moved",
        action="store_true",
        help="also evaluate third-party detectors with boxes moved to the style of the annotations, fitted on the "
        "train split of the same scenes",
    )
    group.add_argument(
        "--min-score",
        type=fraction,
        metavar="SCORE",
        help=f"minimum score of a detection (default: that of the card, else {DEFAULT_MIN_SCORE:g})",
    )
    group.add_argument(
        "--smallest",
        type=number(least=1),
        default=DEFAULT_MIN_FACE_PX,
        metavar="PX",
        help="smallest face to detect; determines the input size of the project's detector (default: %(default)g)",
    )
    group.add_argument(
        "--longer-side",
        type=number(least=32, kind=int),
        default=DEFAULT_LONGER_SIDE_PX,
        metavar="PX",
        help="longer side to which pictures are scaled for YuNet and haar (default: %(default)d)",
    )


def evaluate_detectors_of(options: argparse.Namespace) -> int:
    """Evaluate each detector on the same pictures, with one thread."""
    if options.scenes is None:
        raise ConfigError(f"{options.models[0]}: a face detector needs --scenes, where every face has its box")
    if options.plot:
        require_plot_format(options.plot)
    settings = DetectorSettings(options.smallest, options.longer_side, options.min_score, options.runtime)
    scenes = scenes_of(options.scenes, split=options.split, source=options.source)
    empty = [face.path for face in faces_in(options.empty)] if options.empty else []
    candidates = open_detector_candidates([str(model) for model in options.models], settings)
    candidates = _with_classifiers(candidates, options.classifier)
    if options.moved:
        train_scenes = scenes_of(options.scenes, split="train", source=options.source)
        candidates = [variant for candidate in candidates for variant in _with_moved(candidate, train_scenes)]
    # OpenCV uses all cores by default, TFLite one.
    cv2.setNumThreads(1)
    reports = evaluate_detectors(candidates, scenes, empty)
    if options.plot:
        draw_bands(reports, options.plot)
    if options.json:
        print(json.dumps({"detectors": [asdict(report) for report in reports]}))
    else:
        _print_table(reports)
    return 0


def _with_classifiers(candidates: list[DetectorCandidate], models: Sequence[Path]) -> list[DetectorCandidate]:
    if not models:
        return candidates
    if len(models) not in {1, len(candidates)}:
        raise ConfigError(f"--classifier: give it once, or once for each of the {len(candidates)} detectors, in order")
    opened = [open_classifier(model) for model in models] * (len(candidates) // len(models))
    return [replace(candidate, classifier=classifier) for candidate, classifier in zip(candidates, opened, strict=True)]


def _with_moved(candidate: DetectorCandidate, scenes: Sequence[Scene]) -> list[DetectorCandidate]:
    """Add shifted variants, except of the project's own detectors: trained on such boxes, they only gain noise."""
    is_own = candidate.name.endswith((CARD_SUFFIX, ".keras")) or Path(candidate.name).is_dir()
    return [candidate] if is_own else [candidate, with_moved_boxes(candidate, scenes)]


def _print_table(reports: Sequence[DetectorReport]) -> None:
    first = reports[0]
    print(f"{first.pictures} pictures, {first.faces} faces of {MIN_FACE_PX:g} px and more", end="")
    print(f", {first.empty_pictures} pictures without people" if first.empty_pictures else "")
    width = max(len(safe(report.name)) for report in reports)
    columns = " ".join(f"{_band(name):>10}" for name in first.ap)
    print(f"{'average precision':{width}} {columns}  from score   found  false  in empty      ms   time")
    for report in reports:
        values = " ".join(f"{value:>10.3f}" for value in report.ap.values())
        in_empty = f"{report.false_detections_in_empty:>8.3f}" if report.empty_pictures else f"{'-':>8}"
        at_score = f"{report.min_score:>10.3g}  {report.recall:>6.3f} {report.false_detections:>6.3f}  {in_empty}"
        times = f"{report.median_ms:>7.2f}  {report.median_ms / first.median_ms:>5.2f}"
        print(f"{safe(report.name):{width}} {values}  {at_score} {times}")
    print(
        "found: share of faces detected; false: detections per picture that match no annotated face; "
        "time: relative to the first"
    )
    what = "detected" if first.read_right is None else "detected / detected and classified correctly"
    for grouping, bands in first.bands.items():
        print(f"{what}, by {grouping.replace('_px', ' in px')}:")
        for name, band in bands.items():
            shares = " ".join(f"{_share(report.bands[grouping][name]):>13}" for report in reports)
            print(f"  {safe(name):<22} {band.faces:>6} faces {shares}")


def _share(band: Band) -> str:
    return f"{band.recall:.3f}" if band.read_right is None else f"{band.recall:.3f} / {band.read_right:.3f}"


def _band(name: str) -> str:
    """`ap_50_16px` as a column heading: overlap in per cent and smallest face."""
    _, overlap, smallest = name.split("_")
    return f".{overlap} {smallest}+"
