"""Training loop: trains a classifier network on faces, and resumes interrupted runs.

The head is trained first, then the whole network with cosine decay. The state is written after every epoch, so that an
interrupted run resumes with the epoch it was in.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tqdm import tqdm

from edge_agent.host.atomic_files import write_whole
from training.masks.batches import draw_batch, mixup, to_input, unaugmented_pixels
from training.masks.metrics import Predictions
from training.masks.network import HEAD, build_network
from training.run_folder import FILE_MODE, check_loss, save_model
from training.weight_averaging import average_weights
from training.workers import Workers

if TYPE_CHECKING:
    from pathlib import Path

    import keras
    from numpy.typing import NDArray

    from training.masks.dataset import DataSet, Faces
    from training.masks.recipe import MaskRecipe
    from training.masks.teacher import Teacher

PREDICTION_BATCH = 128
STATE = "state.json"
BEST = "best.keras"
BATCH_NORM_MOMENTUM = 0.9
"""Of trained batch normalisation statistics. With the 0.999 that Keras sets for MobileNetV2, the initial statistics
dominate for thousands of steps, in which a trained network from scratch classifies every face alike."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the history."""

    epoch: int
    stage: Literal["head", "whole"]
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainingState:
    """The stored state of a run: the completed epochs, and the model after the last of them."""

    history: tuple[Epoch, ...] = ()
    model: str = ""

    @property
    def best(self) -> Epoch | None:
        """The epoch with the lowest validation loss."""
        return min(self.history, key=lambda epoch: epoch.validation_loss, default=None)


def fit(recipe: MaskRecipe, data_set: DataSet, *, folder: Path, teacher: Teacher | None = None) -> tuple[Epoch, ...]:
    """Train to the end of the schedule or of patience; the model is then that of `trained_network`.

    Resumes after the last epoch in the folder.

    Raises:
        ConfigError: the loss is no longer a number.
    """
    schedule, state = recipe.schedule, read_state(folder)
    validation_pixels = unaugmented_pixels(data_set.validation, recipe)
    with Workers(partial(draw_batch, data_set.train, recipe)) as workers:
        network = (
            _load_model(folder / state.model) if state.model else build_network(recipe.model, labels=len(recipe.labels))
        )
        if state.history:
            log.info("continues after epoch %d", len(state.history))
        for epoch in range(len(state.history), head_epochs(recipe) + schedule.epochs):
            best = state.best
            if best is not None and epoch - best.epoch > schedule.patience:
                log.info("stops: no better validation for %d epochs", schedule.patience)
                break
            stage: Literal["head", "whole"] = "head" if epoch < head_epochs(recipe) else "whole"
            if epoch in {0, head_epochs(recipe)}:
                _compile(network, recipe, stage)
            started = time.monotonic()
            loss, accuracy = _train_epoch(network, recipe, data_set, workers, epoch=epoch, teacher=teacher)
            check_loss(loss, epoch=epoch)
            predictions = predict(network, validation_pixels, data_set.validation, recipe)
            selection = for_model_selection(predictions, data_set.validation, recipe)
            row = Epoch(
                epoch,
                stage,
                float(network.optimizer.learning_rate),
                loss,
                accuracy,
                selection.balanced_loss(),
                selection.accuracy(),
                time.monotonic() - started,
            )
            check_loss(row.validation_loss, epoch=epoch)
            log.info(
                "epoch %d (%s): loss %.4f, validation loss %.4f, accuracy %.4f",
                epoch,
                stage,
                loss,
                row.validation_loss,
                row.validation_accuracy,
            )
            state = _save_state(network, TrainingState((*state.history, row), state.model), folder)
    return state.history


def trained_network(recipe: MaskRecipe, folder: Path) -> keras.Model:
    """The model of a finished run: that of the best epoch, or its mean with the last one (Izmailov et al., 2018).

    The mean needs no new batch normalisation statistics only if those are frozen.
    """
    best = _load_model(folder / BEST)
    if recipe.schedule.model == "best_and_last":
        average_weights(best, _load_model(folder / read_state(folder).model), share=0.5, name="last epoch")
    return best


def is_pretrained(recipe: MaskRecipe) -> bool:
    """Whether the backbone is pretrained, so that freezing it makes sense."""
    return recipe.model.architecture != "cnn" and recipe.model.weights != "scratch"


def head_epochs(recipe: MaskRecipe) -> int:
    """Number of epochs with a frozen backbone."""
    return recipe.schedule.head_epochs if is_pretrained(recipe) else 0


def read_state(folder: Path) -> TrainingState:
    """The state of the run in a folder; empty if there is none."""
    path = folder / STATE
    if not path.is_file():
        return TrainingState()
    content = json.loads(path.read_text(encoding="utf-8"))
    return TrainingState(tuple(Epoch(**row) for row in content["history"]), content["model"])


def predict(network: keras.Model, pixels: NDArray[np.uint8], faces: Faces, recipe: MaskRecipe) -> Predictions:
    """Classify faces: pixels (n, side, side, 3), uint8, RGB."""
    scores = [
        np.asarray(
            network.predict_on_batch(to_input(pixels[start : start + PREDICTION_BATCH].astype(np.float32))), np.float64
        )
        for start in range(0, len(pixels), PREDICTION_BATCH)
    ]
    return Predictions(recipe.labels, np.concatenate(scores), faces.targets)


def for_model_selection(predictions: Predictions, faces: Faces, recipe: MaskRecipe) -> Predictions:
    """The predictions for the validation faces that select the best epoch."""
    sources = recipe.validation.sources
    if not sources:
        return predictions
    return predictions.part(np.array([source in sources for source in faces.sources()]))


def count_frozen_layers(network: keras.Model, *, blocks: int) -> int:
    """Number of layers before the first trained block; 0 blocks: none."""
    if blocks == 0:
        return 0
    names = [layer.name for layer in network.layers]
    return next((number for number, name in enumerate(names) if name.startswith(f"block_{blocks}_")), len(names))


def _compile(network: keras.Model, recipe: MaskRecipe, stage: Literal["head", "whole"]) -> None:
    """Unfreeze the layers trained in this stage, and compile."""
    import keras

    pretrained = is_pretrained(recipe)
    freezes_batch_norm = recipe.schedule.normalisation == "frozen" and pretrained
    frozen_layers = count_frozen_layers(network, blocks=recipe.schedule.frozen_blocks if pretrained else 0)
    for number, layer in enumerate(network.layers):
        is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        if is_batch_norm:
            layer.momentum = BATCH_NORM_MOMENTUM
        is_frozen = number < frozen_layers or (freezes_batch_norm and is_batch_norm)
        layer.trainable = layer.name == HEAD or (stage == "whole" and not is_frozen)
    network.compile(
        keras.optimizers.AdamW(recipe.schedule.head_learning_rate, weight_decay=recipe.schedule.weight_decay),
        keras.losses.CategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    # Built by the first batch, their variables would have TensorFlow trace the whole network a second time.
    network.optimizer.build(network.trainable_variables)
    example = np.zeros((1, len(recipe.labels)))
    network.compute_metrics(None, example, example)
    network.reset_metrics()


def _train_epoch(
    network: keras.Model,
    recipe: MaskRecipe,
    data_set: DataSet,
    workers: Workers[tuple[NDArray[np.uint8], NDArray[np.int64]]],
    *,
    epoch: int,
    teacher: Teacher | None,
) -> tuple[float, float]:
    import keras

    from training.masks.augment import build_augmentation, reseed

    augment = build_augmentation(recipe.augmentation, seed=recipe.seed)
    for model in (augment, network):
        reseed(model, seed=recipe.seed, epoch=epoch)
    weights = label_weights(recipe, data_set.train)
    count = max(1, recipe.schedule.faces_per_epoch // recipe.schedule.batch_size)
    random = np.random.default_rng([recipe.seed, epoch])
    losses, accuracies = [], []
    progress = tqdm(
        workers.batches(epoch=epoch, count=count),
        total=count,
        desc=f"epoch {epoch}",
        unit="batch",
        leave=False,
        disable=None,
    )
    for number, (pixels, targets) in enumerate(progress):
        network.optimizer.learning_rate.assign(learning_rate(recipe, epoch=epoch, progress=number / count))
        values = to_input(augment(keras.ops.cast(pixels, "float32")))
        blended, sample_weights = _blended_targets(targets, values, recipe, teacher), weights[targets]
        if alpha := recipe.augmentation.mixup_alpha:
            values, blended, sample_weights = mixup(
                keras.ops.convert_to_numpy(values), blended, sample_weights, alpha=alpha, random=random
            )
        results = network.train_on_batch(values, blended, sample_weight=sample_weights, return_dict=True)
        network.reset_metrics()
        losses.append(float(results["loss"]))
        accuracies.append(float(results["accuracy"]))
        progress.set_postfix(loss=f"{np.mean(losses):.4f}", accuracy=f"{np.mean(accuracies):.3f}")
    return float(np.mean(losses)), float(np.mean(accuracies))


def learning_rate(recipe: MaskRecipe, *, epoch: int, progress: float) -> float:
    """Constant for the head; for the whole network a short warm-up and cosine decay to 0."""
    schedule, head = recipe.schedule, head_epochs(recipe)
    if epoch < head:
        return schedule.head_learning_rate
    decay_progress = (epoch - head + progress) / schedule.epochs
    # Fresh optimizer statistics make the first steps too large.
    warmup = min(1.0, 0.05 + decay_progress * schedule.epochs)
    return float(schedule.learning_rate * warmup * 0.5 * (1 + np.cos(np.pi * min(decay_progress, 1.0))))


def label_weights(recipe: MaskRecipe, train: Faces) -> NDArray[np.float32]:
    """Weight of each label in the loss; the mean over sampled faces is 1: shape (labels,)."""
    frequencies = np.bincount(train.targets, weights=train.sampling_probabilities, minlength=len(recipe.labels))
    if recipe.class_weights == "none":
        return np.ones(len(recipe.labels), np.float32)
    if recipe.class_weights == "balanced":
        weights = 1.0 / np.maximum(frequencies, 1e-6)
    else:
        weights = np.array([recipe.class_weights.get(label, 1.0) for label in recipe.labels])
    return np.asarray(weights / (weights * frequencies).sum(), np.float32)


def _blended_targets(
    targets: NDArray[np.int64], values: Any, recipe: MaskRecipe, teacher: Teacher | None
) -> NDArray[np.float32]:
    count = len(recipe.labels)
    smoothing = recipe.schedule.label_smoothing
    smoothed = np.eye(count, dtype=np.float32)[targets] * (1 - smoothing) + smoothing / count
    if teacher is not None and recipe.teacher is not None:
        share = recipe.teacher.share
        smoothed = (1 - share) * smoothed + share * teacher.soft_targets(values)
    return np.asarray(smoothed, np.float32)


def _save_state(network: keras.Model, state: TrainingState, folder: Path) -> TrainingState:
    """Write the state of a run, which is valid once `state.json` is replaced."""
    name = f"epoch-{len(state.history):03d}.keras"
    network.save(folder / name)
    if state.best == state.history[-1]:
        save_model(network, folder / BEST, include_optimizer=False)
    content = json.dumps({"history": [asdict(row) for row in state.history], "model": name}, indent=1)
    write_whole(folder / STATE, content.encode(), mode=FILE_MODE)
    if state.model:
        (folder / state.model).unlink(missing_ok=True)
    return TrainingState(state.history, name)


def _load_model(path: Path) -> keras.Model:
    import keras

    return keras.models.load_model(path)
