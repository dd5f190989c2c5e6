"""The outputs are an interface: names, order and structure are those of the original."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.fitting.least_squares.pairing import pair
from allconv.fitting.least_squares.targets import Fit
from allconv.fitting.models import read_pair
from allconv.output_names import part
from allconv.read import read
from allconv.save import save_model
from allconv.saving.output_names_in_files import names_in
from tests.helpers.keras_comparison import random_images
from tests.helpers.onnx_files import exported, on_tensorflow
from tests.helpers.randomized import randomize

SIZE = (8, 8, 2)


def pooled(image):
    return layers.MaxPooling2D(2)(image)


def two_heads(ending="softmax", structure=list):
    image = keras.Input(SIZE)
    x = layers.Flatten()(pooled(image))
    age = layers.Dense(1, name="age")(x)
    kind = layers.Dense(3, activation=ending, name="kind")(x)
    outputs = structure((age, kind))
    return randomize(keras.Model(image, outputs))


def one_tensor_twice():
    image = keras.Input(SIZE)
    x = layers.Dense(3, name="d")(layers.Flatten()(image))
    return keras.Model(image, [x, x])


def one_inside_the_other():
    image = keras.Input(SIZE)
    x = layers.Dense(4, activation="relu", name="a")(layers.Flatten()(image))
    return keras.Model(image, [x, layers.Dense(2, name="b")(x)])


def one_layer_called_twice():
    images = [keras.Input(SIZE), keras.Input(SIZE)]
    flatten, dense = layers.Flatten(), layers.Dense(3, name="d")
    return keras.Model(images, [dense(flatten(pooled(image))) for image in images])


def one_of_them_an_input():
    image = keras.Input(SIZE, name="image")
    return keras.Model(image, [image, layers.Dense(2, name="b")(layers.Flatten()(image))])


def an_input_under_another_name():
    image, vector = keras.Input(SIZE), keras.Input((5,))
    flat = layers.Flatten(name="flat")(vector)
    x = layers.Concatenate()([layers.Flatten()(image), flat])
    return keras.Model([image, vector], [flat, layers.Dense(2, name="b")(x)])


def a_vector_and_the_same_flattened():
    image = keras.Input(SIZE)
    x = layers.Dense(3, name="d")(layers.Flatten()(image))
    return keras.Model(image, [x, layers.Flatten(name="f")(x)])


def a_map_and_its_values():
    image = keras.Input(SIZE)
    x = layers.Conv2D(3, 3, name="c")(image)
    return keras.Model(image, [x, layers.Flatten(name="f")(x)])


def a_nested_model():
    inside = keras.Input((4, 4, 2))
    inner = keras.Model(inside, layers.Dense(3)(layers.Flatten()(inside)), name="inner")
    image = keras.Input(SIZE)
    x = pooled(image)
    return keras.Model(image, [inner(x), layers.Dense(2, name="aux")(layers.Flatten()(x))])


def a_nested_model_of_two_outputs():
    inside = keras.Input((4, 4, 2))
    x = layers.Flatten()(inside)
    inner = keras.Model(inside, [layers.Dense(3)(x), layers.Dense(2)(x)], name="inner")
    image = keras.Input(SIZE)
    return keras.Model(image, inner(pooled(image)))


def keys_that_are_the_names_of_others():
    image = keras.Input(SIZE)
    x = layers.Flatten()(pooled(image))
    return keras.Model(image, {key: layers.Dense(2, name=name)(x) for key, name in ("ab", "ba")})


def lists_in_lists():
    image = keras.Input(SIZE)
    x = layers.Flatten()(pooled(image))
    a, b, c = (layers.Dense(count, name=f"d{count}")(x) for count in (1, 2, 3))
    return keras.Model(image, [{"first": a}, [b, c]])


def activations_of_their_own():
    image = keras.Input(SIZE)
    x = layers.Flatten()(pooled(image))
    a = layers.Activation("softmax", name="p")(layers.Dense(3, name="logits")(x))
    return keras.Model(image, [a, layers.BatchNormalization(name="bn")(layers.Dense(2)(x))])


def a_layer_called_as_the_part_would_be():
    image = keras.Input(SIZE)
    x = layers.Flatten()(layers.Conv2D(2, 1, name="b_conv")(image))
    return keras.Model(image, [layers.Dense(2, name=name)(x) for name in "ab"])


def pools_and_dropouts():
    image = keras.Input(SIZE)
    x = layers.MaxPooling2D(2, name="pool")(image)
    return keras.Model(image, [x, layers.Dropout(0.5, name="drop")(x), layers.Flatten(name="f")(x)])


def names_of_any_kind():
    image = keras.Input(SIZE, name="in put")
    x = layers.Flatten()(pooled(image))
    return keras.Model(image, [layers.Dense(2, name=name)(x) for name in ("Größe (cm)", "0:ä>é")])


MODELS = [
    two_heads,
    one_tensor_twice,
    one_inside_the_other,
    one_layer_called_twice,
    one_of_them_an_input,
    an_input_under_another_name,
    a_vector_and_the_same_flattened,
    a_map_and_its_values,
    a_nested_model,
    a_nested_model_of_two_outputs,
    keys_that_are_the_names_of_others,
    lists_in_lists,
    activations_of_their_own,
    a_layer_called_as_the_part_would_be,
    pools_and_dropouts,
    names_of_any_kind,
]


def shapes(model):
    return keras.tree.map_structure(lambda tensor: tensor.shape, model.output)


@pytest.mark.parametrize("model_of", MODELS)
def test_outputs_keep_their_names_order_and_structure_in_memory_and_in_a_file(model_of, tmp_path):
    model = randomize(model_of())
    converted = allconv.convert(model)
    assert allconv.verify(model, converted).passed
    assert converted.output_names == model.output_names
    assert shapes(converted) == shapes(model)
    converted.save(tmp_path / "converted.keras")
    loaded = keras.saving.load_model(tmp_path / "converted.keras")
    assert loaded.output_names == model.output_names


@pytest.mark.parametrize("model_of", MODELS)
def test_a_second_conversion_renames_nothing(model_of):
    converted = allconv.convert(model_of())
    names = [layer.name for layer in converted.layers]
    assert [layer.name for layer in allconv.convert(converted).layers] == names


@pytest.mark.parametrize("model_of", [two_heads, a_map_and_its_values, a_nested_model])
def test_outputs_keep_their_names_where_they_become_maps(model_of):
    model = model_of()
    converted = allconv.convert(model, input_size="any")
    assert converted.output_names == model.output_names
    assert [tensor._keras_history[0].name for tensor in converted.outputs] == model.output_names


def test_of_several_outputs_the_last_layer_has_the_name_and_the_convolution_another():
    converted = allconv.convert(two_heads())
    assert [type(converted.get_layer(name)).__name__ for name in ("age", "kind")] == ["Flatten"] * 2
    assert converted.get_layer("age_conv").kernel.shape == (4, 4, 2, 1)


def test_of_one_output_the_convolution_keeps_the_name_and_so_does_the_output():
    image = keras.Input(SIZE)
    x = layers.Flatten(name="flatten")(pooled(image))
    model = keras.Model(image, layers.Dense(3, name="kind")(x))
    converted = allconv.convert(model)
    assert [layer.name for layer in converted.layers[-2:]] == ["kind", "flatten"]
    assert converted.output_names == ["kind"]


def test_a_part_is_called_as_its_kind():
    kinds = ["Conv2D", "DepthwiseConv2D", "BatchNormalization", "MaxPooling2D", "mine>BlurPool"]
    parts = ["conv", "conv", "batch_normalization", "max_pooling2d", "blur_pool"]
    assert [part(kind) for kind in kinds] == parts
    assert part("ops.Softmax") == "softmax"


SETTINGS = {
    "lists": {
        "loss": ["mse", "categorical_crossentropy"],
        "loss_weights": [2.0, 0.5],
        "metrics": [["mae"], ["accuracy"]],
        "weighted_metrics": [["mse"], ["categorical_crossentropy"]],
    },
    "names": {
        "loss": {"kind": "categorical_crossentropy", "age": "mse"},
        "loss_weights": {"kind": 0.5, "age": 2.0},
        "metrics": {"kind": ["accuracy", "mse"], "age": "mae"},
    },
    "some": {"loss": "mse", "metrics": {"kind": ["accuracy"]}},
}


def by_name(pair):
    return dict(zip(("age", "kind"), pair, strict=True))


TARGETS = {"age": np.full((4, 1), 5.0), "kind": np.eye(3)[[0, 1, 2, 0]]}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("structure", [list, by_name])
def test_metrics_are_in_the_same_order_and_equal_for_targets_by_name_and_by_list(
    settings, structure
):
    model = two_heads(structure=structure)
    model.compile("sgd", **SETTINGS[settings])
    converted = allconv.convert(model)
    images = np.random.default_rng(0).normal(size=(4, *SIZE)).astype("float32")
    by_list = [] if isinstance(model.output, dict) else [list(TARGETS.values())]
    for targets in (TARGETS, *by_list):
        expected = model.evaluate(images, targets, verbose=0, return_dict=True)
        found = converted.evaluate(images, targets, verbose=0, return_dict=True)
        assert list(found) == list(expected)
        np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-4)
        in_order = converted.evaluate(images, targets, verbose=0)
        np.testing.assert_allclose(in_order, model.evaluate(images, targets, verbose=0), rtol=1e-4)
    converted.fit(images, TARGETS, verbose=0)


def test_settings_and_targets_by_the_name_of_a_single_output_are_found(tmp_path):
    image = keras.Input(SIZE)
    x = layers.Dense(3, activation="softmax", name="kind")(layers.Flatten()(pooled(image)))
    model = randomize(keras.Model(image, x))
    loss = {"kind": "categorical_crossentropy"}
    model.compile("sgd", loss, metrics={"kind": ["accuracy"]})
    converted = allconv.convert(model)
    images = random_images(model)[0]
    targets = np.eye(3)[: len(images)]
    expected = model.evaluate(images, targets, verbose=0)
    np.testing.assert_allclose(converted.evaluate(images, targets, verbose=0), expected, rtol=1e-4)
    converted.save(tmp_path / "converted.keras")
    loaded = keras.saving.load_model(tmp_path / "converted.keras")
    np.testing.assert_allclose(loaded.evaluate(images, targets, verbose=0), expected, rtol=1e-4)


def trained_like():
    """Two pools, a convolution between them, and two outputs: a Dense and a normalized one."""
    image = keras.Input((12, 12, 2))
    x = layers.Conv2D(4, 3, activation="relu", name="first")(image)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Flatten()(layers.Conv2D(3, 3, activation="relu", name="second")(x))
    kind = layers.Dense(3, activation="softmax", name="kind")(x)
    other = layers.BatchNormalization(name="bn")(layers.Dense(2, name="other")(x))
    return randomize(keras.Model(image, [kind, other]))


@pytest.mark.parametrize("is_saved", [False, True])
@pytest.mark.parametrize("fold_batchnorm", [False, True])
def test_layers_are_paired_whatever_their_outputs_are_called(is_saved, fold_batchnorm, tmp_path):
    model = trained_like()
    converted = allconv.convert(model, pooling="conv", fold_batchnorm=fold_batchnorm)
    assert converted.get_layer("kind_conv")
    if is_saved:
        converted.save(tmp_path / "converted.keras")
        converted = keras.saving.load_model(tmp_path / "converted.keras")
    before, after = read_pair(model, converted)
    steps = pair(before, after).steps
    fits = {step.layer: step for step in steps if isinstance(step, Fit)}
    assert list(fits) == ["pool", "second", "kind", "other"]
    wanted = fits["other"].targets[0].values
    assert wanted.name == ("bn" if fold_batchnorm else "other")
    renormed = [step.layer for step in steps if not isinstance(step, Fit)]
    assert renormed == ([] if fold_batchnorm else ["bn"])


def test_calibration_of_two_outputs_fits_both_heads():
    model = trained_like()
    converted = allconv.convert(model, pooling="conv")
    images = np.random.default_rng(0).normal(size=(64, 12, 12, 2)).astype("float32")
    calibration = allconv.calibrate(model, converted, images, verbose=0)
    assert [each.layer for each in calibration.layers] == ["pool", "second", "kind", "other"]
    assert calibration.improved
    assert calibration.after.error < calibration.before.error


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore::UserWarning:absl")
def test_a_file_that_allconv_writes_tells_the_name_of_a_single_output(suffix, tmp_path):
    image = keras.Input(SIZE)
    x = layers.Dense(3, name="kind")(layers.Flatten()(pooled(image)))
    converted = allconv.convert(randomize(keras.Model(image, x)))
    save_model(converted, tmp_path / f"converted{suffix}")
    assert read(tmp_path / f"converted{suffix}").names_of_outputs() == ("kind",)
    loaded = keras.saving.load_model(tmp_path / f"converted{suffix}")
    assert allconv.verify(converted, loaded).passed


@pytest.mark.parametrize("text", [None, "", "{", "3", "[3]", '{"a": 1}', "[" * 100_000])
def test_what_is_no_list_of_names_is_none(text):
    assert names_in(text) == ()


@on_tensorflow
@pytest.mark.parametrize("model_of", [two_heads, one_layer_called_twice, a_nested_model])
def test_onnx_outputs_are_called_as_the_originals(model_of, tmp_path):
    model = randomize(model_of())
    expected = list(exported(model, tmp_path)[0].outputs)
    converted = allconv.convert(model)
    assert list(exported(converted, tmp_path)[0].outputs) == expected
    converted.save(tmp_path / "converted.keras")
    assert list(exported(tmp_path / "converted.keras", tmp_path)[0].outputs) == expected


@on_tensorflow
@pytest.mark.filterwarnings("ignore::UserWarning:absl")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_the_onnx_output_of_a_single_one_is_the_originals_from_memory_and_file(suffix, tmp_path):
    image = keras.Input(SIZE)
    x = layers.Dense(3, activation="softmax", name="kind")(layers.Flatten()(pooled(image)))
    converted = allconv.convert(randomize(keras.Model(image, x)))
    assert list(exported(converted, tmp_path)[0].outputs) == ["kind"]
    save_model(converted, tmp_path / f"converted{suffix}")
    assert list(exported(tmp_path / f"converted{suffix}", tmp_path)[0].outputs) == ["kind"]
