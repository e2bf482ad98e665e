"""`edge-train faces`: trains a face detector by a recipe."""

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
        "faces",
        train_faces,
        summary="train a face detector from a recipe",
        about="Trains a face detector from a recipe. Given the same folder again, it resumes an interrupted run.",
        example="edge-train faces training/recipes/faces/accurate.yaml --output runs/faces",
    )
    add_recipe_options(parser)


def train_faces(options: argparse.Namespace) -> int:
    """Train, and print the path of the model."""
    from training.faces.recipe import FaceRecipe
    from training.faces.run import run
    from training.recipe_file import read_recipe

    recipe = read_recipe(options.recipe, FaceRecipe, changes=options.changes)
    folder = options.output or Path("runs") / recipe.name
    run(recipe, folder=folder)
    print(safe(str(folder / "model.keras")))
    return 0
