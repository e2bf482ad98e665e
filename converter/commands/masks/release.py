"""`edge-convert release` of a mask classifier: model, card, float weights and its part of MODEL_CARD.md."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.atomic_files import write_atomically
from converter.commands.options import MIN_SIDE_PX
from converter.errors import check_passed
from converter.labelled_faces import LabelledFace, faces_of_scenes, labelled_faces_in
from converter.masks.accuracy_check import check_accuracy
from converter.masks.candidates import open_candidates
from converter.masks.evaluation import Evaluation, evaluate
from converter.masks.loading import RUN_MODEL
from converter.masks.verification import verify
from converter.model_card import classifier_model_card, replace_section
from converter.model_kind import TFLITE_SUFFIX, converted_model_of
from converter.progress import print_message
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from edge_agent.vision.card import ClassifierCard, card_path, read_classifier_card
from training.run_folder import WEIGHTS_SUFFIX
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    import argparse


def release_classifier(options: argparse.Namespace, *, model_card: Path) -> int:
    """Compare with the float model, and write only if the accuracy check passes on all given faces."""
    converted = converted_model_of(options.run)
    tests = _tests(options)
    candidates = open_candidates([converted, options.run], faces=tests[0][1])
    evaluations = []
    for title, faces in tests:
        print_message(f"evaluating on {title}")
        evaluation = evaluate(candidates, faces, with_bands=faces[0].box is not None)
        for error in evaluation.unreadable:
            print_message(f"skipped: {error}")
        check_passed(check_accuracy(evaluation), title=title)
        evaluations.append((title, evaluation))
    name = options.name or converted.stem
    evaluated, content = read_classifier_card(converted)
    card = _with_evaluations(evaluated, name, evaluations)
    verify(content, card)
    target = options.models / f"{name}{TFLITE_SUFFIX}"
    part = classifier_model_card(card, evaluations, min_face_px=MIN_SIDE_PX)
    text = replace_section(model_card.read_text(encoding="utf-8") if model_card.is_file() else "", part)
    files = {
        target: content,
        card_path(target): card.to_json().encode(),
        model_card: text.encode(),
    }
    if (options.run / RUN_MODEL).is_file():
        files[target.with_suffix(WEIGHTS_SUFFIX)] = _weights(options.run / RUN_MODEL)
    write_atomically(files)
    for path in files:
        print(safe(str(path)))
    return 0


def _weights(model: Path) -> bytes:
    """A `.keras` file of the network without the state of its optimizer, from which others can continue to train."""
    with quiet_tensorflow(), tempfile.TemporaryDirectory() as folder:
        import keras

        file = Path(folder) / model.name
        keras.models.load_model(model, compile=False).save(file)
        return file.read_bytes()


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


def _with_evaluations(card: ClassifierCard, name: str, evaluations: list[tuple[str, Evaluation]]) -> ClassifierCard:
    result = {title: _summary(evaluation) for title, evaluation in evaluations}
    return card.model_copy(update={"name": name, "metrics": card.metrics | {"test": result}})


def _summary(evaluation: Evaluation) -> dict[str, Any]:
    """The part of an evaluation that is stored in a card; intervals, bands and confusion are in MODEL_CARD.md."""
    (agreement,) = evaluation.agreements
    return evaluation.results[0].metrics.summary() | {"agreement_with_float": agreement.as_json()["agreement"]}
