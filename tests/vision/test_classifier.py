"""Classifier: the shipped model reads real faces in both runtimes; models that do not fit their card are rejected."""

from __future__ import annotations

import importlib.util
import json
import shutil
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from edge_agent.config.model import shipped
from edge_agent.domain import Box
from edge_agent.errors import ModelError
from edge_agent.vision.classifier import MaskClassifier, open_classifier
from edge_agent.vision.tflite import open_interpreter, probe_runtimes
from tests.faces import COLLINS, HOPPER, face_box, portrait
from tests.replaced_files import replace_when_read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODEL = shipped("models") / "masks.tflite"
# tflite-runtime needs numpy 1: the environment with the newest packages has only LiteRT.
HAS_TFLITE_RUNTIME = importlib.util.find_spec("tflite_runtime") is not None
TFLITE_RUNTIME = pytest.param(
    "tflite-runtime",
    marks=pytest.mark.skipif(not HAS_TFLITE_RUNTIME, reason="tflite-runtime is not installed beside numpy 2"),
)


@pytest.fixture(params=["litert", TFLITE_RUNTIME])
def classifier(request) -> MaskClassifier:
    return open_classifier(MODEL, runtime=request.param)


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """A copy of the shipped model whose card has other values."""

    def change(**values: Any) -> Path:
        shutil.copy(MODEL, tmp_path)
        card = json.loads(MODEL.with_suffix(".json").read_text(encoding="utf-8"))
        (tmp_path / "masks.json").write_text(json.dumps(card | values), encoding="utf-8")
        return tmp_path / "masks.tflite"

    return change


@pytest.mark.parametrize("who", [COLLINS, HOPPER])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_real_faces_are_classified_correctly_near_and_far(classifier, who, masked, scale):
    near = portrait(who, masked=masked)
    size = (round(near.shape[1] * scale), round(near.shape[0] * scale))
    image = cv2.resize(near, size, interpolation=cv2.INTER_AREA)

    read = classifier.classify(image, face_box(who, scale=scale))
    label, scores = read.label, read.scores

    assert label == ("with_mask" if masked else "without_mask")
    assert scores[label] > 0.6
    assert sum(scores.values()) == pytest.approx(1)


def test_faces_are_scaled_down_as_the_card_states(changed):
    classifier = open_classifier(changed(resampling="linear"))
    size = (classifier.card.input.width, classifier.card.input.height)
    large = portrait(COLLINS)

    small = np.asarray(cv2.resize(large, size, interpolation=cv2.INTER_LINEAR), np.uint8)

    read = classifier.outputs_of_whole(large)

    assert np.array_equal(read, classifier.outputs_of_whole(small))
    assert not np.array_equal(read, open_classifier(MODEL).outputs_of_whole(large))


@pytest.mark.skipif(not HAS_TFLITE_RUNTIME, reason="compares both runtimes; tflite-runtime is not installed here")
def test_both_runtimes_read_the_same_within_a_rounding_step():
    classifiers = [open_classifier(MODEL, runtime=runtime) for runtime in ("litert", "tflite-runtime")]
    for who in (COLLINS, HOPPER):
        first, second = (one.classify(portrait(who), face_box(who)).scores for one in classifiers)
        assert max(abs(first[label] - second[label]) for label in first) < 0.05


@pytest.mark.parametrize("box", [Box(-50, -50, 10, 10), Box(600, 600, 700, 700), Box(5, 5, 5, 5), Box(0, 0, 512, 1)])
def test_a_face_at_or_beyond_the_edge_is_classified_without_a_crash(classifier, box):
    scores = classifier.classify(portrait(COLLINS), box).scores

    assert sum(scores.values()) == pytest.approx(1)


def test_auto_prefers_litert_if_it_works():
    assert open_classifier(MODEL).runtime == "litert"


def test_every_runtime_is_probed_by_building_an_interpreter():
    probes = {probe.runtime: probe for probe in probe_runtimes(MODEL.read_bytes())}

    assert probes["litert"].works
    assert probes["litert"].version
    assert probes["tflite-runtime"].works == HAS_TFLITE_RUNTIME
    if not HAS_TFLITE_RUNTIME:
        assert probes["tflite-runtime"].failure == "not installed"


def test_a_missing_runtime_is_reported_with_its_package():
    if HAS_TFLITE_RUNTIME:
        broken = b"\x00" * 4 + b"TFL3" + b"\x00" * 64
        with pytest.raises(ModelError, match=r"broken: no TFLite runtime can run it \(litert: .*tflite-runtime: "):
            open_interpreter(broken, name="broken")
    else:
        with pytest.raises(ModelError, match="tflite-runtime: not installed"):
            open_classifier(MODEL, runtime="tflite-runtime")


def test_the_content_whose_hash_was_checked_is_what_runs_though_the_file_is_replaced_meanwhile(changed):
    model = changed()
    replace_when_read(model, then=b"another model")

    open_classifier(model)

    assert model.read_bytes() == b"another model"


def test_a_file_that_is_not_a_tflite_model_is_rejected_before_a_runtime_loads_it():
    with pytest.raises(ModelError, match=r"notes\.txt: not a TFLite model \(5 bytes\)"):
        open_interpreter(b"hello", name="notes.txt")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"labels": ["with_mask", "without_mask"], "thresholds": {}}, r"golden scores: \d values for \d outputs"),
        ({"labels": ["with_mask", "without_mask", "with_mask"], "thresholds": {}}, "labels are not distinct"),
        ({"sha256": "0" * 64}, "SHA-256 differs"),
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"golden": []}, "golden"),
        ({"thresholds": {"with_mask": 2.0}}, r"thresholds\.with_mask"),
    ],
)
def test_a_mismatched_card_is_rejected_with_the_reason(changed, values, complaint):
    with pytest.raises(ModelError, match=complaint):
        open_classifier(changed(**values))


def test_a_wrong_colour_order_or_scale_is_detected_by_the_golden_vectors(changed):
    values = json.loads(MODEL.with_suffix(".json").read_text(encoding="utf-8"))["input"]

    with pytest.raises(ModelError, match="golden vector"):
        open_classifier(changed(input=values | {"colour_order": "bgr"}))
    with pytest.raises(ModelError, match="golden vector"):
        open_classifier(changed(input=values | {"scale": values["scale"] / 255}))


def test_labels_in_the_wrong_order_are_detected_by_the_golden_vectors(changed):
    card = json.loads(MODEL.with_suffix(".json").read_text(encoding="utf-8"))
    golden = [one | {"scores": one["scores"][::-1]} for one in card["golden"]]

    with pytest.raises(ModelError, match="golden vector"):
        open_classifier(changed(golden=golden))


def test_a_threshold_shifts_the_decision_for_its_label(changed):
    image, box = portrait(COLLINS), face_box(COLLINS)
    eager = open_classifier(changed(thresholds={"with_mask": 1e-6}))

    assert open_classifier(MODEL).classify(image, box).label == "without_mask"
    assert eager.classify(image, box).label == "with_mask"


def test_with_two_labels_the_score_of_the_third_is_distributed():
    image, box = portrait(COLLINS), face_box(COLLINS)
    two = open_classifier(MODEL, labels=("with_mask", "without_mask"))

    read = two.classify(image, box)
    label, scores = read.label, read.scores

    assert label == "without_mask"
    assert list(scores) == ["with_mask", "without_mask"]
    assert sum(scores.values()) == pytest.approx(1)
    assert open_classifier(MODEL).labels == two.card.labels


def test_a_label_that_the_model_does_not_know_is_refused():
    whole = open_classifier(MODEL)
    card = whole.card.model_copy(update={"labels": ("with_mask", "without_mask")})

    with pytest.raises(ModelError, match="has no label mask_worn_incorrectly, only with_mask, without_mask"):
        MaskClassifier(whole._interpreter, card, name="two", labels=("with_mask", "mask_worn_incorrectly"))


def test_two_readings_of_the_same_face_are_the_same(classifier):
    image, box = portrait(HOPPER), face_box(HOPPER)

    assert classifier.classify(image, box) == classifier.classify(image, box)


def test_a_card_with_another_output_scale_is_refused(changed):
    output = json.loads(MODEL.with_suffix(".json").read_text(encoding="utf-8"))["output"]

    with pytest.raises(ModelError, match=r"the card does not fit the model: output scale 0\.00390625 against 0\.5"):
        open_classifier(changed(output=output | {"scale": 0.5}))
