"""How models are written, and that each is read as Keras computes it: the numbers decide."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import allconv
from allconv.errors import ModelError
from allconv.plan import plan_conversion
from allconv.read import read
from tests.helpers.keras_comparison import assert_close, converts_alike
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import chain

SHAPE = (8, 8, 2)


def head(x, units=3):
    return layers.Dense(units)(layers.Flatten()(x))


def model_of(make, shape=SHAPE):
    """A Functional model of a function of its image."""
    image = keras.Input(shape)
    return randomize(keras.Model(image, make(image)))


def block(name="block"):
    """A nested model with a nested model in it; it keeps the shape."""
    inner = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(2, 3, padding="same", activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
        ],
        name="inner",
    )
    return chain(SHAPE, inner, layers.ReLU(), layers.MaxPooling2D(2, 1, padding="same"))


def test_nested_models_are_written_out_and_their_weights_stay_shared_over_calls():
    nested = block()
    converted = converts_alike(model_of(lambda x: head(nested(nested(x)))))
    assert not any(hasattr(layer, "layers") for layer in converted.layers)
    assert len(converted.get_layer("conv")._inbound_nodes) == 2


CASTS = {
    "float64 to float32": ("float64", "float32"),
    "float32 to float16": ("float32", "float16"),
    "float32 to bfloat16": ("float32", "bfloat16"),
    "float32 to int32": ("float32", "int32"),
    "float32 to uint8": ("float32", "uint8"),
    "uint8 to float32": ("uint8", "float32"),
}


@pytest.mark.parametrize("name", CASTS)
def test_a_nested_model_takes_what_it_is_called_on_in_the_dtype_of_its_input(name):
    """Keras casts it; what the Input's own dtype does not hold is lost."""
    outer, inner = CASTS[name]
    policy = "float64" if outer == "float64" else "float32"
    image, given = keras.Input(SHAPE, dtype=outer), keras.Input(SHAPE, dtype=inner)
    twice = layers.Rescaling(1.0, dtype=policy)(ops.add(given, given))
    nested = keras.Model(given, layers.Conv2D(2, 3, dtype=policy)(twice))
    x = image if outer == "uint8" else ops.multiply(image, 100.0)
    flat = layers.Flatten(dtype=policy)(nested(x))
    model = keras.Model(image, layers.Dense(3, dtype=policy)(flat))
    images = np.random.default_rng(0).uniform(0, 1.2, (3, *SHAPE)).astype(outer)
    if outer == "uint8":
        images = np.full((3, *SHAPE), 200, "uint8")
    converted = allconv.convert(model)
    expected, found = (ops.convert_to_numpy(each(images)) for each in (model, converted))
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= (1e-12 if policy == "float64" else 1e-5)


def test_layers_that_cast_by_themselves_need_no_cast_before_them():
    nested = keras.Sequential([layers.Conv2D(2, 3, dtype="mixed_float16")])
    kinds = [node.kind for node in read(keras.Sequential([keras.Input(SHAPE), nested])).nodes]
    assert kinds == ["InputLayer", "Conv2D"]


def test_layers_of_one_name_in_two_nested_models_stay_two():
    converted = converts_alike(model_of(lambda x: block("left")(block("right")(x))))
    kernels = [converted.get_layer(name).kernel.numpy() for name in ("conv", "conv_1")]
    assert not np.array_equal(*kernels)


def test_a_sequential_of_sequentials_stays_a_sequential():
    stem = keras.Sequential([layers.Conv2D(3, 3), layers.AveragePooling2D(2)])
    top = keras.Sequential([layers.Flatten(), keras.Sequential([layers.Dense(3)])])
    model = randomize(keras.Sequential([keras.Input(SHAPE), stem, top]))
    assert type(converts_alike(model)) is keras.Sequential


@pytest.mark.parametrize("frozen", [False, True])
def test_a_base_model_called_for_inference_and_frozen_behaves_in_training_as_before(frozen):
    base = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(3, 3), layers.BatchNormalization()])
    base.trainable = not frozen
    model = model_of(lambda x: head(base(x, training=False)))
    converted = converts_alike(model)
    assert len(converted.trainable_weights) == len(model.trainable_weights)
    images = np.random.default_rng(0).normal(size=(4, *SHAPE)).astype("float32")
    for training in (None, False, True):
        results = [m(images, training=training) for m in (converted, model)]
        assert_close(*map(keras.ops.convert_to_numpy, results))
    norm = next(layer for layer in converted.layers if "normalization" in layer.name)
    assert norm._inbound_nodes[0].arguments.kwargs["training"] is False


def test_shared_layers_stay_shared_and_so_do_what_they_become():
    conv, pool = layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(2)
    flatten, dense = layers.Flatten(), layers.Dense(5, name="dense")
    images = [keras.Input((10, 10, 1)) for _ in range(2)]
    ends = [dense(flatten(pool(conv(image)))) for image in images]
    converted = converts_alike(randomize(keras.Model(images, layers.Subtract()(ends))))
    assert len(converted.trainable_weights) == 4
    assert len(converted.get_layer("dense")._inbound_nodes) == 2


def test_a_shared_dense_over_maps_of_two_shapes_is_split_and_the_plan_says_so():
    dense = layers.Dense(4, name="dense")
    wide, square = keras.Input((2, 8, 1)), keras.Input((4, 4, 1))
    ends = [dense(layers.Flatten()(image)) for image in (wide, square)]
    model = randomize(keras.Model([wide, square], layers.Add()(ends)))
    converted = converts_alike(model)
    kernels = [converted.get_layer(name).kernel.shape for name in ("dense", "dense_1")]
    assert kernels == [(2, 8, 1, 4), (4, 4, 1, 4)]
    assert plan_conversion(model).unshared == ("dense",)


def test_outputs_in_the_middle_twice_and_the_input_itself_are_kept():
    image = keras.Input(SHAPE)
    x = layers.Conv2D(3, 3, activation="relu")(image)
    pooled = layers.MaxPooling2D(2)(x)
    flat = layers.Flatten()(pooled)
    scores = layers.Dense(3)(flat)
    model = keras.Model(image, [x, pooled, flat, scores, scores, image])
    converted = converts_alike(randomize(model))
    assert converted.output_shape == model.output_shape


def test_dictionaries_and_nests_of_inputs_and_outputs_keep_their_form():
    left, right = (keras.Input(SHAPE, name=name) for name in ("left", "right"))
    x = layers.MaxPooling2D(2)(layers.Subtract()([left, right]))
    outputs = {"z": head(x, 2), "a": (head(x, 3), [x])}
    model = randomize(keras.Model({"right": right, "left": left}, outputs))
    rng = np.random.default_rng(0)
    images = {name: rng.normal(size=(2, *SHAPE)).astype("float32") for name in ("left", "right")}
    found, expected = allconv.convert(model)(images), model(images)
    keras.tree.assert_same_structure(found, expected)
    pairs = zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True)
    for pair in pairs:
        assert_close(*map(keras.ops.convert_to_numpy, pair))


def test_a_nested_model_of_several_inputs_and_outputs_is_written_out():
    images = [keras.Input(SHAPE) for _ in range(2)]
    ends = [layers.Subtract()(images), layers.MaxPooling2D(2)(images[1])]
    nested = keras.Model(images, ends)

    def make(x):
        difference, _ = nested([x, layers.ReLU()(x)])
        again, pooled = nested([difference, x])
        return [head(again), head(pooled)]

    converts_alike(model_of(make))


MASK = np.arange(128.0).reshape(1, 8, 8, 2).astype("float32")

CALLS = {
    "a number added": lambda x: x + 1.0,
    "taken from a number": lambda x: 1 - x,
    "negative": lambda x: -x,
    "a power, divided": lambda x: x**2 / 3.0,
    "an array": lambda x: x * MASK,
    "an array first": lambda x: ops.multiply(MASK, x),
    "an array that makes the map larger": lambda x: x[..., :1] * np.ones((1, 1, 1, 4), "float32"),
    "a backend's tensor": lambda x: x + ops.convert_to_tensor([1.0, 2.0]),
    "slices and an ellipsis": lambda x: x[:, 1:5, ...],
    "keyword tensors": lambda x: ops.subtract(x1=x, x2=layers.ReLU()(x)),
    "an activation": lambda x: ops.relu(x),
    "an activation with an option": lambda x: ops.elu(x, alpha=3.0),
    "several results": lambda x: ops.subtract(*ops.split(x, 2, axis=-1)),
    "a list of tensors": lambda x: ops.concatenate([x, x + 1], axis=-1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_operations_and_their_constants_are_read(call):
    converts_alike(
        model_of(lambda x: head(call(layers.MaxPooling2D(2, 1)(x))), (9, 9, 2)), strict=False
    )


def test_a_subclass_with_a_graph_is_read_whatever_its_get_config_says():
    class Subclass(keras.Model):
        def __init__(self, units):
            image = keras.Input(SHAPE)
            super().__init__(image, head(layers.MaxPooling2D(2)(image), units))

        def get_config(self):
            return {"units": 3}

    converts_alike(randomize(Subclass(3)))


class OwnCall(keras.Model):
    """Does more than its graph shows."""

    def call(self, x, training=None):
        return 2 * super().call(x, training=training)


def own_call(image):
    return OwnCall(image, layers.ReLU()(image), name="m")


class Subclassed(keras.Model):
    """Has no graph."""

    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.Sequential(name="m"), "model 'm' has no layers; there is nothing to conv"),
        (
            lambda: keras.Sequential([keras.Input(SHAPE)], name="m"),
            "model 'm' has no layers; there is nothing to convert",
        ),
        (
            lambda: keras.Sequential([layers.Conv2D(1, 1)], name="m"),
            "model 'm' is not built, so its shapes are unknown; give it an Input layer or call",
        ),
        (lambda: Subclassed(name="m"), "'m' is a subclassed model (Subclassed): its layers are"),
        (
            lambda: own_call(keras.Input(SHAPE)),
            "'m' (OwnCall) has a call() of its own, which its graph of layers does not show",
        ),
        (lambda: 3, "expected a keras.Model, got builtins.int"),
        (
            lambda: layers.Dense(1),
            "expected a keras.Model, got keras.src.layers.core.dense.Dense",
        ),
    ],
)
def test_what_is_no_graph_of_layers_is_refused_in_words(make, message):
    with pytest.raises(ModelError) as error:
        allconv.convert(make())
    assert str(error.value).startswith(message)
