"""Families: common fine-tuned models convert correctly whatever their family, preprocessing, last layer and file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from converter.cli import main
from edge_agent.vision.card import read_classifier_card
from edge_agent.vision.classifier import open_classifier
from tests.converter.colour_classifier import RUNTIMES, scores_of_whole
from tests.converter.network_families import COLOURS, FAMILIES, a_classifier, a_face, write_faces
from training.tensorflow_logs import quiet_tensorflow

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shades") / "faces"
    write_faces(folder, count=40)
    return folder


def save(model, path, generation):
    if path.suffix:
        model.save(path)
    elif generation == 2:
        model.save(path, save_format="tf")
    else:
        model.export(path, verbose=False)


@dataclass(frozen=True)
class Case:
    """A file, and what its card says of it: pixels, colours and means; None where several ways read it as well."""

    family: str
    generation: int
    file: str
    units: int
    activation: str | None
    reverse: bool
    found: tuple[str, str, list[float]] | None


INSIDE: tuple[str, str, list[float]] = ("0..255", "rgb", [])
CASES = [
    Case("EfficientNet", 2, "a.h5", 1, "sigmoid", True, INSIDE),
    Case("EfficientNetV2", 3, "a.h5", 1, None, False, INSIDE),
    Case("MobileNetV3", 3, "saved", 2, None, True, INSIDE),
    Case("ResNet", 2, "a.h5", 2, "softmax", False, None),
    Case("VGG", 2, "saved", 2, "softmax", True, None),
    Case("VGG without its means", 3, "a.keras", 2, "sigmoid", False, None),
    Case("DenseNet", 3, "a.keras", 1, "sigmoid", False, None),
    Case("Xception", 2, "a.keras", 1, None, False, None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.family)
def test_a_family_is_read_correctly_without_a_preprocessing_option(request, shades, tmp_path, case):
    keras = request.getfixturevalue(f"keras_{case.generation}")
    with quiet_tensorflow():
        family = FAMILIES[case.family]
        model = a_classifier(keras, family, units=case.units, activation=case.activation, reverse=case.reverse)
        save(model, tmp_path / case.file, case.generation)

    labels = tuple(COLOURS)[::-1] if case.reverse else tuple(COLOURS)
    places = ("--calibration", str(shades), "--output", str(tmp_path / "out"), "--name", "m", "--format", "best")
    assert main(["convert", str(tmp_path / case.file), "--labels", ",".join(labels), *places]) == 0

    card = read_classifier_card(tmp_path / "out" / "m.tflite")[0]
    assert card.labels == labels
    if case.found:
        assert (card.source["pixels"], card.source["colours"], card.source["means"]) == case.found
    for runtime in RUNTIMES:
        classifier = open_classifier(tmp_path / "out" / "m.tflite", runtime=runtime)
        faces = [(label, a_face(label, seed=5000 + seed)) for label in COLOURS for seed in range(10)]
        right = [card.decide(scores_of_whole(classifier, image)) == label for label, image in faces]
        assert np.mean(right) >= 0.9
