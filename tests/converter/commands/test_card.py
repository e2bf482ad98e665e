"""`edge-convert card`: an existing TFLite file gets its card; what a card cannot express becomes part of the file."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from converter.cli import main
from converter.masks.overrides import NO_OVERRIDES
from converter.masks.tflite_networks import open_tflite_network
from edge_agent.config.model import shipped
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
    scores_of_whole,
    takes_pixels_unchanged,
    uncertain_classifier,
    write_pictures,
)
from tests.converter.model_maker import with_metadata
from training.tensorflow_logs import quiet_tensorflow

pytestmark = pytest.mark.tensorflow

WHOLE = Box(0, 0, 48, 48)
SIXTEEN_BITS = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
DARK, LIGHT = (60, 60, 60), (170, 170, 170)


def tflite(model, *, integers=None, half=False, dynamic=False, values=(-1.0, 1.0)):
    """A Keras model as others convert it, of black and white as `values`; `integers`: type of its input and output."""
    with quiet_tensorflow():
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if half or integers or dynamic:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if half:
            converter.target_spec.supported_types = [tf.float16]
        if integers:
            shape = (1, *model.inputs[0].shape[1:])
            random = np.random.default_rng(1)
            black, white = values
            converter.representative_dataset = lambda: (
                [np.full(shape, random.uniform(black, white, shape[-1]), np.float32)] for _ in range(40)
            )
            operations = "TFLITE_BUILTINS_INT8" if integers != "int16" else SIXTEEN_BITS
            converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, operations)]
            converter.inference_input_type = converter.inference_output_type = getattr(tf, integers)
        return bytes(converter.convert())


def grey_classifier(keras, activation):
    """Masked is what is darker than the middle, in grey of -1..1; one output, high where bare."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((SIDE_PX, SIDE_PX, 1)),
            layers.Conv2D(1, 1),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, activation),
        ]
    )
    model.layers[0].set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    model.layers[-1].set_weights([np.array([[8.0]]), np.zeros(1)])
    return model


@pytest.fixture
def greys(tmp_path):
    write_pictures(tmp_path / "greys" / "with_mask", DARK, count=30)
    write_pictures(tmp_path / "greys" / "without_mask", LIGHT, count=30)
    return tmp_path / "greys"


FORMATS = [{}, {"half": True}, {"integers": "int8"}, {"integers": "uint8"}]


@pytest.mark.parametrize("output_format", FORMATS, ids=str)
def test_a_file_that_a_card_describes_stays_as_it_is(keras_3, faces, tmp_path, output_format):
    path = tmp_path / "a.tflite"
    path.write_bytes(tflite(colour_classifier(keras_3), **output_format))
    before = path.read_bytes()

    assert main(["card", str(path), "--calibration", str(faces), "--colours", "rgb"]) == 0

    assert path.read_bytes() == before
    assert read_classifier_card(path)[0].labels == ("with_mask", "without_mask")
    for runtime in RUNTIMES:
        classifier = open_classifier(path, runtime=runtime)
        assert classifier.classify(coloured(BLUE, seed=9), WHOLE).label == "with_mask"
        assert classifier.classify(coloured(RED, seed=9), WHOLE).label == "without_mask"


@pytest.mark.parametrize("output_format", FORMATS, ids=str)
@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_conversion_adds_grey_input_and_a_second_output(keras_3, greys, tmp_path, output_format, activation):
    path = tmp_path / "grey.tflite"
    path.write_bytes(tflite(grey_classifier(keras_3, activation), **output_format))

    arguments = ("--labels", "with_mask,without_mask", "--pixels=-1..1", "--output", str(tmp_path / "out"))
    assert main(["card", str(path), "--calibration", str(greys), *arguments]) == 0

    for runtime in RUNTIMES:
        classifier = open_classifier(tmp_path / "out" / "grey-for-device.tflite", runtime=runtime)
        assert classifier.card.source["colours"] == "grey"
        assert takes_pixels_unchanged(classifier) is ("integers" in output_format)
        dark, light = (classifier.scores(coloured(one, seed=9), WHOLE) for one in (DARK, LIGHT))
        assert dark["with_mask"] > 0.9
        assert light["without_mask"] > 0.9


@pytest.mark.parametrize("output_format", [{}, {"integers": "int8"}], ids=str)
def test_a_clipped_sigmoid_gets_no_second_sigmoid(keras_3, greys, tmp_path, output_format):
    def clipped(x):
        return keras_3.ops.clip(keras_3.ops.sigmoid(x), 1e-7, 1 - 1e-7)

    path = tmp_path / "grey.tflite"
    path.write_bytes(tflite(grey_classifier(keras_3, clipped), **output_format))

    arguments = ("--labels", "with_mask,without_mask", "--pixels=-1..1", "--output", str(tmp_path / "out"))
    assert main(["card", str(path), "--calibration", str(greys), *arguments]) == 0

    classifier = open_classifier(tmp_path / "out" / "grey-for-device.tflite")
    dark, light = (classifier.scores(coloured(one, seed=9), WHOLE) for one in (DARK, LIGHT))
    assert dark["with_mask"] > 0.9
    assert light["without_mask"] > 0.9


SINGLE_OUTPUTS = {
    "clipped line": lambda ops, x: ops.clip(0.5 + x * 0.07, 0.0, 1.0),
    # Trained on 0 and 1 with the mean squared error.
    "line": lambda ops, x: 0.5 + x * 0.07,
    "logit": lambda ops, x: x,
    "tanh": lambda ops, x: ops.tanh(x),
}


def write_single_output(keras, path, last, **output_format):
    with quiet_tensorflow():
        body = colour_classifier(keras, units=1, activation=None)
        model = keras.Model(body.inputs, last(keras.ops, body.output))
    path.write_bytes(tflite(model, **output_format))


@pytest.mark.parametrize("output_format", [{}, {"integers": "int8"}], ids=str)
@pytest.mark.parametrize("last", SINGLE_OUTPUTS.values(), ids=SINGLE_OUTPUTS)
def test_a_single_output_is_decided_as_by_its_author(keras_3, faces, tmp_path, last, output_format):
    path = tmp_path / "one.tflite"
    write_single_output(keras_3, path, last, **output_format)

    arguments = ("--labels", "with_mask,without_mask", "--colours", "rgb", "--pixels=-1..1", "--output", str(tmp_path))
    assert main(["card", str(path), "--calibration", str(faces), *arguments]) == 0

    for runtime in RUNTIMES:
        classifier = open_classifier(tmp_path / "one-for-device.tflite", runtime=runtime)
        assert classifier.classify(coloured(BLUE, seed=9), WHOLE).label == "with_mask"
        assert classifier.classify(coloured(RED, seed=9), WHOLE).label == "without_mask"


@pytest.mark.parametrize("output_format", [{}, {"integers": "int8"}, {"half": True}], ids=str)
@pytest.mark.parametrize("name", SCORES)
def test_scores_of_any_range_are_probabilities_on_the_device(keras_3, faces, tmp_path, name, output_format):
    with quiet_tensorflow():
        model, probability = uncertain_classifier(keras_3, name)
    (tmp_path / "a.tflite").write_bytes(tflite(model, **output_format))

    arguments = ("--labels", "with_mask,without_mask", "--colours", "rgb", "--pixels=-1..1", "--name", "m")
    places = ("--calibration", str(faces), "--output", str(tmp_path))
    assert main(["card", str(tmp_path / "a.tflite"), *arguments, *places]) == 0

    for runtime in RUNTIMES:
        classifier = open_classifier(tmp_path / "m.tflite", runtime=runtime)
        for image in (coloured(colour, seed=5) for colour in (BLUE, RED)):
            assert scores_of_whole(classifier, image)["without_mask"] == pytest.approx(probability(image), abs=0.03)


@pytest.mark.parametrize("output_format", [{}, {"integers": "int8"}], ids=str)
def test_probabilities_without_a_softmax_at_the_end_get_none(keras_3, faces, tmp_path, output_format):
    with quiet_tensorflow():
        body = colour_classifier(keras_3, units=1, activation="sigmoid")
        both = keras_3.ops.concatenate([1.0 - body.output, body.output], axis=1)
        model = keras_3.Model(body.inputs, both)
    path = tmp_path / "both.tflite"
    path.write_bytes(tflite(model, **output_format))
    before = path.read_bytes()

    arguments = ("--labels", "with_mask,without_mask", "--colours", "rgb", "--pixels=-1..1")
    assert main(["card", str(path), "--calibration", str(faces), *arguments]) == 0

    assert path.read_bytes() == before
    classifier = open_classifier(path)
    assert classifier.scores(coloured(BLUE, seed=9), WHOLE)["with_mask"] > 0.9
    assert classifier.scores(coloured(RED, seed=9), WHOLE)["without_mask"] > 0.9


def test_without_labelled_pictures_the_meaning_of_a_single_output_is_asked_for(keras_3, tmp_path, capsys):
    path = tmp_path / "one.tflite"
    write_single_output(keras_3, path, SINGLE_OUTPUTS["line"])
    arguments = ("--labels", "with_mask,without_mask", "--pixels=-1..1", "--output", str(tmp_path))

    assert main(["card", str(path), *arguments]) == 78
    assert "--single-output" in capsys.readouterr().err

    assert main(["card", str(path), *arguments, "--single-output", "probability"]) == 0
    classifier = open_classifier(tmp_path / "one-for-device.tflite")
    assert classifier.classify(coloured(BLUE, seed=9), WHOLE).label == "with_mask"


def test_an_ignored_output_is_distributed_among_the_labels(keras_3, faces, tmp_path, capsys):
    path = tmp_path / "three.tflite"
    path.write_bytes(tflite(colour_classifier(keras_3, units=3, activation=None), integers="int8"))

    arguments = ("--labels", "with_mask,without_mask,uncertain", "--colours", "rgb", "--output", str(tmp_path / "out"))
    assert main(["card", str(path), "--calibration", str(faces), *arguments]) == 0
    assert "accuracy on labelled pictures: 120 of 120 (file itself: 120)" in capsys.readouterr().err

    classifier = open_classifier(tmp_path / "out" / "three-for-device.tflite")
    assert classifier.card.labels == ("with_mask", "without_mask")
    assert classifier.scores(coloured(BLUE, seed=9), WHOLE)["with_mask"] > 0.6


def test_names_are_read_from_metadata_beside_and_in_a_teachable_machine_zip(keras_3, faces, tmp_path, capsys):
    content = tflite(colour_classifier(keras_3))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("labels.txt", "Com Mascara\nSem Mascara\n")
    (tmp_path / "inside.tflite").write_bytes(content + packed.getvalue())
    (tmp_path / "beside.tflite").write_bytes(content)
    (tmp_path / "beside_labels.txt").write_text("Com Mascara\nSem Mascara\n")
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
        archive.writestr("model_unquant.tflite", content)
        archive.writestr("labels.txt", "0 Com Mascara\n1 Sem Mascara\n")

    for name in ("inside.tflite", "beside.tflite", "zipped.zip"):
        places = ("--calibration", str(faces), "--colours", "rgb", "--output", str(tmp_path / "out"))
        assert main(["card", str(tmp_path / name), *places]) == 78
        assert "Com Mascara=with_mask" in capsys.readouterr().err
        said = ("--labels", "Sem Mascara=without_mask,Com Mascara=with_mask")
        assert main(["card", str(tmp_path / name), *places, *said]) == 0
        assert read_classifier_card(tmp_path / "out" / name.replace(".zip", ".tflite"))[0].labels == (
            "with_mask",
            "without_mask",
        )


def test_a_file_of_model_maker_states_its_labels_and_normalization(keras_3, faces, tmp_path, capsys):
    path = tmp_path / "maker.tflite"
    content = tflite(colour_classifier(keras_3))
    path.write_bytes(with_metadata(content, mean=(127.5,), std=(127.5,), labels=("Mask", "No Mask")))
    before = path.read_bytes()

    assert main(["card", str(path), "--calibration", str(faces)]) == 0

    assert path.read_bytes() == before
    card = read_classifier_card(path)[0]
    assert card.labels == ("with_mask", "without_mask")
    assert card.source["pixels"] == "-1..1"
    assert card.source["reasons"]["pixels"] == "found in the file: its TFLite Metadata"


@pytest.mark.parametrize(
    ("integers", "values"), [("int8", (-0.5, 0.5)), ("uint8", (0.0, 2.0)), ("int8", (-0.4242, 2.8215))]
)
def test_the_quantization_of_a_byte_input_states_its_values(keras_3, faces, tmp_path, integers, values):
    path = tmp_path / "bytes.tflite"
    path.write_bytes(tflite(colour_classifier(keras_3), integers=integers, values=values))

    arguments = ("--labels", "with_mask,without_mask", "--colours", "rgb", "--output", str(tmp_path / "out"))
    assert main(["card", str(path), "--calibration", str(faces), *arguments]) == 0

    classifier = open_classifier(tmp_path / "out" / "bytes-for-device.tflite")
    source = classifier.card.source
    assert source["reasons"]["pixels"] == "found in the file: the quantization of its input"
    assert source["pixels"] == "0..255"
    mean, deviation = source["means"][0], source["std"][0]
    found = (-mean / deviation, (255 - mean) / deviation)
    assert found == pytest.approx(values, abs=0.05 * (values[1] - values[0]))
    assert classifier.classify(coloured(BLUE, seed=9), WHOLE).label == "with_mask"


@pytest.mark.parametrize(("values", "pixels"), [((-1.0, 1.0), "-1..1"), ((0.0, 1.0), "0..1"), ((0.0, 255.0), "0..255")])
def test_the_quantization_of_a_usual_range_needs_no_means(keras_3, tmp_path, values, pixels):
    path = tmp_path / "bytes.tflite"
    path.write_bytes(tflite(colour_classifier(keras_3), integers="int8", values=values))

    network, *_ = open_tflite_network(path, NO_OVERRIDES)

    assert (network.pixels, network.means, network.deviations) == (pixels, (), ())


def test_normalization_of_each_channel_is_added_to_the_model(keras_3, faces, tmp_path):
    path = tmp_path / "maker.tflite"
    mean, std = (124.0, 116.0, 104.0), (58.0, 57.0, 57.5)
    path.write_bytes(with_metadata(tflite(colour_classifier(keras_3)), mean=mean, std=std))

    arguments = ("--labels", "with_mask,without_mask", "--colours", "rgb", "--output", str(tmp_path / "out"))
    assert main(["card", str(path), "--calibration", str(faces), *arguments]) == 0

    classifier = open_classifier(tmp_path / "out" / "maker-for-device.tflite")
    assert (tuple(classifier.card.source["means"]), tuple(classifier.card.source["std"])) == (mean, std)
    assert classifier.classify(coloured(BLUE, seed=9), WHOLE).label == "with_mask"


def test_without_pictures_nothing_is_reported_as_checked(keras_3, tmp_path, capsys):
    path = tmp_path / "a.tflite"
    path.write_bytes(tflite(colour_classifier(keras_3)))

    assert main(["card", str(path), "--labels", "with_mask,without_mask"]) == 0

    assert "nothing could be verified" in capsys.readouterr().err


def test_a_file_that_one_runtime_cannot_run_is_for_devices_with_the_other(keras_3, faces, tmp_path, capsys):
    layers = keras_3.layers
    model = keras_3.Sequential(
        [keras_3.Input((SIDE_PX, SIDE_PX, 3)), layers.Flatten(), layers.Dense(2, "softmax", use_bias=False)]
    )
    # Blue less red, of RGB; so many weights that its dense layer is quantized, in a version of its own.
    blue_less_red = np.tile([[-9, 9], [0, 0], [9, -9]], (SIDE_PX * SIDE_PX, 1)) / SIDE_PX**2
    model.layers[-1].set_weights([blue_less_red])
    path = tmp_path / "dynamic.tflite"
    path.write_bytes(tflite(model, dynamic=True))

    labels = ("--labels", "with_mask,without_mask", "--colours", "rgb", "--pixels=-1..1")
    assert main(["card", str(path), "--calibration", str(faces), *labels]) == 0

    said = " ".join(capsys.readouterr().err.split())
    assert open_classifier(path, runtime="litert").classify(coloured(BLUE, seed=9), WHOLE).label == "with_mask"
    assert ("does not run in tflite-runtime" in said) is (len(RUNTIMES) > 1)


def test_tensorflow_operators_are_reported(tmp_path, capsys):
    with quiet_tensorflow():
        import tensorflow as tf

        @tf.function(input_signature=[tf.TensorSpec((1, SIDE_PX, SIDE_PX, 3))])
        def call(pixels):
            return tf.nn.softmax(tf.reduce_mean(tf.math.erf(pixels), (1, 2))[:, :2])

        converter = tf.lite.TFLiteConverter.from_concrete_functions([call.get_concrete_function()])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        (tmp_path / "a.tflite").write_bytes(converter.convert())

    assert main(["card", str(tmp_path / "a.tflite"), "--labels", "with_mask,without_mask"]) == 78

    assert "FlexErf" in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("what", ["--size", "detector", "int16"])
def test_a_model_that_no_card_can_describe_is_refused(keras_3, tmp_path, capsys, what):
    layers = keras_3.layers
    classifying = [layers.GlobalAveragePooling2D(), layers.Dense(2)]
    side, rest, integers = {
        "--size": (None, classifying, None),
        "detector": (SIDE_PX, [layers.Conv2D(2, 3, strides=8, padding="same")], None),
        "int16": (SIDE_PX, classifying, "int16"),
    }[what]
    model = keras_3.Sequential([keras_3.Input((side, side, 3)), *rest])
    (tmp_path / "a.tflite").write_bytes(tflite(model, integers=integers))

    assert main(["card", str(tmp_path / "a.tflite"), "--labels", "with_mask,without_mask"]) == 78

    assert what in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()


def test_the_error_about_a_file_that_is_not_tflite_names_the_command_to_use(colour_model, capsys):
    assert main(["card", str(colour_model)]) == 78
    assert f"edge-convert convert {colour_model}" in capsys.readouterr().err


def test_an_archive_with_two_models_is_not_sent_to_the_other_command(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("float32.tflite", "int8.tflite"):
            archive.write(shipped("models") / "masks.tflite", name)

    assert main(["card", str(tmp_path / "a.zip")]) == 78

    said = capsys.readouterr().err
    assert "float32.tflite" in said
    assert "edge-convert convert" not in said


@pytest.mark.parametrize("length", [8, 100, 40_000])
def test_a_file_that_was_cut_off_is_named(tmp_path, capsys, length):
    path = tmp_path / "a.tflite"
    path.write_bytes((shipped("models") / "masks.tflite").read_bytes()[:length])

    assert main(["card", str(path)]) == 78

    assert f"{path}: damaged or cut off" in capsys.readouterr().err
