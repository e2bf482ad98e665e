"""`edge-convert release`: may this training run go to the devices?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.candidates import TFLITE_SUFFIX, open_candidates
from converter.commands.options import MIN_SIDE_PX, add_command
from converter.commands.release_finder import release_finder
from converter.evaluation import Evaluation, evaluate
from converter.faces import LabelledFace, faces_of_scenes, labelled_faces_in
from converter.finders import is_finder_run
from converter.gate import GateError, hold_against
from converter.model_card import model_card, with_part
from converter.progress import say
from converter.proof import prove
from converter.run_files import converted_model_of
from converter.writing import write_together
from edge_agent.errors import ConfigError
from edge_agent.vision.card import MaskCard, card_path, model_bytes, read_card

if TYPE_CHECKING:
    import argparse

MODEL_CARD = "MODEL_CARD.md"


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "release",
        release,
        summary="put the converted model of a training run, its card and MODEL_CARD.md in place, if the gate is open",
        example="edge-convert release runs/masks --scenes annotations.json --split test --source street --name masks",
    )
    parser.add_argument(
        "run",
        type=Path,
        metavar="RUN",
        help="folder of a training run, with the model that 'edge-convert convert RUN --output RUN' made of it",
    )
    parser.add_argument("--scenes", type=Path, metavar="ANNOTATIONS", help="judge on these COCO annotations")
    parser.add_argument("--split", default="test", help="of --scenes: pictures of this split (default: %(default)s)")
    parser.add_argument("--source", help="of --scenes: only pictures of this source")
    parser.add_argument("--folders", type=Path, metavar="DIR", help="judge on these folders, one per label; also both")
    parser.add_argument("--models", type=Path, default=Path("models"), metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--name", help="name of the files there (default: that of the converted model)")


def release(options: argparse.Namespace) -> int:
    """Judge against the float model, and write only what passes on all faces given."""
    if options.split == "train":
        raise ConfigError("--split train: a model card must not quote what the model learnt; give a test split")
    if is_finder_run(options.run):
        return release_finder(options, model_card=options.models / MODEL_CARD)
    converted = converted_model_of(options.run)
    candidates = open_candidates([converted, options.run])
    evaluations = []
    for title, faces in _tests(options):
        say(f"judging on {title}")
        evaluation = evaluate(candidates, faces, with_bands=faces[0].box is not None)
        for sentence in evaluation.unreadable:
            say(f"left out: {sentence}")
        verdict = hold_against(evaluation)
        if verdict.objections:
            raise GateError("\n  ".join((f"{title}: the gate stays closed", *verdict.objections)))
        evaluations.append((title, evaluation))
    name = options.name or converted.stem
    content = model_bytes(converted)
    card = _judged_card(read_card(converted), name, evaluations)
    prove(content, card)
    target = options.models / f"{name}{TFLITE_SUFFIX}"
    part = model_card(card, evaluations, smallest_px=MIN_SIDE_PX)
    said = options.models / MODEL_CARD
    text = with_part(said.read_text(encoding="utf-8") if said.is_file() else "", part)
    files = {
        target: content,
        card_path(target): card.to_json().encode(),
        said: text.encode(),
    }
    write_together(files)
    for path in files:
        print(path)
    return 0


def _tests(options: argparse.Namespace) -> list[tuple[str, list[LabelledFace]]]:
    """What to judge on, with a title that names no folder of this machine."""
    tests = []
    if options.scenes:
        faces = faces_of_scenes(options.scenes, split=options.split, source=options.source, min_side_px=MIN_SIDE_PX)
        tests.append(
            (f"{options.source or 'scenes'}, split {options.split}, faces of {MIN_SIDE_PX:g} px and more", faces)
        )
    if options.folders:
        tests.append(("/".join(options.folders.resolve().parts[-2:]), labelled_faces_in(options.folders)))
    if not tests:
        raise ConfigError(
            "nothing to judge on; give --scenes or --folders, with faces that the model never learnt from"
        )
    return tests


def _judged_card(card: MaskCard, name: str, evaluations: list[tuple[str, Evaluation]]) -> MaskCard:
    judged = {title: _in_short(evaluation) for title, evaluation in evaluations}
    return card.model_copy(update={"name": name, "metrics": card.metrics | {"judged": judged}})


def _in_short(evaluation: Evaluation) -> dict[str, Any]:
    """What a card keeps of an evaluation; intervals, size bands and confusion stand in MODEL_CARD.md."""
    (agreement,) = evaluation.agreements
    return evaluation.judged[0].metrics.in_short() | {"agreement_with_float": agreement.as_json()["agreement"]}
