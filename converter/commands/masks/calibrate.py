"""`edge-convert calibrate` of a mask classifier: fits temperature and thresholds of its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.commands.options import faces_of
from converter.masks.card_fitting import fitted_aloud
from converter.masks.proof import prove
from converter.writing import write_together
from edge_agent.foreign_text import safe
from edge_agent.vision.card import card_path, model_bytes, read_classifier_card

if TYPE_CHECKING:
    import argparse


def calibrate_classifier(options: argparse.Namespace) -> int:
    """Fit the card, prove it in every runtime that can run the model, then write it."""
    card, content = read_classifier_card(options.model), model_bytes(options.model)
    fitted = fitted_aloud(card, content, faces_of(options), false_alarm_fraction=options.false_alarms)
    prove(content, fitted, in_every_runtime=False)
    write_together({card_path(options.model): fitted.to_json().encode()})
    print(safe(str(card_path(options.model))))
    return 0
