"""Operations of `keras.ops` that are word for word a layer of Keras, and those that are none."""

from __future__ import annotations

import keras
import pytest
from keras import layers, ops

import allconv
from allconv.errors import ConversionError
from allconv.read import read
from tests.helpers.keras_comparison import assert_agree, converts_alike, kinds_of
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import under

activations = keras.activations


def network(*steps, shape=(8, 6, 3)):
    """A CNN with steps behind its first convolution."""
    image = keras.Input(shape, name="image")
    conv = {2: layers.Conv1D, 3: layers.Conv2D, 4: layers.Conv3D}[len(shape)]
    x = conv(4, 3, padding="same", activation="tanh", name="conv")(image)
    for step in steps:
        x = step(x)
    return randomize(keras.Model(image, x))


def dense(x):
    return layers.Dense(3)(x)


def flat(x):
    return dense(layers.Flatten()(x))


AS_LAYERS = {
    "Softmax": [lambda x: ops.softmax(flat(x))],
    "Softmax of activations": [lambda x: activations.softmax(flat(x))],
    "Softmax of channels": [lambda x: ops.softmax(x, axis=3), flat],
    "Activation": [lambda x: ops.log_softmax(flat(x))],
    "Activation of activations": [lambda x: activations.log_softmax(flat(x))],
    "ReLU": [lambda x: activations.relu(x, max_value=0.5), flat],
    "GlobalAveragePooling2D": [lambda x: ops.mean(x, axis=(1, 2)), dense],
    "GlobalAveragePooling2D kept": [lambda x: ops.mean(x, axis=[-3, -2], keepdims=True), flat],
    "GlobalMaxPooling2D": [lambda x: ops.max(x, axis=(2, 1)), dense],
    "GlobalMaxPooling2D of amax": [lambda x: ops.amax(x, axis=(1, 2), keepdims=True), flat],
    "AveragePooling2D of rows": [lambda x: ops.mean(x, axis=1, keepdims=True), flat],
    "MaxPooling2D of columns": [lambda x: ops.max(x, axis=2, keepdims=True), flat],
    "Reshape": [lambda x: ops.reshape(x, (-1, 8 * 6 * 4)), dense],
    "Concatenate": [lambda x: ops.concatenate([x, 2 * x], axis=-1), flat],
    "ZeroPadding2D": [lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))), flat],
    "MaxPooling2D": [lambda x: ops.max_pool(x, 2), flat],
    "MaxPooling2D strided": [lambda x: ops.max_pool(x, (3, 2), strides=1, padding="same"), flat],
    "AveragePooling2D": [lambda x: ops.average_pool(x, 2, padding="same"), flat],
    "Reshape of expand_dims, two axes": [
        lambda x: ops.expand_dims(ops.mean(x, axis=(1, 2)), (-2, -3)),
        layers.Conv2D(3, 1),
        layers.Flatten(),
    ],
    "Reshape of expand_dims": [
        lambda x: ops.expand_dims(ops.expand_dims(ops.mean(x, axis=(1, 2)), 1), 1),
        layers.Conv2D(3, 1),
        layers.Flatten(),
    ],
    "Reshape of squeeze": [lambda x: ops.squeeze(ops.max(x, (1, 2), keepdims=True), (1, 2)), dense],
    "Permute": [lambda x: ops.transpose(ops.mean(x, (1, 2), keepdims=True), (0, 2, 1, 3)), flat],
    "Permute of swapaxes": [lambda x: ops.swapaxes(ops.mean(x, (1, 2), True), 1, -1), flat],
    "Resizing": [lambda x: ops.image.resize(x, (16, 12)), flat],
}


@pytest.mark.parametrize("name", AS_LAYERS)
def test_an_operation_that_is_a_layer_converts_as_that_layer(name, tmp_path):
    kind = name.partition(" ")[0]
    model = network(*AS_LAYERS[name])
    assert kind in kinds_of(read(model))
    converts_alike(model)
    model.save(tmp_path / "model.keras")
    assert_agree(model, allconv.convert(tmp_path / "model.keras"))


@pytest.mark.parametrize(
    ("step", "shape", "kind"),
    [
        (lambda x: ops.mean(x, axis=1), (9, 2), "GlobalAveragePooling1D"),
        (lambda x: ops.max(x, axis=(1, 2, 3)), (4, 4, 4, 2), "GlobalMaxPooling3D"),
        (lambda x: ops.max_pool(x, 2), (9, 2), "MaxPooling1D"),
        (lambda x: ops.average_pool(x, 2), (4, 4, 4, 2), "AveragePooling3D"),
        (lambda x: ops.pad(x, ((0, 0), (2, 1), (0, 0))), (9, 2), "ZeroPadding1D"),
    ],
)
def test_operations_on_one_axis_and_on_three_are_layers_of_as_many(step, shape, kind):
    model = network(step, flat, shape=shape)
    assert kind in kinds_of(read(model))
    converts_alike(model)


def test_operations_know_where_the_channels_come_first():
    image = keras.Input((2, 8, 6))
    x = layers.Conv2D(3, 3, data_format="channels_first")(image)
    x = ops.max_pool(x, 2, data_format="channels_first")
    x = ops.pad(x, ((0, 0), (0, 0), (1, 0), (0, 1)))
    model = randomize(keras.Model(image, dense(ops.mean(x, axis=(2, 3)))))
    converted = converts_alike(model)
    assert {layer.data_format for layer in converted.layers if hasattr(layer, "kernel")} == {
        "channels_first"
    }


def test_an_operation_keeps_its_name_and_computes_as_precisely_as_before():
    with under("mixed_float16"):
        model = network(lambda x: ops.max_pool(x, 2), flat)
    pool = next(node for node in read(model).nodes if node.kind == "MaxPooling2D")
    assert pool.config["dtype"] == read(model).nodes[1].config["dtype"]
    converted = allconv.convert(model)
    assert converted.get_layer(pool.name).output.shape == (None, 4, 3, 4)
    assert converted.get_layer(pool.name).compute_dtype == "float16"


def test_operations_in_a_model_that_is_called_twice_have_a_name_each():
    inner_image = keras.Input((None, None, 3))
    inner = keras.Model(inner_image, ops.max_pool(layers.ReLU()(inner_image), 2), name="inner")
    image = keras.Input((8, 8, 3))
    model = randomize(keras.Model(image, flat(inner(inner(image)))))
    converted = converts_alike(model)
    names = [layer.name for layer in converted.layers]
    assert len(set(names)) == len(names)


NO_LAYERS = {
    "a mean of channels": (lambda x: ops.mean(x, axis=-1, keepdims=True), "Mean"),
    "a mean of images": (lambda x: ops.mean(x, axis=(0, 1, 2), keepdims=True), "Mean"),
    "a mirrored border": (
        lambda x: ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect"),
        "Pad",
    ),
    "a border of ones": (
        lambda x: ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0),
        "Pad",
    ),
    "more channels": (lambda x: ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1))), "Pad"),
    "images side by side": (lambda x: ops.concatenate([x, x], axis=0), "Concatenate"),
    "images mixed": (lambda x: ops.reshape(x, (-1, 4, 6, 4)), "Reshape"),
}


@pytest.mark.parametrize("name", NO_LAYERS)
def test_an_operation_that_no_layer_is_refused_by_name(name):
    step, kind = NO_LAYERS[name]
    model = network(step, layers.Conv2D(2, 1))
    with pytest.raises(ConversionError, match=rf"\(ops\.{kind}\): no layer of Keras does"):
        allconv.convert(model)
    assert_agree(model, allconv.convert(model, strict=False))


def test_a_constant_beside_a_map_is_no_layer():
    def beside(x):
        return ops.concatenate([x, ops.ones((1, 8, 6, 1))], axis=-1)

    image = keras.Input((8, 6, 3), batch_size=1)
    model = randomize(keras.Model(image, layers.Conv2D(2, 1)(beside(image))))
    assert "ops.Concatenate" in kinds_of(read(model))


def test_an_operation_below_a_masked_tensor_stays_an_operation():
    signal = keras.Input((6, 2))
    x = layers.Conv1D(3, 1)(ops.mean(layers.Masking()(signal), axis=1, keepdims=True))
    model = randomize(keras.Model(signal, x))
    assert "ops.Mean" in kinds_of(read(model))
