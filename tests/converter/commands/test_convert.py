"""`edge-convert convert`: from a Keras file to a model that a device loads, and the errors for other files."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest

from converter.cli import main
from edge_agent.domain import Box
from edge_agent.vision.card import read_classifier_card
from edge_agent.vision.classifier import open_classifier
from tests.converter.colour_classifier import (
    BLUE,
    RED,
    RUNTIMES,
    SCORES,
    SIDE_PX,
    colour_classifier,
    coloured,
    own_layer,
    scores_of_whole,
    takes_pixels_unchanged,
    uncertain_classifier,
    write_pictures,
)
from tests.file_sizes import limited_file_size
from training.coco import CocoFile
from training.tensorflow_logs import quiet_tensorflow

pytestmark = pytest.mark.tensorflow

WHOLE = Box(0, 0, 48, 48)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_device_reads_with_a_converted_model(converted, runtime):
    classifier = open_classifier(converted, runtime=runtime)

    assert classifier.runtime == runtime
    assert classifier.classify(coloured(BLUE, seed=99), WHOLE).label == "with_mask"
    assert classifier.classify(coloured(RED, seed=99), WHOLE).label == "without_mask"


def test_a_model_is_verified_in_installed_runtimes_and_missing_ones_are_listed(
    colour_model, convert, monkeypatch, capsys
):
    # As on a machine without it: importing it fails.
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", None)

    assert convert(colour_model) == 0

    told = said(capsys)
    assert "bytes, runs in litert" in told
    assert "not tested in tflite-runtime" in told


def test_an_int8_model_takes_pixels_unchanged(converted):
    classifier = open_classifier(converted)

    assert classifier.card.input.dtype == "uint8"
    assert classifier.card.input.scale == 1 / 127.5
    assert classifier.card.output.dtype == "uint8"
    assert takes_pixels_unchanged(classifier)


def test_the_card_describes_the_conversion(converted):
    card = read_classifier_card(converted)[0]

    assert card.name == "colours"
    assert card.labels == ("with_mask", "without_mask")
    assert card.metrics == {"format": "int8", "calibration_pictures": 120}
    assert card.versions["model"].startswith(".keras of Keras 3")
    assert {"tensorflow", "ai-edge-litert", "tflite-runtime", "maskwatch"} <= card.versions.keys()


@pytest.mark.parametrize(
    ("last", "decision"),
    [
        (lambda ops, x: ops.clip(ops.sigmoid(x), 1e-7, 1 - 1e-7), 0.5),
        # Trained on 0 and 1 with the mean squared error.
        (lambda ops, x: 0.5 + x * 0.07, 0.5),
        (lambda ops, x: x, 0.0),
    ],
    ids=["clipped sigmoid", "0..1 without a limit", "logit"],
)
def test_a_single_output_is_decided_on_the_device_as_by_its_author(keras_3, convert, tmp_path, last, decision):
    with quiet_tensorflow():
        body = colour_classifier(keras_3, units=1, activation=None)
        model = keras_3.Model(body.inputs, last(keras_3.ops, body.output))
        model.save(tmp_path / "a.keras")
        bright = [float(model(np.full((1, SIDE_PX, SIDE_PX, 3), bgr[::-1]) / 127.5 - 1)[0, 0]) for bgr in (BLUE, RED)]
    assert bright[0] < decision < bright[1]

    assert convert(tmp_path / "a.keras", "--pixels=-1..1") == 0

    classifier = open_classifier(tmp_path / "out" / "a.tflite")
    assert classifier.classify(coloured(BLUE, seed=5), WHOLE).label == "with_mask"
    assert classifier.classify(coloured(RED, seed=5), WHOLE).label == "without_mask"


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_any_range_are_probabilities_on_the_device(keras_3, convert, tmp_path, name):
    with quiet_tensorflow():
        model, probability = uncertain_classifier(keras_3, name)
        model.save(tmp_path / "a.keras")

    assert convert(tmp_path / "a.keras", "--pixels=-1..1", "--colours", "rgb") == 0

    classifier = open_classifier(tmp_path / "out" / "a.tflite")
    for image in (coloured(colour, seed=5) for colour in (BLUE, RED)):
        assert 0.05 < probability(image) < 0.95
        assert scores_of_whole(classifier, image)["without_mask"] == pytest.approx(probability(image), abs=0.02)


def test_a_model_whose_training_diverged_is_refused_without_labelled_pictures(keras_3, convert, tmp_path, capsys):
    with quiet_tensorflow():
        model = colour_classifier(keras_3)
        model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
        model.save(tmp_path / "a.keras")
    write_pictures(tmp_path / "pictures", BLUE, count=20)

    assert convert(tmp_path / "a.keras", "--pixels=-1..1", calibration=tmp_path / "pictures") == 78

    assert "nan" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("filters", "status"), [(16, 0), (96, 78)])
def test_int16_depends_on_the_multiply_adds_of_a_model_and_not_on_time(keras_3, convert, tmp_path, filters, status):
    with quiet_tensorflow():
        layers = keras_3.layers
        model = colour_classifier(keras_3)
        wide = layers.Conv2D(filters, 3, padding="same")(layers.Conv2D(filters, 3, padding="same")(model.input))
        nothing = layers.Dense(2, kernel_initializer="zeros")(layers.GlobalAveragePooling2D()(wide))
        keras_3.Model(model.input, layers.add([model.output, nothing])).save(tmp_path / "a.keras")

    assert convert(tmp_path / "a.keras", "--format", "int16", "--pixels=-1..1") == status


@pytest.fixture(scope="module")
def mobilenet(request, tmp_path_factory):
    """MobileNetV2 as small as it gets, of one generation of Keras, random weights."""
    keras = request.getfixturevalue(request.param)
    path = tmp_path_factory.mktemp("mobilenet") / ("mask_detector.model" if request.param == "keras_2" else "m.keras")
    with quiet_tensorflow():
        keras.utils.set_random_seed(1)
        body = keras.applications.MobileNetV2(
            alpha=0.35, input_shape=(32, 32, 3), weights=None, include_top=False, pooling="avg"
        )
        model = keras.Sequential([body, keras.layers.Dense(3, activation="softmax")])
        model.save(path, **({"save_format": "h5"} if request.param == "keras_2" else {}))
    return path


@pytest.mark.parametrize("mobilenet", ["keras_2", "keras_3"], indirect=True)
def test_a_mobilenet_of_either_keras_generation_is_converted_to_every_format(mobilenet, convert, tmp_path):
    # It reads what random weights read, which is refused otherwise.
    options = ("--formats", "int8,float32,float16,dynamic", "--name", "m", "--force")

    assert convert(mobilenet, *options, labels="with_mask,without_mask,mask_worn_incorrectly") == 0

    dtypes = {"m": "uint8", "m.float32": "float32", "m.float16": "float32", "m.dynamic": "float32"}
    for name, dtype in dtypes.items():
        for runtime in RUNTIMES:
            classifier = open_classifier(tmp_path / "out" / f"{name}.tflite", runtime=runtime)
            assert classifier.card.input.dtype == dtype
            assert sum(classifier.scores(coloured(BLUE, seed=1), WHOLE).values()) == pytest.approx(1.0)


def test_a_model_with_its_own_scaling_gets_bytes(keras_3, convert, tmp_path):
    with quiet_tensorflow():
        colour_classifier(keras_3, scaling=keras_3.layers.Rescaling(1 / 127.5, -1)).save(tmp_path / "a.keras")

    assert convert(tmp_path / "a.keras") == 0

    classifier = open_classifier(tmp_path / "out" / "a.tflite")
    assert (classifier.card.input.scale, classifier.card.input.zero_point) == (1.0, 0.0)
    assert classifier.classify(coloured(RED, seed=5), WHOLE).label == "without_mask"


def test_labelled_pictures_determine_the_pixel_range_of_a_model(keras_3, convert, tmp_path, capsys):
    with quiet_tensorflow():
        # Right on 0..1 alone: bare is what is brighter than 0.4.
        model = colour_classifier(keras_3)
        mean = np.zeros((3, 3, 3, 2), np.float32)
        mean[1, 1] = 1 / 3
        model.get_layer("features").set_weights([mean, np.zeros(2, np.float32)])
        model.get_layer("scores").set_weights([np.array([[-10, 10], [-10, 10]]), np.array([8, -8])])
        model.save(tmp_path / "a.keras")
    write_pictures(tmp_path / "greys" / "with_mask", (60, 60, 60), count=30)
    write_pictures(tmp_path / "greys" / "without_mask", (150, 150, 150), count=30)

    assert convert(tmp_path / "a.keras", calibration=tmp_path / "greys") == 0

    assert "pixels 0..1: chosen by trial: 60 of 60" in capsys.readouterr().err


def test_a_card_is_fitted_to_validation_faces_that_are_kept_out_of_calibration(
    colour_model, convert, faces, tmp_path, capsys
):
    shutil.copytree(faces, tmp_path / "all")
    more = tmp_path / "more"
    write_pictures(more / "with_mask", (190, 110, 80), count=25)
    write_pictures(more / "without_mask", (80, 110, 190), count=25)
    for label in ("with_mask", "without_mask"):
        for path in (more / label).iterdir():
            shutil.copy(path, tmp_path / "all" / label / f"more_{path.name}")

    arguments = ("--validation", str(faces), "--false-alarms", "0.02")
    assert convert(colour_model, *arguments, calibration=tmp_path / "all") == 0

    card = read_classifier_card(tmp_path / "out" / "colours.tflite")[0]
    assert card.metrics["calibration_pictures"] == 50
    assert card.metrics["validation"]["faces"] == 120
    assert card.temperature != 1.0
    assert sum(card.thresholds.values()) == pytest.approx(1.0, abs=1e-3)
    assert "calibration error" in capsys.readouterr().err
    for runtime in RUNTIMES:
        open_classifier(tmp_path / "out" / "colours.tflite", runtime=runtime)


def test_a_training_run_brings_its_faces_labels_and_margin(colour_model, faces, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(colour_model, run / "model.keras")
    told = {"name": "street", "labels": ["with_mask", "without_mask"], "margin_fraction": 0.2, "pixels": "-1..1"}
    (run / "run.json").write_text(json.dumps(told))
    pictures = sorted(faces.rglob("*.png"))
    listed = CocoFile(run / "faces.json", ["with_mask", "without_mask"])
    for number, path in enumerate(pictures):
        listed.add_picture(path, source="faces", split="train" if number % 3 else "validation")
        for _ in range(3):
            listed.add_face(path, (9, 9, 39, 39), category=path.parent.name)
    listed.write()

    assert main(["convert", str(run), "--output", str(run)]) == 0

    card = read_classifier_card(run / "street.tflite")[0]
    assert card.margin_fraction == 0.2
    assert card.metrics["calibration_pictures"] == 200
    assert card.metrics["validation"]["faces"] == 40 * 3
    assert card.metrics["validation"]["accuracy"] == 1.0


def test_unreadable_pictures_among_good_ones_are_listed_and_left_out(colour_model, convert, faces, tmp_path, capsys):
    shutil.copytree(faces, tmp_path / "some")
    (tmp_path / "some" / "with_mask" / "000.png").write_bytes(b"no picture")
    (tmp_path / "some" / "without_mask" / "001.png").write_bytes(b"")

    assert convert(colour_model, calibration=tmp_path / "some") == 0

    said = capsys.readouterr().err
    assert "with_mask/000.png" in said
    assert "without_mask/001.png" in said
    assert read_classifier_card(tmp_path / "out" / "colours.tflite")[0].metrics["calibration_pictures"] == 118


@pytest.fixture
def previous(converted, tmp_path):
    """A model that is in place already; gives what may not have changed after a failure."""
    shutil.copytree(converted.parent, tmp_path / "out")

    def content():
        return {path.name: path.read_bytes() for path in sorted((tmp_path / "out").iterdir())}

    before = content()
    yield
    assert content() == before


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("previous")
def test_three_calibration_pictures_are_too_few(colour_model, convert, tmp_path, capsys):
    write_pictures(tmp_path / "three", BLUE, count=3)

    assert convert(colour_model, calibration=tmp_path / "three") == 78
    told = said(capsys)
    assert "three: 3 pictures; int8 needs at least 20" in told
    assert "loading" not in told


def test_too_few_readable_pictures_are_reported(colour_model, convert, tmp_path, capsys):
    write_pictures(tmp_path / "some", BLUE, count=20)
    (tmp_path / "some" / "000.png").write_bytes(b"no picture")

    assert convert(colour_model, calibration=tmp_path / "some") == 78
    assert "some: 19 pictures that can be read; int8 needs at least 20" in said(capsys)


@pytest.mark.usefixtures("previous")
def test_an_empty_class_folder_is_named(colour_model, convert, tmp_path, capsys):
    write_pictures(tmp_path / "half" / "with_mask", BLUE, count=30)
    (tmp_path / "half" / "without_mask").mkdir()

    assert convert(colour_model, calibration=tmp_path / "half") == 78
    assert "half/without_mask: no pictures" in said(capsys)


@pytest.mark.usefixtures("previous")
def test_a_single_class_is_refused(colour_model, convert, tmp_path, capsys):
    write_pictures(tmp_path / "half" / "with_mask", BLUE, count=30)

    assert convert(colour_model, calibration=tmp_path / "half") == 78
    assert "pictures of 'with_mask' only" in said(capsys)


@pytest.mark.usefixtures("previous")
def test_labels_in_the_wrong_order_close_the_gate(colour_model, convert, capsys):
    assert convert(colour_model, "--colours", "rgb", labels="without_mask,with_mask") == 3
    assert "its labels are in the wrong order" in said(capsys)


@pytest.mark.usefixtures("previous")
def test_more_labels_than_outputs_are_refused(colour_model, convert, capsys):
    assert convert(colour_model, labels="with_mask,without_mask,mask_worn_incorrectly") == 78
    assert "its 2 output(s) need 2 labels, and 3 are named" in said(capsys)


@pytest.mark.usefixtures("previous")
def test_a_truncated_hdf5_is_refused(keras_3, convert, tmp_path, capsys):
    with quiet_tensorflow():
        colour_classifier(keras_3).save(tmp_path / "colours.h5")
    content = (tmp_path / "colours.h5").read_bytes()
    (tmp_path / "colours.h5").write_bytes(content[: len(content) // 2])

    assert convert(tmp_path / "colours.h5") == 78
    assert "colours.h5: damaged or cut off" in said(capsys)


@pytest.mark.usefixtures("previous")
def test_an_unknown_layer_is_refused_by_name(keras_3, convert, tmp_path, capsys):
    with quiet_tensorflow():
        colour_classifier(keras_3, scaling=own_layer(keras_3)).save(tmp_path / "colours.keras")

    assert convert(tmp_path / "colours.keras") == 78
    assert "a custom layer, 'Sharpen'" in said(capsys)


@pytest.mark.usefixtures("previous")
@pytest.mark.parametrize("larger", [False, True])
def test_a_full_disk_leaves_no_partial_model(colour_model, converted, convert, capsys, larger):
    """Room for neither of model and card, and room for the smaller one only."""
    sizes = sorted(path.stat().st_size for path in converted.parent.iterdir())
    with limited_file_size(sizes[larger] - 100):
        status = convert(colour_model)

    assert status == 78
    assert "nothing was written, what was there is unchanged" in said(capsys)


def test_missing_calibration_pictures_are_reported(colour_model, tmp_path, capsys):
    assert main(["convert", str(colour_model), "--output", str(tmp_path / "out")]) == 78
    assert "--calibration: required" in said(capsys)


def test_false_alarms_needs_validation_faces(colour_model, convert, capsys):
    assert convert(colour_model, "--false-alarms", "0.01") == 78
    assert "--false-alarms: needs --validation" in said(capsys)


def test_an_unknown_label_is_refused_with_a_list_of_known_ones(colour_model, convert, capsys):
    with pytest.raises(SystemExit) as ended:
        convert(colour_model, labels="cats,dogs")
    assert ended.value.code == 2
    assert "is none of with_mask, without_mask, mask_worn_incorrectly, no_face or ignore" in said(capsys)


@pytest.mark.reference_data
def test_a_foreign_teachable_machine_model_is_converted(shared, some_crops, tmp_path, capsys):
    model = shared / "keras_models" / "teachable_machine_mask.h5"
    places = ("--calibration", str(shared / "data/faces/crops/train"), "--output", str(tmp_path), "--pictures", "24")

    assert main(["convert", str(model), "--labels", "with_mask,without_mask", *places]) == 0
    capsys.readouterr()

    tflite = tmp_path / "teachable_machine_mask.tflite"
    for runtime in RUNTIMES:
        open_classifier(tflite, runtime=runtime)
    assert main(["evaluate", str(tflite), "--folders", str(some_crops), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["models"]
    assert result["faces"] == 131
    assert result["accuracy"] > 0.95


def test_conversion_adds_grey_input_and_channel_means(keras_3, convert, faces, tmp_path):
    layers = keras_3.layers
    with quiet_tensorflow():
        # Masked is what is darker than grey 110, in the pixels of 0..255 less a mean of 100, divided by 50.
        grey = keras_3.Sequential(
            [keras_3.Input((SIDE_PX, SIDE_PX, 1)), layers.GlobalAveragePooling2D(), layers.Dense(1, "sigmoid")]
        )
        grey.layers[-1].set_weights([np.array([[9.0]]), np.array([-9 * (110 - 100) / 50])])
        grey.save(tmp_path / "grey.keras")
    write_pictures(tmp_path / "greys" / "with_mask", (70, 70, 70), count=30)
    write_pictures(tmp_path / "greys" / "without_mask", (150, 150, 150), count=30)
    stated = ("--pixels", "0..255", "--means", "100", "--std", "50", "--resampling", "linear")

    assert convert(tmp_path / "grey.keras", *stated, calibration=tmp_path / "greys") == 0

    for runtime in RUNTIMES:
        classifier = open_classifier(tmp_path / "out" / "grey.tflite", runtime=runtime)
        assert takes_pixels_unchanged(classifier)
        assert classifier.classify(coloured((60, 60, 60), seed=5), WHOLE).label == "with_mask"
        assert classifier.classify(coloured((170, 170, 170), seed=5), WHOLE).label == "without_mask"
    card = read_classifier_card(tmp_path / "out" / "grey.tflite")[0]
    source = card.source
    assert (source["colours"], source["means"], source["std"]) == ("grey", [100.0], [50.0])
    assert (card.resampling, source["resampling"]) == ("linear", "linear")
    assert source["reasons"]["labels"] == "stated"


def test_an_input_of_512_px_is_converted(keras_3, convert, tmp_path):
    layers = keras_3.layers
    with quiet_tensorflow():
        # What colour_classifier does, of a picture that it scales down itself.
        pixels = keras_3.Input((512, 512, 3))
        model = keras_3.Model(pixels, colour_classifier(keras_3)(layers.AveragePooling2D(512 // SIDE_PX)(pixels)))
        model.save(tmp_path / "a.keras")

    assert convert(tmp_path / "a.keras", "--pictures", "24", "--colours", "rgb") == 0

    card = read_classifier_card(tmp_path / "out" / "a.tflite")[0]
    assert (card.input.width, card.input.height) == (512, 512)
    for runtime in RUNTIMES:
        classifier = open_classifier(tmp_path / "out" / "a.tflite", runtime=runtime)
        assert classifier.classify(coloured(BLUE, seed=5), WHOLE).label == "with_mask"
        assert classifier.classify(coloured(RED, seed=5), WHOLE).label == "without_mask"


def test_a_meaningless_output_is_not_on_the_card(keras_3, convert, tmp_path):
    with quiet_tensorflow():
        colour_classifier(keras_3, units=3).save(tmp_path / "a.keras")

    assert convert(tmp_path / "a.keras", labels="with_mask,without_mask,uncertain") == 0

    card = read_classifier_card(tmp_path / "out" / "a.tflite")[0]
    assert card.labels == ("with_mask", "without_mask")
    assert card.source["outputs"] == ["with_mask", "without_mask", "ignore"]


def test_an_output_of_no_face_is_the_last_and_rejects(keras_3, convert, tmp_path):
    with quiet_tensorflow():
        colour_classifier(keras_3, units=3).save(tmp_path / "a.keras")

    assert (
        convert(tmp_path / "a.keras", labels="no_face,without_mask,with_mask", calibration=tmp_path / "nowhere") == 78
    )
    write_pictures(tmp_path / "reds", RED, count=30)
    assert convert(tmp_path / "a.keras", labels="no_face,without_mask,with_mask", calibration=tmp_path / "reds") == 0

    for runtime in RUNTIMES:
        classifier = open_classifier(tmp_path / "out" / "a.tflite", runtime=runtime)
        assert classifier.card.labels == ("without_mask", "with_mask")
        assert not classifier.classify(coloured(BLUE, seed=5), WHOLE).is_face
        found = classifier.classify(coloured(RED, seed=5), WHOLE)
        assert (found.is_face, found.label) == (True, "without_mask")


def test_an_existing_model_is_kept_unless_overwriting_is_allowed(colour_model, faces, tmp_path, capsys):
    places = ("--calibration", str(faces), "--output", str(tmp_path), "--colours", "rgb")
    assert main(["convert", str(colour_model), *places]) == 0
    before = (tmp_path / "colours.json").read_bytes()

    assert main(["convert", str(colour_model), *places]) == 78

    assert "colours.tflite" in capsys.readouterr().err
    assert (tmp_path / "colours.json").read_bytes() == before
    assert main(["convert", str(colour_model), *places, "--overwrite"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["colours.json", "colours.tflite"]


def test_the_best_format_is_chosen_and_reported(colour_model, convert, tmp_path):
    assert convert(colour_model, "--format", "best", "--report", str(tmp_path / "report")) == 0

    assert read_classifier_card(tmp_path / "out" / "colours.tflite")[0].metrics["format"] == "int8"
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("<li>") == 120
    assert "accuracy: source" in page
