"""Run files: finds the converted model in a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.model_kind import TFLITE_SUFFIX
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def converted_model_of(run: Path) -> Path:
    """The one converted model in the folder of a run; names with a format, as `masks.float32.tflite`, do not count.

    Raises:
        ConfigError: no such folder, none or several.
    """
    if not run.is_dir():
        raise ConfigError(f"{run}: no such training run")
    models = sorted(path for path in run.glob(f"*{TFLITE_SUFFIX}") if len(path.suffixes) == 1)
    if len(models) != 1:
        raise ConfigError(
            f"{run}: holds {len(models)} converted models instead of one; make it with "
            f"'edge-convert convert {run} --calibration FOLDER --output {run}', or take the others away"
        )
    return models[0]
