"""Recipe files: reads and validates recipes from YAML files.

All errors are reported together, each with its line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from edge_agent.errors import ConfigError
from training.mistakes import describe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Recipe = TypeVar("Recipe", bound=BaseModel)


def read_recipe_file(path: Path, model: type[Recipe], *, changes: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe; `changes` such as `model.alpha=0.5` override the file.

    Raises:
        ConfigError: the file is missing, not YAML, or invalid; every error is listed with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such recipe; examples lie in training/recipes") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no keys; examples lie in training/recipes")
    for change in changes:
        _change(content, change)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}:\n{describe(error, text=text, model=model)}") from error


def _change(content: dict[str, Any], change: str) -> None:
    """Set one `key.of.sections=value` in the content of a recipe."""
    path, equals, value = change.partition("=")
    if not equals:
        raise ConfigError(f"--set {change}: write it as key=value, for instance model.alpha=0.5")
    *sections, key = path.strip().split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise ConfigError(f"--set {change}: '{section}' holds no keys")
    content[key] = yaml.safe_load(value)
