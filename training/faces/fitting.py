"""Fitting: how does a network learn from its scenes, and go on after a kill?

After every epoch the whole state is in one file before the next epoch begins, so that a run that was killed
continues with the epoch it was in.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from training.faces.batches import draw_batches
from training.faces.finding import KerasFinder
from training.faces.judge import Finds, report
from training.faces.network import open_network
from training.masks.examples import read_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import keras

    from training.faces.recipe import FaceRecipe
    from training.faces.scenes import Scene, SceneSet

STATE = "state.npz"
BEST = "best.keras"
CHOSEN_BY = "ap_50_16px"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the history; `ap` of the judging scenes that choose, by band."""

    epoch: int
    learning_rate: float
    loss: float
    ap: dict[str, float]
    seconds: float

    @property
    def chooses(self) -> float:
        """The number that the best epoch is chosen by."""
        return self.ap[CHOSEN_BY]


@dataclass(frozen=True, slots=True, eq=False)
class _Learner:
    """What changes while learning: the network, its average that is judged, and the optimizer."""

    network: keras.Model
    averaged: keras.Model
    optimizer: Any

    def variables(self) -> list[Any]:
        """Everything that a resumed run must find again, in a fixed order."""
        return [*self.network.weights, *self.averaged.weights, *self.optimizer.variables]


def fit(recipe: FaceRecipe, scenes: SceneSet, *, folder: Path) -> tuple[Epoch, ...]:
    """Train to the end of the schedule; `best.keras` in the folder is then the model.

    Continues after the last epoch that the folder holds.

    Raises:
        ModelError: first weights or the model to distil from are missing or do not fit.
    """
    learner = _begin(recipe)
    history = _resume(learner, folder)
    if history:
        log.info("continues after epoch %d", len(history))
    step = _step(learner, recipe)
    find = KerasFinder(learner.averaged, longer_px=recipe.validation.width, shorter_px=recipe.validation.height)
    for epoch in range(len(history), recipe.schedule.epochs):
        started = time.monotonic()
        loss = _learn(step, learner, recipe, scenes.learnt, epoch=epoch)
        rate = float(learner.optimizer.learning_rate.numpy())
        ap = report(find_all(find, choosing(scenes.judging, recipe)))
        row = Epoch(epoch, rate, loss, ap, time.monotonic() - started)
        bands = ", ".join(f"{name} {value:.3f}" for name, value in ap.items())
        log.info("epoch %d: loss %.3f, %s (%.0f s)", epoch, loss, bands, row.seconds)
        if row.chooses > max((one.chooses for one in history), default=-1.0):
            part = folder / f"part-{BEST}"
            learner.averaged.save(part)
            part.replace(folder / BEST)
        history = (*history, row)
        _keep(learner, history, folder)
    return history


def find_all(find: KerasFinder, scenes: Sequence[Scene]) -> list[Finds]:
    """What a finder finds in every scene."""
    shown = tqdm(scenes, desc="judging", unit="picture", leave=False)
    return [Finds(scene, *find(read_picture(scene.path))) for scene in shown]


def choosing(scenes: Sequence[Scene], recipe: FaceRecipe) -> list[Scene]:
    """The judging scenes that choose the best epoch."""
    wanted = recipe.validation.choosing
    return [scene for scene in scenes if not wanted or scene.source in wanted]


def learning_rate(recipe: FaceRecipe, *, step: int) -> float:
    """A straight rise, then a fall along a cosine to nothing."""
    schedule = recipe.schedule
    rise = min(1.0, (step + 1) / max(1, schedule.rising_steps))
    share = step / (schedule.epochs * schedule.steps_per_epoch)
    return schedule.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * share))


def _begin(recipe: FaceRecipe) -> _Learner:
    import keras

    network = open_network(recipe.model.weights)
    averaged = keras.models.clone_model(network)
    averaged.set_weights(network.get_weights())
    # Early steps of a network that assigns its own targets can be wild.
    optimizer = keras.optimizers.Adam(recipe.schedule.learning_rate, global_clipnorm=10.0)
    optimizer.build(network.trainable_variables)
    return _Learner(network, averaged, optimizer)


def _step(learner: _Learner, recipe: FaceRecipe) -> Any:
    """One step as a traced function of tensors only: a Python number among them would be traced anew each time."""
    import tensorflow as tf

    from training.faces.losses import cells_of, distillation_loss, face_loss

    network, averaged, optimizer = learner.network, learner.averaged, learner.optimizer
    side, kept = recipe.augmentation.canvas, recipe.schedule.averaging
    cells = cells_of(side, side)
    distillation = recipe.distillation
    taught = open_network(distillation.model) if distillation else None

    def step(pixels: Any, faces: Any, ignored: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = network(pixels, training=True)
            loss = face_loss(outputs, faces, ignored, cells)
            if taught is not None and distillation is not None:
                loss += distillation.share * distillation_loss(outputs, taught(pixels, training=False))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        for mean, value in zip(averaged.weights, network.weights, strict=True):
            mean.assign(kept * mean + (1.0 - kept) * value)
        return loss

    boxes = tf.TensorSpec([None, None, 4], tf.float32)
    return tf.function(step, input_signature=[tf.TensorSpec([None, side, side, 3], tf.float32), boxes, boxes])


def _learn(step: Any, learner: _Learner, recipe: FaceRecipe, scenes: Sequence[Scene], *, epoch: int) -> float:
    steps = recipe.schedule.steps_per_epoch
    losses = []
    progress = tqdm(
        draw_batches(scenes, recipe, epoch=epoch), total=steps, desc=f"epoch {epoch}", unit="step", leave=False
    )
    for number, batch in enumerate(progress):
        learner.optimizer.learning_rate.assign(learning_rate(recipe, step=epoch * steps + number))
        losses.append(float(step(batch.pixels, batch.faces, batch.ignored)))
        progress.set_postfix(loss=f"{np.mean(losses[-100:]):.3f}")
    return float(np.mean(losses))


def _keep(learner: _Learner, history: tuple[Epoch, ...], folder: Path) -> None:
    """Write the whole state; it counts from the moment the file is replaced."""
    part = folder / f"{STATE}.part"
    arrays = {f"v{number}": np.asarray(value) for number, value in enumerate(learner.variables())}
    text = json.dumps([asdict(row) for row in history])
    with part.open("wb") as file:
        np.savez(file, history=np.array(text), **arrays)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / STATE)


def _resume(learner: _Learner, folder: Path) -> tuple[Epoch, ...]:
    path = folder / STATE
    if not path.is_file():
        return ()
    with np.load(path) as arrays:
        for number, variable in enumerate(learner.variables()):
            variable.assign(arrays[f"v{number}"])
        return tuple(Epoch(**row) for row in json.loads(str(arrays["history"])))
