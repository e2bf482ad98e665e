"""`edge-train masks`: trains a mask classifier by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.foreign_text import safe
from training.commands.options import add_command, add_recipe_options

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "masks",
        train_masks,
        summary="train a mask classifier from a recipe",
        about="Trains a mask classifier from a recipe. Given the same folder again, it resumes an interrupted run.",
        example="edge-train masks training/recipes/masks-1.yaml --output runs/masks-1",
    )
    add_recipe_options(parser)
    parser.add_argument(
        "--packs", type=Path, metavar="FOLDER", help="cache of cropped faces (default: next to the run)"
    )


def train_masks(options: argparse.Namespace) -> int:
    """Train, and print the path of the model."""
    from training.masks.recipe import MaskRecipe
    from training.masks.run import run
    from training.recipe_file import read_recipe

    recipe = read_recipe(options.recipe, MaskRecipe, changes=options.changes)
    folder = options.output or Path("runs") / recipe.name
    run(recipe, folder=folder, packs_folder=options.packs or folder.parent / "packs")
    print(safe(str(folder / "model.keras")))
    return 0
