"""`edge-convert calibrate` of a mask classifier: fits temperature and thresholds of its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.atomic_files import write_atomically
from converter.commands.options import faces_of
from converter.masks.card_fitting import fit_card
from converter.masks.verification import verify
from edge_agent.foreign_text import safe
from edge_agent.vision.card import card_path, read_classifier_card

if TYPE_CHECKING:
    import argparse


def calibrate_classifier(options: argparse.Namespace) -> int:
    """Fit the card, verify it in every runtime that can run the model, then write it."""
    card, content = read_classifier_card(options.model)
    fitted = fit_card(card, content, faces_of(options), false_alarm_fraction=options.false_alarms)
    verify(content, fitted, in_every_runtime=False)
    write_atomically({card_path(options.model): fitted.to_json().encode()})
    print(safe(str(card_path(options.model))))
    return 0
