"""Run files: finds the converted model in a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.model_kind import TFLITE_SUFFIX
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def converted_model_of(run: Path) -> Path:
    """The converted model in a run's folder; names with a format, such as `masks.float32.tflite`, are ignored.

    Raises:
        ConfigError: there is no such folder, no model, or more than one.
    """
    if not run.is_dir():
        raise ConfigError(f"{run}: no such training run")
    models = sorted(path for path in run.glob(f"*{TFLITE_SUFFIX}") if len(path.suffixes) == 1)
    if len(models) != 1:
        raise ConfigError(
            f"{run}: holds {len(models)} converted models instead of one; make it with "
            f"'edge-convert convert {run} --calibration FOLDER --output {run}', or remove the others"
        )
    return models[0]
