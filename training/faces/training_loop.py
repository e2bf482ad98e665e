"""Training loop: trains a detector network on scenes, and resumes interrupted runs.

After every epoch the whole state is written to one file, so that an interrupted run resumes with the epoch it was in.
"""

from __future__ import annotations

import io
import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge_agent.host.atomic_files import write_whole
from edge_agent.vision.images import read_picture
from training.faces.batches import Batch, draw_batch
from training.faces.keras_detector import KerasDetector
from training.faces.metrics import SceneDetections, report
from training.faces.narrowing import narrowed
from training.faces.network import open_network
from training.faces.scenes import selection_scenes
from training.run_folder import FILE_MODE, check_loss, save_model
from training.weight_averaging import average_weights
from training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import keras

    from training.faces.recipe import FaceRecipe
    from training.faces.scenes import Scene, SceneSet

STATE = "state.npz"
BEST = "best.keras"
NARROWING_BATCHES = 6
SELECTION_METRIC = "ap_50_16px"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the history; `ap` by band, on the validation scenes that select the best epoch."""

    epoch: int
    learning_rate: float
    loss: float
    ap: dict[str, float]
    seconds: float

    @property
    def selection_metric(self) -> float:
        """The metric by which the best epoch is selected."""
        return self.ap[SELECTION_METRIC]


class _Trainer:
    """Mutable training state: network, optimizer, and the running average that is evaluated."""

    def __init__(self, recipe: FaceRecipe, batches: Iterable[Batch]) -> None:
        """Open the network that a recipe starts from; `batches` of it decide which channels are removed, if any are."""
        import keras

        self.network = open_network(recipe.model.weights)
        if recipe.model.merged_with is not None:
            other = open_network(recipe.model.merged_with)
            average_weights(self.network, other, share=recipe.model.merged_share, name="model.merged_with")
        if (channels := recipe.model.stride_4_channels) is not None:
            self.network = narrowed(self.network, channels=channels, pixels=(batch.pixels for batch in batches))
        self.ema_network = keras.models.clone_model(self.network)
        self.ema_network.set_weights(self.network.get_weights())
        self.optimizer = keras.optimizers.Adam(
            recipe.schedule.learning_rate,
            # The network assigns its own targets, so early steps can be large.
            global_clipnorm=10.0,
            use_ema=True,
            ema_momentum=recipe.schedule.ema_momentum,
            ema_overwrite_frequency=None,
        )
        self.optimizer.build(self.network.trainable_variables)
        self._trained = _with_loss(self.network, recipe)
        self._trained.compile(self.optimizer)

    def train_step(self, batch: Batch, *, learning_rate: float) -> float:
        """Take one step; returns the loss of the batch before it."""
        import keras

        self.optimizer.learning_rate.assign(learning_rate)
        pixels = keras.ops.cast(batch.pixels, "float32")
        loss = self._trained.train_on_batch(pixels, {"faces": batch.faces, "ignored": batch.ignored})
        self._trained.reset_metrics()
        return float(np.asarray(loss))

    def update_ema(self) -> None:
        """Update `ema_network`."""
        current_weights = self.network.get_weights()
        self.optimizer.finalize_variable_values(self.network.trainable_variables)
        self.ema_network.set_weights(self.network.get_weights())
        self.network.set_weights(current_weights)

    def variables(self) -> list[Any]:
        """Everything that a resumed run needs, in a fixed order."""
        return [*self.network.weights, *self.optimizer.variables]


def fit(recipe: FaceRecipe, scenes: SceneSet, *, folder: Path) -> tuple[Epoch, ...]:
    """Train to the end of the schedule; the model is then `best.keras` in the folder.

    Resumes after the last epoch in the folder.

    Raises:
        ConfigError: the loss is no longer a number.
        ModelError: initial weights or the distillation model are missing or do not fit.
    """
    width, height = recipe.validation.width, recipe.validation.height
    with Workers(partial(draw_batch, scenes.train, recipe)) as workers:
        trainer = _Trainer(recipe, workers.batches(epoch=0, count=NARROWING_BATCHES))
        history = _load_state(trainer, folder)
        if history:
            log.info("continues after epoch %d", len(history))
        detect = KerasDetector(trainer.ema_network, longer_px=width, shorter_px=height)
        for epoch in range(len(history), recipe.schedule.epochs):
            started = time.monotonic()
            loss = _train_epoch(trainer, recipe, workers, epoch=epoch)
            check_loss(loss, epoch=epoch)
            rate = float(trainer.optimizer.learning_rate)
            ap = report(detect_all(detect, selection_scenes(scenes.validation, recipe)))
            row = Epoch(epoch, rate, loss, ap, time.monotonic() - started)
            bands = ", ".join(f"{name} {value:.3f}" for name, value in ap.items())
            log.info("epoch %d: loss %.3f, %s (%.0f s)", epoch, loss, bands, row.seconds)
            if row.selection_metric > max((previous.selection_metric for previous in history), default=-1.0):
                save_model(trainer.ema_network, folder / BEST)
            history = (*history, row)
            _save_state(trainer, history, folder)
    return history


def detect_all(detect: KerasDetector, scenes: Sequence[Scene]) -> list[SceneDetections]:
    """The detections in every scene."""
    progress = tqdm(scenes, desc="validating", unit="picture", leave=False, disable=None)
    return [SceneDetections(scene, *detect(read_picture(scene.path))) for scene in progress]


def learning_rate(recipe: FaceRecipe, *, step: int) -> float:
    """Linear warm-up, then cosine decay to 0."""
    schedule = recipe.schedule
    warmup = min(1.0, (step + 1) / max(1, schedule.warmup_steps))
    share = step / (schedule.epochs * schedule.steps_per_epoch)
    return schedule.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * share))


def _with_loss(network: keras.Model, recipe: FaceRecipe) -> keras.Model:
    """Wrap the network in a model that is trained by the losses of `losses.py`, on any Keras backend."""
    import keras

    from training.faces.losses import cells_of, distillation_loss, face_loss

    side, distillation = recipe.augmentation.canvas, recipe.distillation
    cells = cells_of(side, side)
    teacher = open_network(distillation.model) if distillation else None

    class NetworkWithLoss(keras.Model):  # type: ignore[misc]  # Keras has no types
        def compute_loss(self, x: Any, y: Any, y_pred: Any, *_: Any) -> Any:
            loss = face_loss(y_pred, y["faces"], y["ignored"], cells)
            if teacher is not None and distillation is not None:
                loss += distillation.share * distillation_loss(y_pred, teacher(x, training=False))
            return loss

    return NetworkWithLoss(network.inputs, network.output)


def _train_epoch(trainer: _Trainer, recipe: FaceRecipe, workers: Workers[Batch], *, epoch: int) -> float:
    steps = recipe.schedule.steps_per_epoch
    losses = []
    progress = tqdm(
        workers.batches(epoch=epoch, count=steps),
        total=steps,
        desc=f"epoch {epoch}",
        unit="step",
        leave=False,
        disable=None,
    )
    for number, batch in enumerate(progress):
        losses.append(trainer.train_step(batch, learning_rate=learning_rate(recipe, step=epoch * steps + number)))
        progress.set_postfix(loss=f"{np.mean(losses[-100:]):.3f}")
    trainer.update_ema()
    return float(np.mean(losses))


def _save_state(trainer: _Trainer, history: tuple[Epoch, ...], folder: Path) -> None:
    """Write the whole state; it is valid once the file is replaced."""
    arrays: dict[str, Any] = {f"v{number}": np.asarray(value) for number, value in enumerate(trainer.variables())}
    text = json.dumps([asdict(row) for row in history])
    content = io.BytesIO()
    np.savez(content, history=np.array(text), **arrays)
    write_whole(folder / STATE, content.getvalue(), mode=FILE_MODE)


def _load_state(trainer: _Trainer, folder: Path) -> tuple[Epoch, ...]:
    path = folder / STATE
    if not path.is_file():
        return ()
    with np.load(path) as arrays:
        for number, variable in enumerate(trainer.variables()):
            variable.assign(arrays[f"v{number}"])
        return tuple(Epoch(**row) for row in json.loads(str(arrays["history"])))
