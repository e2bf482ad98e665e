"""Recipe files: reads and validates recipes from YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import Field

from edge_agent.config_file import Section, load_as

if TYPE_CHECKING:
    from collections.abc import Sequence

Recipe = TypeVar("Recipe", bound=Section)

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""Keras takes 32 bits, and each random layer its own number from here on."""
RunName = Annotated[str, Field(min_length=1, pattern="^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
"""Names the folder of a run."""


class HeldOutRecipe(Section):
    """Held-out data, and their protection against pictures used for training."""

    duplicate_bits: int = Field(
        6,
        ge=0,
        le=20,
        description="Pictures are near-duplicates if at most this many bits of their 64-bit hashes differ",
    )
    test_sets: tuple[Path, ...] = Field(
        (),
        description="COCO files (their test split) and folders used for evaluation; these pictures and near-duplicates "
        "are used neither for training nor for validation",
    )
    fraction: float = Field(0.2, gt=0.0, lt=0.9, description="Share of each source's pictures held out for validation")


def read_recipe(path: Path, model: type[Recipe], *, changes: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe; `changes` such as `model.alpha=0.5` override the file.

    Raises:
        ConfigError: the file is missing, not YAML, or invalid; every error is listed with its line.
    """
    return load_as(model, path, overrides=changes, if_missing="examples are in training/recipes")
