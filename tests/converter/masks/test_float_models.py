"""Float models: inputs and outputs of Keras models, in all common forms, and their conversion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from converter.masks.float_models import to_tflite
from converter.masks.outputs import LabelMapping
from converter.masks.overrides import ModelOverrides
from converter.masks.preprocessing import Preprocessing
from converter.tflite_conversion import FORMATS
from edge_agent.domain import Box
from edge_agent.errors import ConfigError, ModelError
from edge_agent.vision.tflite import Interpreter
from tests.converter.colour_classifier import BLUE, RED, SIDE_PX, colour_classifier, coloured, open_float_model
from training.tensorflow_logs import quiet_tensorflow

pytestmark = pytest.mark.tensorflow

TWO = ModelOverrides(labels=LabelMapping(("with_mask", "without_mask")))


@pytest.fixture
def a_file(keras_3, tmp_path):
    """Saves a colour classifier and gives its path."""

    def save(**kwargs):
        with quiet_tensorflow():
            colour_classifier(keras_3, **kwargs).save(tmp_path / "a.keras")
        return tmp_path / "a.keras"

    return save


def scores_of_blue_and_red(model):
    whole = Box(0, 0, 48, 48)
    return [model.scores(coloured(colour, seed=1), whole) for colour in (BLUE, RED)]


@pytest.mark.parametrize(
    "ending",
    [
        {"units": 2, "activation": "softmax"},
        {"units": 2, "activation": None},
        {"units": 2, "activation": "sigmoid"},
        {"units": 1, "activation": "sigmoid"},
        {"units": 1, "activation": None},
    ],
    ids=["softmax", "logits", "two sigmoids", "one sigmoid", "one logit"],
)
def test_every_output_layer_gives_probabilities_of_two_labels(a_file, ending):
    overrides = replace(TWO, single_output="logit") if ending == {"units": 1, "activation": None} else TWO
    blue, red = scores_of_blue_and_red(open_float_model(a_file(**ending), overrides))

    assert blue["with_mask"] > 0.6
    assert red["without_mask"] > 0.6
    assert sum(blue.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("loss", "meaning"),
    [
        ("logits", "logit"),
        ("mse", "probability"),
        ("function", "probability"),
        ("hinge", "logit"),
        ("poisson", None),
        (None, None),
    ],
)
def test_the_loss_in_a_file_says_what_a_single_output_means(keras_3, tmp_path, suffix, loss, meaning):
    path = tmp_path / f"one{suffix}"
    with quiet_tensorflow():
        model = colour_classifier(keras_3, units=1, activation=None)
        if loss is not None:
            losses = keras_3.losses
            objects = {"logits": losses.BinaryCrossentropy(from_logits=True), "function": losses.binary_crossentropy}
            model.compile(loss=objects.get(loss, loss))
        model.save(path)

    if meaning is None:
        with pytest.raises(ConfigError, match="--single-output"):
            open_float_model(path, TWO)
        return
    settings = open_float_model(path, TWO).settings
    assert settings.single_output == meaning
    assert "its loss" in settings.reasons["output"]


def test_the_loss_in_a_file_of_keras_2_says_what_a_single_output_means(keras_2, tmp_path):
    with quiet_tensorflow():
        model = colour_classifier(keras_2, units=1, activation=None)
        model.compile(loss=keras_2.losses.BinaryCrossentropy(from_logits=True))
        model.save(tmp_path / "one.h5")

    assert open_float_model(tmp_path / "one.h5", TWO).settings.single_output == "logit"


def test_a_model_without_scaling_is_assumed_to_take_minus_one_to_one(a_file):
    model = open_float_model(a_file(), TWO)

    assert model.settings.preprocessing == Preprocessing("-1..1", "rgb")
    assert "assumed, and not checked" in model.settings.reasons["pixels"]


@pytest.mark.parametrize(
    ("factor", "offset", "wanted"),
    [
        (1 / 127.5, -1.0, "0..255"),
        (1 / 255, 0.0, "0..255"),
        (1 / 28, -1.0, "0..255"),
        (2.0, -1.0, "0..1"),
        (4.0, -1.8, "0..1"),
        (2.0, 0.1, "-1..1"),
        (1.8, -0.2, "-1..1"),
    ],
)
def test_a_scaling_layer_says_which_pixels_it_takes(keras_3, a_file, factor, offset, wanted):
    model = open_float_model(a_file(scaling=keras_3.layers.Rescaling(factor, offset)), TWO)

    assert model.settings.preprocessing.pixels == wanted
    assert "found in the file" in model.settings.reasons["pixels"]
    blue, red = scores_of_blue_and_red(model)
    assert blue["with_mask"] > 0.6
    assert red["without_mask"] > 0.6


def test_preprocess_input_of_keras_2_is_seen(keras_2, tmp_path):
    with quiet_tensorflow():
        model = colour_classifier(keras_2, scaling=keras_2.applications.mobilenet_v2.preprocess_input)
        model.save(tmp_path / "a.h5")

    assert open_float_model(tmp_path / "a.h5", TWO).settings.preprocessing.pixels == "0..255"


def test_an_unknown_scaling_has_to_be_given(keras_3, a_file):
    path = a_file(scaling=keras_3.layers.Rescaling(0.3))

    with pytest.raises(ModelError, match=r"a scaling of its own \(pixel \* 0.3\).*--pixels=-1..1 or 0..1 or 0..255"):
        open_float_model(path, TWO)
    assert (
        open_float_model(path, ModelOverrides(labels=TWO.labels, pixels="0..1")).settings.preprocessing.pixels == "0..1"
    )


def test_a_softmax_over_one_output_is_refused(a_file):
    with pytest.raises(ModelError, match="a softmax over one output is always 1"):
        open_float_model(a_file(units=1, activation="softmax"), TWO)


def test_labels_have_to_be_given(a_file):
    with pytest.raises(ConfigError, match="does not state what its 2 outputs mean; give --labels in their order"):
        open_float_model(a_file())


def test_labels_and_outputs_have_to_be_equal_in_number(a_file):
    with pytest.raises(ConfigError, match=r"its 3 output\(s\) need 3 labels, and 2 are named"):
        open_float_model(a_file(units=3), TWO)


def test_an_undefined_input_size_has_to_be_given(keras_3, tmp_path):
    layers = keras_3.layers
    with quiet_tensorflow():
        keras_3.Sequential(
            [keras_3.Input((None, None, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)]
        ).save(tmp_path / "a.keras")

    with pytest.raises(ConfigError, match="--size 224"):
        open_float_model(tmp_path / "a.keras", TWO)
    model = open_float_model(tmp_path / "a.keras", ModelOverrides(labels=TWO.labels, size_px=SIDE_PX))
    assert (model.network.width_px, model.network.height_px) == (SIDE_PX, SIDE_PX)


@pytest.mark.parametrize("output_format", FORMATS)
def test_the_batch_is_one_and_only_int8_models_take_bytes(colour_model, output_format):
    model = open_float_model(colour_model, TWO)
    # Pictures without a black or a white pixel: the range of the input must not shrink to what they show.
    pixels = np.stack([np.clip(coloured(c, seed=1, side_px=SIDE_PX), 50, 190) for c in (BLUE, RED)])

    interpreter = Interpreter(to_tflite(model, output_format, pixels=pixels), runtime="litert", threads=1)

    (given,), (taken,) = interpreter.outputs, interpreter.inputs
    assert taken.shape == (1, SIDE_PX, SIDE_PX, 3)
    assert given.shape == (1, 2)
    assert (taken.dtype.name, given.dtype.name) == (
        ("uint8", "uint8") if output_format == "int8" else ("float32", "float32")
    )
    if output_format == "int8":
        assert taken.scale == pytest.approx(1 / 127.5)
        assert taken.zero_point == 127


def test_an_operation_that_tflite_lacks_is_named(keras_3, tmp_path):
    class Erf(keras_3.layers.Layer):  # type: ignore[misc, name-defined]  # TensorFlow has no types
        def call(self, pixels):
            return keras_3.ops.erf(pixels)

    with quiet_tensorflow():
        colour_classifier(keras_3, scaling=Erf()).export(tmp_path / "exported", verbose=False)
    model = open_float_model(tmp_path / "exported", TWO)

    with pytest.raises(ModelError, match="to float32: TFLite has no operation Erf; put another layer"):
        to_tflite(model, "float32", pixels=np.zeros((0, SIDE_PX, SIDE_PX, 3), np.uint8))


def test_a_reason_for_several_layers_is_given_once(keras_3, tmp_path):
    layers = keras_3.layers
    parts = [part for _ in range(3) for part in (layers.Conv2D(4, 3), layers.Activation("hard_swish"))]
    with quiet_tensorflow():
        keras_3.Sequential(
            [keras_3.Input((SIDE_PX, SIDE_PX, 3)), *parts, layers.Flatten(), layers.Dense(2, activation="softmax")]
        ).save(tmp_path / "mobile.keras")
    model = open_float_model(tmp_path / "mobile.keras", TWO)

    with pytest.raises(ModelError, match="to int16: ") as error:
        to_tflite(model, "int16", pixels=np.zeros((1, SIDE_PX, SIDE_PX, 3), np.uint8))

    assert str(error.value).count("HARD_SWISH") == 1


@pytest.mark.parametrize("layer", ["LSTM", "GRU"])
def test_a_recurrent_layer_is_converted_to_floats_only(keras_3, tmp_path, layer):
    layers = keras_3.layers
    parts = (layers.Rescaling(1 / 127.5, -1), layers.Reshape((SIDE_PX, SIDE_PX * 3)), getattr(layers, layer)(4))
    with quiet_tensorflow():
        keras_3.Sequential([keras_3.Input((SIDE_PX, SIDE_PX, 3)), *parts, layers.Dense(2, activation="softmax")]).save(
            tmp_path / "rows.keras"
        )
    model = open_float_model(tmp_path / "rows.keras", TWO)
    pixels = np.random.default_rng(1).integers(0, 256, (20, SIDE_PX, SIDE_PX, 3), np.uint8)

    assert model.network.pixels == "0..255"
    for output_format in ("int8", "int16"):
        with pytest.raises(ModelError, match=r"a loop.*--format best"):
            to_tflite(model, output_format, pixels=pixels)
    interpreter = Interpreter(to_tflite(model, "float16", pixels=pixels), runtime="litert", threads=1)
    assert interpreter.run(model.values(pixels[0]))[0].reshape(-1) == pytest.approx(model.outputs(pixels[0]), abs=0.01)
