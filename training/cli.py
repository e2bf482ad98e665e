"""The commands: `edge-train masks`, `faces`, `synthesise` and `explore`; errors become exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
FULL_DISK = 74  # EX_IOERR


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 78 a file or recipe to correct, 130 interrupted."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # TensorFlow tells its life at start; only its errors matter to a person.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return _obey(options)
    except AgentError as error:
        print(f"edge-train: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(
            f"edge-train: {error.filename or 'disk'}: {error.strerror}; make room or choose another folder",
            file=sys.stderr,
        )
        return FULL_DISK
    except KeyboardInterrupt:
        print("edge-train: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return INTERRUPTED


def _obey(options: argparse.Namespace) -> int:
    match options.command:
        case "masks":
            return _masks(options)
        case "faces":
            return _faces(options)
        case "synthesise":
            return _synthesise(options)
        case _:
            return _explore(options)


def _masks(options: argparse.Namespace) -> int:
    from training.masks.recipe import read_recipe
    from training.masks.run import run

    recipe = read_recipe(options.recipe, changes=options.changes)
    folder = options.output or Path("runs") / recipe.name
    run(recipe, folder=folder, packs_folder=options.packs or folder.parent / "packs")
    print(folder / "model.keras")
    return 0


def _faces(options: argparse.Namespace) -> int:
    from training.faces.recipe import read_recipe
    from training.faces.run import run

    recipe = read_recipe(options.recipe, changes=options.changes)
    folder = options.output or Path("runs") / recipe.name
    run(recipe, folder=folder)
    print(folder / "model.keras")
    return 0


def _synthesise(options: argparse.Namespace) -> int:
    from training.masks.landmarks import LandmarkFinder
    from training.masks.synthesise import synthesise

    finder = LandmarkFinder(options.finder, min_score=options.min_score)
    done = synthesise(
        options.folder,
        output=options.output,
        finder=finder,
        wrong_share=options.wrong_share,
        most=options.most,
        seed=options.seed,
    )
    for line in done.unreadable:
        print(line, file=sys.stderr)
    if done.without_face:
        print(f"{done.without_face} pictures without a face were left out", file=sys.stderr)
    for label, count in done.written.items():
        print(f"{label:<24}{count:>7}")
    print(options.output)
    return 0


def _explore(options: argparse.Namespace) -> int:
    from training.explore import explore

    print(explore(options.dataset, output=options.output, duplicate_bits=options.duplicate_bits))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-train",
        description="Trains the models of maskwatch on a workstation.",
        epilog="example: edge-train masks training/recipes/masks.yaml && edge-convert release runs/masks",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _masks_parser(commands)
    _faces_parser(commands)
    _synthesise_parser(commands)
    _explore_parser(commands)
    return parser


def _masks_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    masks = commands.add_parser(
        "masks",
        help="train a mask reader by a recipe",
        description="Trains a mask reader by a recipe. Started again on the same folder after a kill, it goes on.",
        epilog="example: edge-train masks training/recipes/masks.yaml --output runs/masks",
    )
    _takes_recipe(masks)
    masks.add_argument(
        "--packs", type=Path, metavar="FOLDER", help="where cut faces are kept (default: beside the run)"
    )


def _faces_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    faces = commands.add_parser(
        "faces",
        help="train a face finder by a recipe",
        description="Trains a face finder by a recipe. Started again on the same folder after a kill, it goes on.",
        epilog="example: edge-train faces training/recipes/faces/accurate.yaml --output runs/faces",
    )
    _takes_recipe(faces)


def _takes_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    parser.add_argument("--output", type=Path, metavar="RUN", help="folder of the run (default: runs/NAME)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="KEY=VALUE",
        help="change one key of the recipe, as schedule.epochs=3",
    )


def _synthesise_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    synthesise = commands.add_parser(
        "synthesise",
        help="draw masks on bare faces",
        description="Draws masks on bare faces, worn properly or wrongly, and writes a labelled data set.",
        epilog="example: edge-train synthesise bare_faces --output drawn --finder face_detection_yunet_2023mar.onnx",
    )
    synthesise.add_argument("folder", type=Path, metavar="FOLDER", help="pictures of bare faces")
    synthesise.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new folder")
    synthesise.add_argument(
        "--finder", type=Path, required=True, metavar="YUNET.onnx", help="finds faces and landmarks"
    )
    synthesise.add_argument("--min-score", type=float, default=0.6, help="of a face, 0..1 (default: 0.6)")
    synthesise.add_argument("--wrong-share", type=float, default=0.6, help="masks worn wrongly, 0..1 (default: 0.6)")
    synthesise.add_argument("--most", type=int, default=5000, help="pictures to take at most (default: 5000)")
    synthesise.add_argument("--seed", type=int, default=1)


def _explore_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explore = commands.add_parser(
        "explore",
        help="look at a data set",
        description="Counts faces by label, size and source, finds duplicates and unreadable pictures, draws a sheet.",
        epilog="example: edge-train explore scenes/annotations.json --output sheet.png",
    )
    explore.add_argument("dataset", type=Path, metavar="DATASET", help="class folders or a COCO file")
    explore.add_argument("--output", type=Path, metavar="SHEET.png", help="contact sheet (default: none)")
    explore.add_argument("--duplicate-bits", type=int, default=6, help="bits in which near-duplicates may differ")
