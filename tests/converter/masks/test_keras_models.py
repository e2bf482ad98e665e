"""Keras models: every file format of a classifier, and every way in which a file can be unusable."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest

from converter.masks.loading import load_model
from converter.masks.networks import open_network
from converter.masks.overrides import ModelOverrides
from edge_agent.errors import ModelError
from tests.converter.colour_classifier import SIDE_PX, colour_classifier, own_layer
from training.tensorflow_logs import quiet_tensorflow

pytestmark = pytest.mark.tensorflow


def shape_of(loaded):
    return loaded.shape[1:]


def saved(keras, path, **kwargs):
    with quiet_tensorflow():
        colour_classifier(keras).save(path, **kwargs)
    return path


@pytest.mark.parametrize(
    ("name", "kind"), [("a.keras", ".keras of Keras 3"), ("a.h5", "HDF5 of Keras 3"), ("a.hdf5", "HDF5 of Keras 3")]
)
def test_files_of_keras_3_load(keras_3, tmp_path, name, kind):
    loaded = load_model(saved(keras_3, tmp_path / name))

    assert loaded.kind.startswith(kind)
    assert shape_of(loaded) == (SIDE_PX, SIDE_PX, 3)


@pytest.mark.parametrize(
    ("name", "output_format", "kind"),
    [
        ("a.keras", "keras", ".keras of Keras 2"),
        ("a.h5", "h5", "HDF5 of Keras 2"),
        ("mask_detector.model", "h5", "HDF5 of Keras 2"),
        ("saved", "tf", "SavedModel of Keras 2"),
    ],
)
def test_files_of_keras_2_load(keras_2, tmp_path, name, output_format, kind):
    loaded = load_model(saved(keras_2, tmp_path / name, save_format=output_format))

    assert loaded.kind.startswith(kind)
    assert shape_of(loaded) == (SIDE_PX, SIDE_PX, 3)


def test_hdf5_of_keras_3_without_a_suffix_loads(colour_model, keras_3, tmp_path):
    saved(keras_3, tmp_path / "a.h5").rename(tmp_path / "mask_detector")

    assert load_model(tmp_path / "mask_detector").kind.startswith("HDF5 of Keras 3")


def test_an_exported_model_loads_without_keras(keras_3, tmp_path):
    with quiet_tensorflow():
        colour_classifier(keras_3).export(tmp_path / "exported", verbose=False)

    loaded = load_model(tmp_path / "exported")

    assert loaded.kind == "SavedModel"
    assert shape_of(loaded) == (SIDE_PX, SIDE_PX, 3)


@pytest.mark.parametrize(
    ("generation", "policy", "name"),
    [
        (2, "mixed_float16", "a.h5"),
        (3, "mixed_bfloat16", "a.h5"),
        (3, "bfloat16", "a.keras"),
        (3, "mixed_float16", "exported"),
        (3, "mixed_bfloat16", "exported"),
        (2, "float64", "a.h5"),
        (3, "float64", "a.keras"),
        (3, "float64", "exported"),
    ],
)
def test_a_model_of_another_precision_computes_in_float32(request, tmp_path, generation, policy, name):
    keras = request.getfixturevalue(f"keras_{generation}")
    keras.mixed_precision.set_global_policy(policy)
    try:
        with quiet_tensorflow():
            model = colour_classifier(keras)
            model.export(tmp_path / name, verbose=False) if name == "exported" else model.save(tmp_path / name)
    finally:
        keras.mixed_precision.set_global_policy("float32")

    network = open_network(tmp_path / name, ModelOverrides())

    kinds = {tensor.dtype.name for one in network.graph.graph.get_operations() for tensor in one.outputs}
    assert not kinds & {"float16", "bfloat16", "float64"}
    blue = np.full((1, SIDE_PX, SIDE_PX, 3), [-1, 0, 1], np.float32)
    assert network.probabilities(blue)[0] > 0.99


@pytest.mark.parametrize(("generation", "name"), [(2, "a.h5"), (3, "a.h5"), (3, "a.keras")])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_nested_normalization_keeps_its_statistics(request, tmp_path, generation, name, policy):
    keras = request.getfixturevalue(f"keras_{generation}")
    keras.mixed_precision.set_global_policy(policy)
    try:
        with quiet_tensorflow():
            # As in EfficientNet: red is the brighter channel only once the mean of blue is subtracted.
            normalization = keras.layers.Normalization()
            normalization.adapt(np.array([[[[-1, -1, 199]]], [[[1, 1, 201]]]], np.float32))
            pixels = keras.Input((SIDE_PX, SIDE_PX, 3))
            base = keras.Sequential([pixels, normalization])
            keras.Sequential([pixels, base, colour_classifier(keras)]).save(tmp_path / name)
    finally:
        keras.mixed_precision.set_global_policy("float32")

    model = load_model(tmp_path / name).owner

    assert float(model(np.full((1, SIDE_PX, SIDE_PX, 3), [10, 0, 150], np.float32))[0, 1]) > 0.99


def test_operations_that_keras_3_cannot_load_from_hdf5_are_named(keras_3, tmp_path):
    with quiet_tensorflow():
        pixels = keras_3.Input((SIDE_PX, SIDE_PX, 3))
        # As preprocess_input of keras.applications does.
        model = keras_3.Model(pixels, colour_classifier(keras_3)(pixels / 127.5 - 1.0))
        model.save(tmp_path / "a.h5")
        model.save(tmp_path / "a.keras")

    with pytest.raises(ModelError, match=r"TrueDivide and Subtract outside of layers.*model\.load_weights"):
        load_model(tmp_path / "a.h5")
    model.load_weights(tmp_path / "a.h5")
    assert load_model(tmp_path / "a.keras").owner


def test_layers_of_keras_3_are_no_operations(keras_3, tmp_path):
    layers = keras_3.layers
    with quiet_tensorflow():
        pixels = keras_3.Input((SIDE_PX, SIDE_PX, 3))
        doubled = layers.Add()([layers.SpatialDropout2D(0.5)(pixels), layers.Pipeline([layers.RandomFlip()])(pixels)])
        keras_3.Model(pixels, colour_classifier(keras_3)(doubled)).save(tmp_path / "a.h5")

    assert load_model(tmp_path / "a.h5").owner


@pytest.fixture
def teachable(keras_2, tmp_path):
    """A Teachable Machine export, as its zip unpacks."""
    folder = tmp_path / "converted_keras"
    folder.mkdir()
    saved(keras_2, folder / "keras_model.h5")
    (folder / "labels.txt").write_text("0 Mask\n1 No Mask\n")
    return folder


def test_a_teachable_machine_folder_names_its_labels(teachable):
    loaded = load_model(teachable)

    assert loaded.kind.startswith("Teachable Machine")
    assert loaded.output_names == ("0 Mask", "1 No Mask")


def test_a_teachable_machine_zip_names_its_labels(teachable, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "converted_keras"), "zip", teachable)

    assert load_model(tmp_path / archive).output_names == ("0 Mask", "1 No Mask")


def test_numbers_in_a_label_file_state_the_order(teachable, colour_model, tmp_path):
    (teachable / "labels.txt").write_text("1 No Mask\n0 Mask\n", encoding="utf-16")
    assert load_model(teachable).output_names == ("0 Mask", "1 No Mask")

    shutil.copy(colour_model, tmp_path / "colours.keras")
    (tmp_path / "class_indices.json").write_text('{"without_mask": 1, "with_mask": 0}')
    assert load_model(tmp_path / "colours.keras").output_names == ("with_mask", "without_mask")


def test_a_teachable_machine_saved_model_loads_too(keras_2, tmp_path):
    saved(keras_2, tmp_path / "export" / "model.savedmodel", save_format="tf")
    (tmp_path / "export" / "labels.txt").write_text("0 No Mask\n1 Mask\n")
    archive = shutil.make_archive(str(tmp_path / "converted_savedmodel"), "zip", tmp_path / "export")

    for path in (tmp_path / "export", tmp_path / archive):
        loaded = load_model(path)
        assert loaded.output_names == ("0 No Mask", "1 Mask")
        assert loaded.pixels == "-1..1"
        assert float(loaded.call(np.zeros((1, SIDE_PX, SIDE_PX, 3), np.float32))[0, 0]) == pytest.approx(0.5)


def a_run(folder, keras, **changes):
    folder.mkdir()
    saved(keras, folder / "model.keras")
    shutil.copy(folder / "model.keras", folder / "best.keras")
    told = {
        "name": "street-035",
        "labels": ["without_mask", "with_mask"],
        "margin_fraction": 0.25,
        "pixels": "-1..1",
        "colour_order": "bgr",
        "training_data": ["street"],
    }
    (folder / "run.json").write_text(json.dumps(told | changes))
    return folder


def test_a_training_run_states_labels_margin_and_data(keras_3, tmp_path):
    loaded = load_model(a_run(tmp_path / "run", keras_3))

    assert loaded.path.name == "model.keras"
    assert loaded.name == "street-035"
    assert loaded.output_names == ("without_mask", "with_mask")
    assert loaded.margin_fraction == 0.25
    assert (loaded.pixels, loaded.colours) == ("-1..1", "bgr")
    assert loaded.training_data == ("street",)


@pytest.mark.parametrize("changes", [{"labels": None}, {"labels": "with_mask"}, {"name": "../masks"}, {"name": ""}])
def test_a_run_without_a_list_of_labels_or_name_of_a_file_is_refused(keras_3, tmp_path, changes):
    run = a_run(tmp_path / "run", keras_3, **changes)

    with pytest.raises(ModelError, match=r"run\.json: not the description of a training run"):
        load_model(run)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.h5: no such model"):
        load_model(tmp_path / "nowhere.h5")


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("name", ["a.h5", "a.keras"])
def test_a_file_that_was_cut_off_is_called_damaged(keras_3, tmp_path, name, share):
    path = saved(keras_3, tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(ModelError, match=r"damaged or cut off.*save the model again"):
        load_model(path)


def test_a_file_cut_off_in_its_first_bytes_is_no_model(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"\x89HDF")

    with pytest.raises(ModelError, match="not a Keras model"):
        load_model(tmp_path / "a.h5")


def test_weights_alone_are_not_a_model(keras_3, tmp_path):
    with quiet_tensorflow():
        colour_classifier(keras_3).save_weights(tmp_path / "a.weights.h5")

    with pytest.raises(ModelError, match=r"contains weights without a model; put the model\.json"):
        load_model(tmp_path / "a.weights.h5")


def test_a_tflite_file_is_recognised(converted):
    with pytest.raises(ModelError, match="is a TFLite model already"):
        load_model(converted)


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize("generation", [2, 3])
def test_an_unknown_layer_is_named(request, tmp_path, generation, suffix):
    keras = request.getfixturevalue(f"keras_{generation}")

    with quiet_tensorflow():
        colour_classifier(keras, scaling=own_layer(keras)).save(tmp_path / f"a.{suffix}")

    with pytest.raises(ModelError, match=r"a custom layer, 'Sharpen'.*model\.export"):
        load_model(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("generation", [2, 3])
def test_a_lambda_layer_is_not_run(request, tmp_path, generation):
    keras = request.getfixturevalue(f"keras_{generation}")
    with quiet_tensorflow():
        colour_classifier(keras, scaling=keras.layers.Lambda(lambda pixels: pixels * 1.0)).save(tmp_path / "a.h5")

    with pytest.raises(ModelError, match=r"has a Lambda layer, a program that loading would run"):
        load_model(tmp_path / "a.h5")


def test_a_lambda_as_activation_is_not_run(keras_2, tmp_path):
    layers = keras_2.layers
    with quiet_tensorflow():
        pixels = [layers.Input((SIDE_PX, SIDE_PX, 3)), layers.Flatten()]
        keras_2.Sequential([*pixels, layers.Dense(2, activation=lambda x: x * 1.0)]).save(tmp_path / "a.h5")

    with pytest.raises(ModelError, match=r"lambda as activation of Dense"):
        load_model(tmp_path / "a.h5")


def test_a_model_that_keras_quantized_is_refused(keras_3, tmp_path):
    with quiet_tensorflow():
        model = colour_classifier(keras_3)
        model.quantize("int8")
        model.save(tmp_path / "a.keras")

    with pytest.raises(ModelError, match="quantized already"):
        load_model(tmp_path / "a.keras")


def test_a_model_of_keras_1_is_refused_with_a_remedy(keras_2, tmp_path):
    import h5py

    path = saved(keras_2, tmp_path / "a.h5", save_format="h5")
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = "1.2.2"

    with pytest.raises(ModelError, match=r"Keras 1\.2\.2.*Keras 2\.2"):
        load_model(path)


def test_a_wrapped_saved_model_is_reported(keras_3, tmp_path):
    with quiet_tensorflow():
        colour_classifier(keras_3).export(tmp_path / "inner", verbose=False)
        layer = keras_3.layers.TFSMLayer(str(tmp_path / "inner"), call_endpoint="serve")
        keras_3.Sequential([keras_3.Input((SIDE_PX, SIDE_PX, 3)), layer]).save(tmp_path / "a.keras")

    with pytest.raises(ModelError, match=r"TFSMLayer.*convert that folder itself"):
        load_model(tmp_path / "a.keras")


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"holds 0 \.keras files and neither"):
        load_model(tmp_path)


def test_an_archive_of_something_else_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("holiday.txt", "sun")

    with pytest.raises(ModelError, match="an archive without a Keras model"):
        load_model(tmp_path / "a.zip")


@pytest.mark.parametrize("generation", [2, 3])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("given", ["folder", "model.json", "weights"])
def test_a_description_and_its_weights_are_loaded_by_either(request, tmp_path, generation, given, encoding):
    keras = request.getfixturevalue(f"keras_{generation}")
    weights = tmp_path / ("model.weights.h5" if generation == 3 else "model.h5")
    with quiet_tensorflow():
        model = colour_classifier(keras)
        (tmp_path / "model.json").write_text(model.to_json(), encoding=encoding)
        model.save_weights(weights)

    loaded = load_model({"folder": tmp_path, "model.json": tmp_path / "model.json", "weights": weights}[given])

    assert loaded.kind.startswith(f"JSON and weights of Keras {generation}")
    blue = np.full((1, SIDE_PX, SIDE_PX, 3), [-1, 0, 1], np.float32)
    assert float(loaded.call(blue)[0, 0]) > 0.99


@pytest.mark.parametrize("given", [".", "mask.json", "mask.h5"])
def test_a_description_and_its_weights_may_have_any_name(keras_2, tmp_path, given):
    with quiet_tensorflow():
        model = colour_classifier(keras_2)
        (tmp_path / "mask.json").write_text(model.to_json())
        model.save_weights(tmp_path / "mask.h5")
        # Beside them other weights, and what is no description of a model.
        (tmp_path / "classes.json").write_text('{"0": "mask"}')
        model.save_weights(tmp_path / "last.h5")

    loaded = load_model(tmp_path / given)

    assert (loaded.name, loaded.shape) == ("mask", (None, SIDE_PX, SIDE_PX, 3))


def test_a_saved_model_exported_in_training_mode_is_refused(keras_3, tmp_path):
    layers = keras_3.layers
    with quiet_tensorflow():
        inner = colour_classifier(keras_3)
        # Keras 3 exports these as they are in training.
        model = keras_3.Sequential([keras_3.Input((SIDE_PX, SIDE_PX, 3)), layers.RandomRotation(0.1), inner])
        model.export(tmp_path / "exported", verbose=False)

    with pytest.raises(ModelError, match=r"in training mode.* model\.save\('masks\.keras'\)"):
        open_network(tmp_path / "exported", ModelOverrides())


@pytest.fixture
def save_with_signatures(keras_3, tmp_path):
    """Save a SavedModel whose default signature takes JPEGs, with a choice of others."""
    with quiet_tensorflow():
        import tensorflow as tf

    def save(*others):
        model = colour_classifier(keras_3)
        features = keras_3.Model(model.inputs, model.get_layer("features").output)
        of_pictures = [tf.TensorSpec([None, SIDE_PX, SIDE_PX, 3], tf.float32, name="pictures")]

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="jpegs")])
        def encoded(jpegs):
            return tf.cast(tf.strings.length(jpegs), tf.float32)

        known = {
            "serving_default": encoded,
            "predict": tf.function(model.call, input_signature=of_pictures),
            "embed": tf.function(features.call, input_signature=of_pictures),
        }
        with quiet_tensorflow():
            saved = {name: known[name] for name in ("serving_default", *others)}
            tf.saved_model.save(model, str(tmp_path / "saved"), signatures=saved)
        return tmp_path / "saved"

    return save


def test_the_signature_that_classifies_pictures_is_taken(save_with_signatures):
    loaded = load_model(save_with_signatures("predict", "embed"))

    assert (loaded.shape, loaded.dtype) == ((None, SIDE_PX, SIDE_PX, 3), "float32")
    assert loaded.call(np.zeros((1, SIDE_PX, SIDE_PX, 3), np.float32)).shape == (1, 2)


def test_a_saved_model_of_encoded_pictures_alone_is_refused(save_with_signatures):
    with pytest.raises(ModelError, match="signature that takes pixels"):
        load_model(save_with_signatures())


def test_a_saved_model_of_keras_2_with_code_of_its_own_is_a_graph(keras_2, tmp_path):
    with quiet_tensorflow():
        colour_classifier(keras_2, scaling=keras_2.layers.Lambda(lambda pixels: pixels * 1.0)).save(tmp_path / "saved")

    loaded = load_model(tmp_path / "saved")

    assert loaded.kind == "SavedModel of Keras 2"
    blue = np.full((1, SIDE_PX, SIDE_PX, 3), [-1, 0, 1], np.float32)
    assert float(loaded.call(blue)[0, 0]) > 0.99


def test_a_registered_layer_is_named(keras_3, tmp_path):
    layer = keras_3.saving.register_keras_serializable(package="MyProject", name="Sharpen")(type(own_layer(keras_3)))
    with quiet_tensorflow():
        colour_classifier(keras_3, scaling=layer()).save(tmp_path / "a.keras")

    with pytest.raises(ModelError, match="a custom layer, 'Sharpen'"):
        load_model(tmp_path / "a.keras")


def as_tfjs(model, folder, *, packed=False):
    """A layers model of TensorFlow.js, as its converter writes it."""
    shards, entries = b"", []
    for variable in model.weights:
        values = np.asarray(variable, np.float32)
        entry = {"name": variable.name.split(":")[0], "shape": list(values.shape), "dtype": "float32"}
        if packed:
            least, step = float(values.min()), float(np.ptp(values)) / 255 or 1.0
            entry["quantization"] = {"dtype": "uint8", "scale": step, "min": least, "original_dtype": "float32"}
            values = np.round((values - least) / step).astype(np.uint8)
        entries.append(entry)
        shards += values.tobytes()
    half = len(shards) // 2
    (folder / "shard1of2.bin").write_bytes(shards[:half])
    (folder / "shard2of2.bin").write_bytes(shards[half:])
    content = {
        "format": "layers-model",
        "modelTopology": {"keras_version": "2.15.0", "model_config": json.loads(model.to_json())},
        "weightsManifest": [{"paths": ["shard1of2.bin", "shard2of2.bin"], "weights": entries}],
    }
    (folder / "model.json").write_text(json.dumps(content))


@pytest.mark.parametrize("packed", [False, True])
def test_a_layers_model_of_tensorflow_js_is_rebuilt(keras_2, tmp_path, packed):
    with quiet_tensorflow():
        as_tfjs(colour_classifier(keras_2), tmp_path, packed=packed)
    (tmp_path / "metadata.json").write_text(json.dumps({"labels": ["Mask", "No Mask"]}))

    loaded = load_model(tmp_path)

    assert (loaded.kind, loaded.output_names, loaded.pixels) == (
        "layers model of TensorFlow.js",
        ("Mask", "No Mask"),
        "-1..1",
    )
    blue = np.full((1, SIDE_PX, SIDE_PX, 3), [-1, 0, 1], np.float32)
    assert float(loaded.call(blue)[0, 0]) > 0.99
    (tmp_path / "shard2of2.bin").unlink()
    with pytest.raises(ModelError, match=r"a shard of model\.json is missing"):
        load_model(tmp_path)


@pytest.mark.parametrize("kept", [1, 2])
def test_layers_of_the_same_name_do_not_get_each_others_weights(keras_2, tmp_path, kept):
    layers = keras_2.layers
    with quiet_tensorflow():
        parts = [
            keras_2.Sequential([keras_2.Input((SIDE_PX, SIDE_PX, 3)), layers.Conv2D(3, 1, name="same")], name=name)
            for name in ("a", "b")
        ]
        pixels = keras_2.Input((SIDE_PX, SIDE_PX, 3))
        scores = layers.Dense(2)(layers.GlobalAveragePooling2D()(parts[1](parts[0](pixels))))
        as_tfjs(keras_2.Model(pixels, scores), tmp_path)
    content = json.loads((tmp_path / "model.json").read_text())
    entries = content["weightsManifest"][0]["weights"]
    assert [entry["name"] for entry in entries[:4]] == ["same/kernel", "same/bias"] * 2
    # With one of the two, both layers would match it.
    content["weightsManifest"][0]["weights"] = [*entries[: 2 * kept], *entries[4:]]
    (tmp_path / "model.json").write_text(json.dumps(content))

    with pytest.raises(ModelError, match="2 layers have weights of the name same/kernel"):
        load_model(tmp_path)


def test_a_graph_model_of_tensorflow_js_is_refused(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({"format": "graph-model", "weightsManifest": []}))

    with pytest.raises(ModelError, match=r"a graph model of TensorFlow\.js"):
        load_model(tmp_path)
