"""`edge-convert calibrate` of a detector's card: chooses the minimum score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from converter.atomic_files import write_atomically
from converter.commands.options import share_above_zero
from converter.faces.candidates import DetectorSettings, open_detector_candidates
from converter.faces.evaluation import detections_in, scenes_of
from converter.faces.score_threshold import choose_min_score
from converter.labelled_faces import faces_in
from converter.progress import print_message, with_progress
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from edge_agent.vision.card import read_detector_card
from edge_agent.vision.classifier import open_classifier
from edge_agent.vision.images import read_picture

if TYPE_CHECKING:
    import argparse

    from converter.faces.candidates import DetectorCandidate
    from edge_agent.domain import Image
    from edge_agent.vision.classifier import MaskClassifier

MAX_FALSE_DETECTIONS = 0.01
"""One per hundred pictures without people: the target of the project."""


def add_detector_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for detectors."""
    group = parser.add_argument_group("of a face detector's card (.json)")
    group.add_argument(
        "--empty", type=Path, metavar="DIR", help="pictures without people, other than those used for evaluation"
    )
    group.add_argument(
        "--false-detections",
        type=share_above_zero,
        default=MAX_FALSE_DETECTIONS,
        metavar="FRACTION",
        help="allowed false detections per such picture (default: %(default)g)",
    )
    group.add_argument(
        "--classifier",
        type=Path,
        metavar="MODEL.tflite",
        help="the mask classifier: detections that it rejects are not counted as false, and the lowest score that "
        "--false-detections allows is chosen",
    )


def calibrate_detector(options: argparse.Namespace) -> int:
    """Choose the score on scenes and on pictures without people, and update the card."""
    if options.scenes is None or options.empty is None:
        raise ConfigError(
            "a face detector needs --scenes and --empty: what it has to find, and what it must not take for one"
        )
    card = read_detector_card(options.model)[0]
    (candidate,) = open_detector_candidates([str(options.model)], DetectorSettings())
    scenes = scenes_of(options.scenes, split=options.split, source=options.source)
    found = [
        detections_in(scene, candidate.detect(read_picture(scene.path)))
        for scene in with_progress(scenes, total=len(scenes), what="detecting")
    ]
    empty = [face.path for face in faces_in(options.empty)]
    classifier = open_classifier(options.classifier) if options.classifier else None
    in_empty = [
        _scores_of_faces(candidate, read_picture(path), classifier)
        for path in with_progress(empty, total=len(empty), what="detecting in pictures without people")
    ]
    chosen = choose_min_score(
        found, in_empty, max_false_detections=options.false_detections, lowest=classifier is not None
    )
    print_message(
        f"from {chosen.min_score:g} on: {chosen.recall:.1%} of the faces found, {chosen.precision:.1%} of the "
        f"detections are annotated faces, {chosen.false_detections_in_empty:.3f} detections in each of {len(empty)} "
        "pictures without people"
    )
    written = card.model_copy(update={"min_score": chosen.min_score})
    write_atomically({options.model: written.to_json().encode()})
    print(safe(str(options.model)))
    return 0


def _scores_of_faces(candidate: DetectorCandidate, image: Image, classifier: MaskClassifier | None) -> list[float]:
    """The scores of detections that the classifier, if given, accepts as faces."""
    found = candidate.detect(image)
    return [face.score for face in found if classifier is None or classifier.classify(image, face.box).is_face]
