"""Teacher: provides the soft targets of a larger model for distillation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.errors import ConfigError, ModelError

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from training.masks.recipe import MaskRecipe


class Teacher:
    """A trained network that gives soft targets. Owned by one thread."""

    def __init__(self, network: keras.Model, *, temperature: float) -> None:
        """`temperature` above 1 softens the targets."""
        self._network = network
        self._side = int(network.input_shape[1])
        self._temperature = temperature

    def soft_targets(self, values: Any) -> NDArray[np.float32]:
        """Softened probabilities (n, labels) for pixels -1..1, (n, side, side, 3), resized to the teacher's input."""
        import keras

        if values.shape[1] != self._side:
            values = keras.ops.image.resize(values, (self._side, self._side))
        scores = np.asarray(self._network.predict_on_batch(values), np.float64)
        soft = np.clip(scores, 1e-7, 1.0) ** (1.0 / self._temperature)
        return np.asarray(soft / soft.sum(axis=1, keepdims=True), np.float32)


def open_teacher(recipe: MaskRecipe) -> Teacher | None:
    """The teacher named in a recipe, or None.

    Raises:
        ModelError: the file is missing or cannot be loaded.
        ConfigError: its labels or margin differ from the recipe's.
    """
    if recipe.teacher is None:
        return None
    import keras

    model = recipe.teacher.model
    run_file = model.parent / "run.json"
    try:
        fields: dict[str, Any] = json.loads(run_file.read_text(encoding="utf-8"))
        network = keras.models.load_model(model, compile=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"{model}: cannot be loaded as a teacher with its run.json: {error}") from error
    for key, expected in (("labels", list(recipe.labels)), ("margin_fraction", recipe.margin_fraction)):
        if fields.get(key) != expected:
            raise ConfigError(
                f"{model}: its {key} {fields.get(key)} differ from the recipe's {expected}; they must be equal"
            )
    return Teacher(network, temperature=recipe.teacher.temperature)
