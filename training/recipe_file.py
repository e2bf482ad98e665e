"""Recipe files: reads and validates recipes from YAML files."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from edge_agent.config.load import load_as
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Recipe = TypeVar("Recipe", bound=BaseModel)


def read_recipe_file(path: Path, model: type[Recipe], *, changes: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe; `changes` such as `model.alpha=0.5` override the file.

    Raises:
        ConfigError: the file is missing, not YAML, or invalid; every error is listed with its line.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such recipe; examples are in training/recipes")
    return load_as(model, path, overrides=changes)
