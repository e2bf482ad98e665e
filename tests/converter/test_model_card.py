"""MODEL_CARD.md: every number in it comes from a card or an evaluation."""

from __future__ import annotations

from pathlib import Path

from converter.data_sources import source_of
from converter.masks.evaluation import Agreement, Evaluation
from converter.model_card import classifier_model_card
from edge_agent.vision.card import ClassifierCard, Golden, InputCard, OutputCard
from tests.converter.evaluations import LABELS, readings, result


def a_card(**changes):
    card = ClassifierCard(
        name="masks",
        sha256="ab" * 32,
        size_bytes=1234,
        labels=LABELS,
        input=InputCard(width=96, height=96, dtype="uint8", scale=1 / 127.5, zero_point=127),
        output=OutputCard(dtype="uint8", scale=1 / 256),
        margin_fraction=0.25,
        training_data=["street", "web/train", "secret"],
        versions={"tensorflow": "2.18.1"},
        golden=(Golden(picture="", scores=[0.5, 0.5]),),
    )
    return card.model_copy(update=changes)


def an_evaluation():
    correct = [
        reading
        for label in LABELS
        for side_px in (20.0, 40.0)
        for reading in readings(label, label, 5, side_px=side_px)
    ]
    wrong = readings("without_mask", "with_mask", 5, score=0.6)
    agreement = Agreement(Path("masks.tflite"), Path("model.keras"), faces=25, same=20, largest_score_difference=0.3)
    models = (result("masks.tflite", correct + wrong), result("model.keras", correct))
    return Evaluation(models, (agreement,), ())


def test_a_model_card_lists_data_terms_metrics_by_size_limits_and_out_of_scope_uses():
    text = classifier_model_card(a_card(), [("street, split test", an_evaluation())], min_face_px=16)

    assert "| street | photographs of people in streets" in text
    assert "| MIT |" in text
    assert "| secret |  | not listed; ask its author | unknown |" in text
    assert "| all | 25 | 80.0% (60.9..91.1) | 100.0% (72.2..100.0) | 66.7% (41.7..84.8) |" in text
    assert "| 16-24 px | 15 |" in text
    assert "| all, float original | 20 | 100.0%" in text
    assert "the same label for 20 of 25 faces" in text
    assert "## Out-of-scope uses" in text
    assert "Below 16 px" in text
    assert "ab" * 32 in text


def test_the_model_card_says_that_a_run_did_not_record_its_data():
    assert "Not recorded by the training run." in classifier_model_card(a_card(training_data=[]), [], min_face_px=16)


def test_the_model_card_lists_thresholds_if_there_are_any():
    text = classifier_model_card(a_card(thresholds={"without_mask": 0.3, "with_mask": 0.7}), [], min_face_px=16)

    assert "| thresholds | without_mask 0.3, with_mask 0.7 |" in text


def test_a_source_is_found_by_any_folder_in_its_name():
    assert source_of("faces/web/train").origin == "github chandrikadeb7/Face-Mask-Detection"
    assert source_of("crops/train").terms == "MIT (repository)"
    assert source_of("drawn_web/annotations.json").name == "drawn"
    assert source_of("elsewhere").terms.startswith("none stated")
