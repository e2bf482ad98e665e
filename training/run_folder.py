"""Run folder: the parts that runs of classifiers and detectors have in common."""

from __future__ import annotations

import importlib.metadata
import logging
import math
from typing import TYPE_CHECKING

import yaml

from edge_agent.errors import ConfigError
from edge_agent.foreign_text import safe
from edge_agent.host.atomic_files import write_whole
from training.label_names import label_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import keras
    from pydantic import BaseModel

    from training.coco import CocoFile

RECIPE = "recipe.yaml"
FACES, SCENES = MANIFESTS = ("faces.json", "scenes.json")
"""The data of a run of a classifier and of a detector."""
WEIGHTS_SUFFIX = ".keras"
FILE_MODE = 0o666
"""Of files that are replaced as a whole; the umask restricts it, as that of other files."""
MAX_UNREADABLE_SHOWN = 20

log = logging.getLogger(__name__)


def prepare_run_folder(folder: Path, recipe: BaseModel) -> None:
    """Create a folder and write the recipe into it, unless it holds a run of this recipe already.

    Raises:
        ConfigError: it holds a run of another recipe, whose weights would be resumed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    path = folder / RECIPE
    # A run whose data or weights were insufficient has nothing but its recipe, which is corrected, and its manifest.
    has_begun = path.is_file() and any(other.name not in {RECIPE, *MANIFESTS} for other in folder.iterdir())
    if not has_begun:
        write_whole(path, text.encode(), mode=FILE_MODE)
    elif path.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{folder}: holds a run of another recipe ({RECIPE} differs); give another --output or remove it"
        )


def keep_manifest(manifest: CocoFile, *, has_begun: bool) -> None:
    """Write the manifest of a run's data, unless the run has begun: it then must be the same.

    Raises:
        ConfigError: the run began with other data, so that its validation faces may have been training faces.
    """
    path = manifest.path
    if not has_begun or not path.is_file():
        manifest.write()
    elif path.read_text(encoding="utf-8") != manifest.content():
        raise ConfigError(
            f"{path.parent}: holds a run on other data ({path.name} differs); give another --output or remove it"
        )


def check_loss(loss: float, *, epoch: int) -> None:
    """Check the loss of an epoch.

    Raises:
        ConfigError: it is no number; the weights are none either, and no later epoch repairs them.
    """
    if not math.isfinite(loss):
        raise ConfigError(
            f"epoch {epoch}: the loss is {loss}: training diverged; lower schedule.learning_rate in the recipe, and "
            "give another --output"
        )


def check_new_folder(folder: Path) -> None:
    """Check that a folder for results is missing or empty, so that two results do not mix.

    Raises:
        ConfigError: it is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: is not empty; give a new folder")


def log_data(table: str, unreadable: Sequence[str]) -> None:
    """Log the counts of a data set, and its unreadable pictures."""
    log.info("%s", table)
    if unreadable:
        shown = "\n  ".join(map(safe, unreadable[:MAX_UNREADABLE_SHOWN]))
        log.warning("%d pictures cannot be read and are left out:\n  %s", len(unreadable), shown)


def save_model(network: keras.Model, path: Path, *, include_optimizer: bool = True) -> None:
    """Write a model completely or, on a full disk, not at all."""
    part = path.with_name(f"part-{path.name}")
    try:
        network.save(part, include_optimizer=include_optimizer)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def data_name(source: str | Path) -> str:
    """The name of a source of data without local paths; of a label's folder, with the two folders above it."""
    if isinstance(source, str):
        return source
    return "/".join(source.parts[-2 if label_of(source.name) is None else -3 :])


def versions() -> dict[str, str]:
    """Versions of the packages that determine a trained model."""
    return {name: importlib.metadata.version(name) for name in ("keras", "numpy")}
