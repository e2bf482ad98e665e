"""Card: a model without a matching card is not loaded."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from edge_agent.errors import ModelError
from edge_agent.vision.card import ClassifierCard, card_path, read_classifier_card

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONTENT = b"what a .tflite file holds"


def a_card(**changes: Any) -> dict[str, Any]:
    return {
        "schema": "maskwatch.card/1",
        "kind": "mask_classifier",
        "name": "masks",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "size_bytes": len(CONTENT),
        "labels": ["with_mask", "without_mask", "mask_worn_incorrectly"],
        "input": {"width": 96, "height": 96, "dtype": "uint8", "scale": 1 / 127.5, "zero_point": 127},
        "output": {"dtype": "uint8", "scale": 1 / 256},
        "golden": [{"picture": "", "scores": [0.9, 0.05, 0.05]}],
    } | changes


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes a model and its card, and returns the path of the model."""

    def write(text: str | None = None, **changes: Any) -> Path:
        (tmp_path / "masks.tflite").write_bytes(CONTENT)
        (tmp_path / "masks.json").write_text(json.dumps(a_card(**changes)) if text is None else text)
        return tmp_path / "masks.tflite"

    return write


def test_a_card_that_was_written_is_read_back(written):
    card = read_classifier_card(written())[0]

    assert ClassifierCard.model_validate_json(card.to_json()) == card
    assert json.loads(card.to_json())["schema"] == "maskwatch.card/1"


def test_a_card_that_does_not_state_how_pictures_are_scaled_means_by_area(written):
    assert read_classifier_card(written())[0].resampling == "area"
    assert read_classifier_card(written(resampling="linear"))[0].resampling == "linear"


def test_the_card_is_beside_the_model_with_the_same_stem(tmp_path):
    assert card_path(tmp_path / "masks.float32.tflite") == tmp_path / "masks.float32.json"


def test_a_missing_model_or_card_is_reported(written, tmp_path):
    with pytest.raises(ModelError, match=r"masks\.tflite: no such model; 'edge-agent models' lists"):
        read_classifier_card(tmp_path / "masks.tflite")
    model = written()
    card_path(model).unlink()
    with pytest.raises(ModelError, match=r"its card masks\.json is missing; put it back .*'edge-convert card"):
        read_classifier_card(model)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "card: Invalid JSON"),
        ('{"schema": "maskwatch.card/1"', "card: Invalid JSON"),
        ("[]", "not a card of a mask classifier"),
        (json.dumps(a_card(schema="maskwatch.card/2")), "schema: Input should be 'maskwatch.card/1'"),
        (json.dumps(a_card(temperature=float("inf"))), "temperature"),
        (json.dumps(a_card(temperature=0)), "temperature: Input should be greater than 0"),
        (json.dumps(a_card(thresholds={"mask_on": 0.5})), "thresholds"),
        (json.dumps(a_card(labels=["with_mask", "without_mask"], golden=[{"picture": "", "scores": [1, 0]}],
                           thresholds={"mask_worn_incorrectly": 0.5})), "thresholds for labels that the model lacks"),
    ],
)  # fmt: skip
def test_a_damaged_card_is_refused_with_the_key(written, text, complaint):
    with pytest.raises(ModelError, match=complaint):
        read_classifier_card(written(text))


def test_a_card_that_is_not_text_is_rejected(written):
    model = written()
    card_path(model).write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ModelError, match=r"masks\.json: cannot be read"):
        read_classifier_card(model)


def test_a_truncated_model_does_not_match_its_card(written):
    model = written()
    model.write_bytes(CONTENT[:5])

    with pytest.raises(
        ModelError, match=rf"SHA-256 differs from masks\.json \(5 bytes here, {len(CONTENT)} expected\)"
    ):
        read_classifier_card(model)


def test_without_thresholds_the_likeliest_label_is_read(written):
    card = read_classifier_card(written())[0]

    assert card.decide({"with_mask": 0.4, "without_mask": 0.35, "mask_worn_incorrectly": 0.25}) == "with_mask"


def test_a_label_counts_by_how_far_it_exceeds_its_threshold(written):
    card = read_classifier_card(
        written(thresholds={"with_mask": 0.6, "without_mask": 0.2, "mask_worn_incorrectly": 0.2})
    )[0]

    assert card.decide({"with_mask": 0.7, "without_mask": 0.25, "mask_worn_incorrectly": 0.05}) == "without_mask"
    # With a subset of the labels, thresholds of the others do not matter.
    assert card.decide({"with_mask": 0.8, "mask_worn_incorrectly": 0.2}) == "with_mask"


def test_golden_pictures_are_pictures(written):
    (_, png) = cv2.imencode(".png", np.full((4, 4, 3), 7, np.uint8))
    import base64

    scores = [0.9, 0.05, 0.05]
    texts = [base64.b64encode(png.tobytes()).decode(), "bm8gcGljdHVyZQ==", "?", ""]
    good, no_picture, no_base64, nothing = read_classifier_card(
        written(golden=[{"picture": text, "scores": scores} for text in texts])
    )[0].golden

    assert (good.image() == 7).all()
    for bad in (no_picture, no_base64, nothing):
        with pytest.raises(ModelError, match="golden picture"):
            bad.image()
