"""Detector files: maps networks to their card and cards to their networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.model_kind import CARD_SUFFIX, TFLITE_SUFFIX
from edge_agent.errors import ModelError
from edge_agent.vision.card import card_path, read_detector_card

if TYPE_CHECKING:
    from pathlib import Path


def detector_card_of(model: Path) -> Path | None:
    """The card of a face detector: the file itself, or the card that names this network; None for other models."""
    if model.suffix == CARD_SUFFIX:
        return model
    if model.suffix != TFLITE_SUFFIX or card_path(model).is_file():
        return None
    return next(
        (card for card in sorted(model.parent.glob(f"*{CARD_SUFFIX}")) if model in _networks_named_by(card)), None
    )


def networks_of(model: Path) -> list[Path]:
    """The networks of a detector's card, or the model itself.

    Raises:
        ModelError: the card or one of its networks is missing or damaged.
    """
    if model.suffix != CARD_SUFFIX:
        return [model]
    return [model.parent / file.file for file in read_detector_card(model)[0].files]


def _networks_named_by(card: Path) -> list[Path]:
    try:
        return networks_of(card)
    except ModelError:
        return []
