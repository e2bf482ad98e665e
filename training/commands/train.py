"""`edge-train masks` and `edge-train faces`: train a mask classifier or a face detector by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.command_line import add_command
from edge_agent.foreign_text import safe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def add_to(commands: Any) -> None:
    """Add the commands."""
    example = "edge-train masks training/recipes/masks-1.yaml --output runs/masks-1"
    masks = _add_to(commands, "masks", train_masks, network="a mask classifier", example=example)
    masks.add_argument("--packs", type=Path, metavar="FOLDER", help="cache of cropped faces (default: next to the run)")
    example = "edge-train faces training/recipes/faces/accurate.yaml --output runs/faces"
    _add_to(commands, "faces", train_faces, network="a face detector", example=example)


def _add_to(
    commands: Any, name: str, action: Callable[[argparse.Namespace], int], *, network: str, example: str
) -> argparse.ArgumentParser:
    parser = add_command(
        commands,
        name,
        action,
        summary=f"train {network} from a recipe",
        about=f"Train {network} from a recipe, or resume an interrupted run in the same folder.",
        example=example,
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    parser.add_argument("--output", type=Path, metavar="RUN", help="folder of the run (default: runs/NAME)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="KEY=VALUE",
        help="change one key of the recipe, such as schedule.epochs=3",
    )
    return parser


def train_masks(options: argparse.Namespace) -> int:
    """Train a mask classifier, and print the path of the model."""
    from training.masks.recipe import MaskRecipe
    from training.masks.run import run
    from training.recipe_file import read_recipe

    recipe = read_recipe(options.recipe, MaskRecipe, changes=options.changes)
    folder = options.output or Path("runs") / recipe.name
    run(recipe, folder=folder, packs_folder=options.packs or folder.parent / "packs")
    print(safe(str(folder / "model.keras")))
    return 0


def train_faces(options: argparse.Namespace) -> int:
    """Train a face detector, and print the path of the model."""
    from training.faces.recipe import FaceRecipe
    from training.faces.run import run
    from training.recipe_file import read_recipe

    recipe = read_recipe(options.recipe, FaceRecipe, changes=options.changes)
    folder = options.output or Path("runs") / recipe.name
    run(recipe, folder=folder)
    print(safe(str(folder / "model.keras")))
    return 0
