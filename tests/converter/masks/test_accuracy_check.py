"""Accuracy check: on synthetic evaluations."""

from __future__ import annotations

import pytest

from converter.masks.accuracy_check import check_accuracy
from converter.masks.evaluation import Evaluation
from edge_agent.errors import ConfigError
from tests.converter.evaluations import readings, result


def a_model(name, *, bare_found, bare=100, masked_right=95):
    return result(
        name,
        readings("without_mask", "without_mask", bare_found)
        + readings("without_mask", "with_mask", bare - bare_found)
        + readings("with_mask", "with_mask", masked_right)
        + readings("with_mask", "without_mask", 100 - masked_right),
    )


def verdict_on(*models):
    return check_accuracy(Evaluation(models, (), ()))


@pytest.mark.parametrize(("bare_found", "objections"), [(95, 0), (94, 0), (93, 1)])
def test_the_gate_allows_a_loss_of_at_most_one_point_of_recall(bare_found, objections):
    found = verdict_on(a_model("int8.tflite", bare_found=bare_found), a_model("float.keras", bare_found=95))

    assert len(found) == objections


def test_the_objection_states_both_recalls():
    (objection,) = verdict_on(a_model("int8.tflite", bare_found=80), a_model("float.keras", bare_found=95))

    assert objection.startswith("int8.tflite: recall of without_mask is 80.0% against 95.0% of float.keras")


def test_every_model_is_compared_with_the_last():
    good, bad, original = (a_model(name, bare_found=count) for name, count in (("g", 95), ("b", 50), ("f", 95)))

    assert [text.split(":")[0] for text in verdict_on(good, bad, original)] == ["b"]


def test_labels_in_the_wrong_order_are_an_objection_even_if_both_models_have_it():
    swapped = {"bare_found": 3, "masked_right": 4}

    objections = verdict_on(a_model("int8.tflite", **swapped), a_model("float.keras", **swapped))

    assert len(objections) == 2
    assert "convert it again with --labels without_mask,with_mask" in objections[0]


def test_the_gate_requires_bare_faces():
    with pytest.raises(ConfigError, match="no face of without_mask was classified, which the accuracy check requires"):
        verdict_on(a_model("a", bare=0, bare_found=0), a_model("b", bare=0, bare_found=0))
