"""`edge-convert release` of a detector's run: installs its networks and card if they pass the accuracy check."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from converter.atomic_files import write_atomically
from converter.errors import check_passed
from converter.faces.accuracy_check import check_detector
from converter.faces.candidates import DetectorCandidate, DetectorSettings, float_detect, open_detector_candidates
from converter.faces.evaluation import evaluate_detectors, scenes_of
from converter.faces.verification import check_name, detector_files, renamed, verify_detector
from converter.model_card import detector_model_card, replace_section
from converter.model_kind import CARD_SUFFIX, converted_card_of
from converter.progress import print_message
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from edge_agent.vision.card import read_detector_card

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from edge_agent.vision.card import DetectorCard

DEFAULT_NAME = "faces"


def release_detector(options: argparse.Namespace, *, model_card: Path) -> int:
    """Compare with the float network, and write only if the accuracy check passes."""
    if options.scenes is None:
        raise ConfigError("no test data; give --scenes, with pictures that the detector was not trained on")
    name = options.name or DEFAULT_NAME
    check_name(name)
    card_file = converted_card_of(options.run)
    card, contents, _ = read_detector_card(card_file)
    title = f"{options.source or 'scenes'}, split {options.split}"
    print_message(f"evaluating on {title}")
    settings = DetectorSettings()
    (converted,) = open_detector_candidates([str(card_file)], settings)
    original = DetectorCandidate(
        str(options.run), float_detect(options.run, card, min_face_px=settings.min_face_px), converted.min_score
    )
    scenes = scenes_of(options.scenes, split=options.split, source=options.source)
    reports = evaluate_detectors([converted, original], scenes, [])
    check_passed(check_detector(reports[0], reports[1], [len(content) for content in contents]), title=title)
    evaluation = {title: _summary(asdict(reports[0])) | {"ap_of_float": reports[1].ap}}
    card = renamed(card, name).model_copy(update={"metrics": dict(card.metrics) | {"test": evaluation}})
    verify_detector(card, contents)
    files = detector_files(card, contents, folder=options.models)
    before = _networks(options.models / f"{name}{CARD_SUFFIX}")
    part = detector_model_card(card, title, reports[0], reports[1])
    text = model_card.read_text(encoding="utf-8") if model_card.is_file() else ""
    write_atomically(files | {model_card: replace_section(text, part).encode()})
    for path in before - set(files):
        path.unlink(missing_ok=True)
    for path in (*files, model_card):
        print(safe(str(path)))
    return 0


def _networks(card_file: Path) -> set[Path]:
    """The networks of the detector that is replaced; they would remain if their sizes differ."""
    if not card_file.is_file():
        return set()
    card: DetectorCard = read_detector_card(card_file)[0]
    return {card_file.parent / file.file for file in card.files}


def _summary(report: dict[str, Any]) -> dict[str, Any]:
    """The part of a report that is stored in a card: nothing specific to this machine."""
    return {name: report[name] for name in ("pictures", "faces", "ap", "recall", "false_detections")}
