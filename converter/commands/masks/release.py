"""`edge-convert release` of a mask classifier: model, card and its part of MODEL_CARD.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from converter.commands.options import MIN_SIDE_PX
from converter.errors import GateError
from converter.labelled_faces import LabelledFace, faces_of_scenes, labelled_faces_in
from converter.masks.candidates import open_candidates
from converter.masks.evaluation import Evaluation, evaluate
from converter.masks.gate import hold_against
from converter.masks.proof import prove
from converter.masks.run_files import converted_model_of
from converter.model_card import classifier_model_card, with_part
from converter.model_kind import TFLITE_SUFFIX
from converter.progress import print_message
from converter.writing import write_together
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from edge_agent.vision.card import ClassifierCard, card_path, model_bytes, read_classifier_card

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def release_classifier(options: argparse.Namespace, *, model_card: Path) -> int:
    """Compare with the float model, and write only if the gate passes on all given faces."""
    converted = converted_model_of(options.run)
    tests = _tests(options)
    candidates = open_candidates([converted, options.run], faces=tests[0][1])
    evaluations = []
    for title, faces in tests:
        print_message(f"judging on {title}")
        evaluation = evaluate(candidates, faces, with_bands=faces[0].box is not None)
        for sentence in evaluation.unreadable:
            print_message(f"skipped: {sentence}")
        verdict = hold_against(evaluation)
        if verdict.objections:
            raise GateError("\n  ".join((f"{title}: gate failed", *verdict.objections)))
        evaluations.append((title, evaluation))
    name = options.name or converted.stem
    content = model_bytes(converted)
    card = _judged_card(read_classifier_card(converted), name, evaluations)
    prove(content, card)
    target = options.models / f"{name}{TFLITE_SUFFIX}"
    part = classifier_model_card(card, evaluations, smallest_px=MIN_SIDE_PX)
    text = with_part(model_card.read_text(encoding="utf-8") if model_card.is_file() else "", part)
    files = {
        target: content,
        card_path(target): card.to_json().encode(),
        model_card: text.encode(),
    }
    write_together(files)
    for path in files:
        print(safe(str(path)))
    return 0


def _tests(options: argparse.Namespace) -> list[tuple[str, list[LabelledFace]]]:
    """The faces to evaluate on, with a title that has no local paths."""
    tests = []
    if options.scenes:
        faces = faces_of_scenes(options.scenes, split=options.split, source=options.source, min_side_px=MIN_SIDE_PX)
        tests.append(
            (f"{options.source or 'scenes'}, split {options.split}, faces of {MIN_SIDE_PX:g} px and more", faces)
        )
    if options.folders:
        tests.append(("/".join(options.folders.resolve().parts[-2:]), labelled_faces_in(options.folders)))
    if not tests:
        raise ConfigError("no test data; give --scenes or --folders, with faces that the model was not trained on")
    return tests


def _judged_card(card: ClassifierCard, name: str, evaluations: list[tuple[str, Evaluation]]) -> ClassifierCard:
    judged = {title: _in_short(evaluation) for title, evaluation in evaluations}
    return card.model_copy(update={"name": name, "metrics": card.metrics | {"judged": judged}})


def _in_short(evaluation: Evaluation) -> dict[str, Any]:
    """The part of an evaluation that is stored in a card; intervals, bands and confusion are in MODEL_CARD.md."""
    (agreement,) = evaluation.agreements
    return evaluation.judged[0].metrics.in_short() | {"agreement_with_float": agreement.as_json()["agreement"]}
