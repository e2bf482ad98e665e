"""Options shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def add_command(
    commands: Any, name: str, action: Callable[[argparse.Namespace], int], *, summary: str, about: str, example: str
) -> argparse.ArgumentParser:
    """Add a command; its `--help` contains `about` and ends with the example."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=about, epilog=f"example: {example}"
    )
    parser.set_defaults(action=action)
    return parser


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every training command."""
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
