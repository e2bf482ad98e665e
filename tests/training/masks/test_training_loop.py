"""Training loop: learning, and resuming after a stop."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.errors import ConfigError
from training.masks.batches import unaugmented_pixels
from training.masks.dataset import open_data_set
from training.masks.network import HEAD, build_network
from training.masks.recipe import ModelRecipe
from training.masks.teacher import Teacher
from training.masks.training_loop import (
    BEST,
    count_frozen_layers,
    fit,
    head_epochs,
    label_weights,
    learning_rate,
    predict,
    read_state,
    trained_network,
)

# Minutes on a machine that is busy with other tests.
pytestmark = [pytest.mark.tensorflow, pytest.mark.timeout(900)]

PRETRAINED = {"architecture": "mobilenet_v2", "alpha": 0.1, "input_size": 32, "weights": "backbone.weights.h5"}


@pytest.fixture
def data_set(tiny_recipe, tmp_path):
    return open_data_set(tiny_recipe(), packs_folder=tmp_path / "packs")


def test_a_network_learns_to_distinguish_the_labels(tiny_recipe, data_set, tmp_path):
    recipe = tiny_recipe(
        schedule={"epochs": 12, "faces_per_epoch": 128, "batch_size": 16, "learning_rate": 5e-3, "patience": 12},
        augmentation={"rotation_degrees": 5, "contrast_fraction": 0.1, "brightness_fraction": 0.05},
    )

    history = fit(recipe, data_set, folder=tmp_path)

    assert max(row.validation_accuracy for row in history) >= 0.9
    assert (tmp_path / BEST).is_file()


def test_batch_normalisation_of_a_network_from_scratch_soon_follows_the_data(tiny_recipe, data_set, tmp_path):
    recipe = tiny_recipe(
        model={**PRETRAINED, "weights": "scratch"},
        schedule={"epochs": 1, "faces_per_epoch": 320, "batch_size": 4, "learning_rate": 1e-12},
    )

    fit(recipe, data_set, folder=tmp_path)

    pixels = unaugmented_pixels(data_set.validation, recipe)
    scores = predict(trained_network(recipe, tmp_path), pixels, data_set.validation, recipe).scores
    assert np.ptp(scores[:, 0]) > 0.01


def test_a_stopped_run_resumes_with_the_next_epoch_and_the_same_result(tiny_recipe, data_set, tmp_path):
    import keras

    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    recipe = tiny_recipe(
        schedule={"epochs": 3, "faces_per_epoch": 32, "batch_size": 8, "patience": 9},
        augmentation={"mixup_alpha": 0.2},
        teacher={"model": "unheard.keras", "share": 0.0},
    )
    for folder in (unbroken, broken):
        folder.mkdir()
    keras.utils.set_random_seed(1)
    whole = fit(recipe, data_set, folder=unbroken, teacher=_StopAfter(epochs=3))

    keras.utils.set_random_seed(1)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, data_set, folder=broken, teacher=_StopAfter(epochs=1))
    assert len(read_state(broken).history) == 1
    resumed = fit(recipe, data_set, folder=broken, teacher=_StopAfter(epochs=2))

    assert [row.epoch for row in resumed] == [0, 1, 2]
    assert [row.learning_rate for row in resumed] == [row.learning_rate for row in whole]
    assert [row.loss for row in resumed] == pytest.approx([row.loss for row in whole], rel=0.02)


class _StopAfter(Teacher):
    """A teacher that is asked once a batch and ends the run after some epochs of four batches."""

    def __init__(self, *, epochs: int) -> None:
        self.left = 4 * epochs

    def soft_targets(self, values):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return values[:, 0, 0, :2]


def test_the_model_can_be_the_mean_of_the_best_and_the_last_epoch(tiny_recipe, data_set, tmp_path):
    import keras

    recipe = tiny_recipe(schedule={"epochs": 3, "faces_per_epoch": 32, "batch_size": 8, "model": "best_and_last"})

    fit(recipe, data_set, folder=tmp_path)

    files = (tmp_path / BEST, tmp_path / read_state(tmp_path).model)
    best, last = (keras.models.load_model(path).get_weights()[0] for path in files)
    assert np.allclose(trained_network(recipe, tmp_path).get_weights()[0], (best + last) / 2)


def test_training_stops_when_validation_no_longer_improves(tiny_recipe, data_set, tmp_path):
    recipe = tiny_recipe(
        schedule={"epochs": 30, "faces_per_epoch": 8, "batch_size": 8, "learning_rate": 1e-12, "patience": 2}
    )

    history = fit(recipe, data_set, folder=tmp_path)

    assert len(history) < 30


def test_a_run_that_diverges_ends_with_advice_and_keeps_the_epochs_before(tiny_recipe, data_set, tmp_path):
    schedule = {"epochs": 3, "faces_per_epoch": 32, "batch_size": 8}
    fit(tiny_recipe(schedule=schedule | {"epochs": 1}), data_set, folder=tmp_path)

    with pytest.raises(ConfigError, match="learning_rate"):
        fit(tiny_recipe(schedule=schedule | {"learning_rate": 1e30}), data_set, folder=tmp_path)

    assert len(read_state(tmp_path).history) == 1


def test_the_learning_rate_rises_briefly_and_falls_to_zero(tiny_recipe):
    recipe = tiny_recipe(
        model={**PRETRAINED}, schedule={"head_epochs": 1, "head_learning_rate": 0.5, "epochs": 4, "learning_rate": 0.1}
    )

    assert learning_rate(recipe, epoch=0, progress=0.5) == 0.5
    assert learning_rate(recipe, epoch=1, progress=0.0) < 0.01
    assert learning_rate(recipe, epoch=2, progress=0.0) > 0.05
    assert learning_rate(recipe, epoch=4, progress=0.999) < 0.0001


def test_a_network_from_scratch_has_no_head_epochs(tiny_recipe):
    assert head_epochs(tiny_recipe()) == 0
    assert head_epochs(tiny_recipe(model=PRETRAINED)) == 1


def test_label_weights_balance_the_labels(tiny_recipe, class_folders, tmp_path):
    recipe = tiny_recipe(
        data=[
            {"folders": str(class_folders), "labels": ["with_mask"], "share": 3.0},
            {"folders": str(class_folders), "labels": ["without_mask"], "share": 1.0},
        ]
    )
    train = open_data_set(recipe, packs_folder=tmp_path / "packs").train

    weights = label_weights(recipe, train)

    assert weights[1] / weights[0] == pytest.approx(3.0)
    assert (weights * [0.75, 0.25]).sum() == pytest.approx(1.0)
    chosen = label_weights(recipe.model_copy(update={"class_weights": {"without_mask": 2.0}}), train)
    assert chosen[1] / chosen[0] == pytest.approx(2.0)
    assert label_weights(recipe.model_copy(update={"class_weights": "none"}), train).tolist() == [1.0, 1.0]


def test_frozen_blocks_are_the_first_of_the_backbone():
    network = build_network(ModelRecipe(alpha=0.1, input_size=32, weights="scratch"), labels=2)
    names = [layer.name for layer in network.layers]

    assert count_frozen_layers(network, blocks=0) == 0
    assert names[count_frozen_layers(network, blocks=3)].startswith("block_3_")
    assert HEAD in names[count_frozen_layers(network, blocks=16) :]
