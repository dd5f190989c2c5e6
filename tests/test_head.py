"""Dense and Flatten as convolutions: the same numbers, the same names, no Flatten but the last."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.building.build import build
from allconv.errors import ConversionError
from allconv.plan import plan_conversion
from tests.helpers.keras_comparison import (
    assert_agree,
    converts_alike,
    copies,
    kinds_of,
    network,
    reasons,
)
from tests.helpers.randomized import randomize

FORMATS = ["channels_last", "channels_first"]


def is_flat_at_the_end(converted):
    kinds = kinds_of(converted)
    return "Dense" not in kinds and kinds.count("Flatten") == 1 and kinds[-1] == "Flatten"


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("activation", [None, "relu", "softmax", "log_softmax", "tanh"])
def test_a_dense_on_a_flattened_map_is_a_convolution_as_large_as_the_map(activation, use_bias):
    dense = layers.Dense(5, activation=activation, use_bias=use_bias, name="dense")
    model = network((3, 4, 2), layers.Flatten(), dense)
    converted = converts_alike(model)
    conv = converted.get_layer("dense")
    assert kinds_of(converted) == ["InputLayer", "Conv2D", "Flatten"]
    assert (conv.kernel.shape, conv.use_bias) == ((3, 4, 2, 5), use_bias)
    assert np.array_equal(np.reshape(conv.kernel, (24, 5)), dense.kernel)


@pytest.mark.parametrize("flatten_format", FORMATS)
@pytest.mark.parametrize("data_format", FORMATS)
def test_the_kernel_follows_the_order_in_which_the_map_was_flattened(data_format, flatten_format):
    model = network(
        (3, 6, 5),
        layers.Conv2D(4, 2, data_format=data_format),
        layers.Flatten(data_format=flatten_format),
        layers.Dense(6, activation="relu"),
        layers.Dense(3, activation="softmax"),
    )
    converts_alike(model)


@pytest.mark.parametrize("sizes", [(7,), (3, 2, 4)])
def test_signals_and_volumes_are_flattened_alike(sizes):
    converted = converts_alike(network((*sizes, 2), layers.Flatten(), layers.Dense(3)))
    assert kinds_of(converted)[1] == f"Conv{len(sizes)}D"


def test_later_dense_layers_are_1x1_and_names_are_kept():
    dense = [layers.Dense(n, "relu", name=f"dense{n}") for n in (6, 4, 3)]
    model = network((3, 3, 2), layers.Flatten(name="flatten"), *dense)
    converted = converts_alike(model)
    assert [layer.name for layer in converted.layers] == [
        "image",
        "dense6",
        "dense4",
        "dense3",
        "flatten",
    ]
    sizes = [layer.kernel_size for layer in converted.layers[1:4]]
    assert sizes == [(3, 3), (1, 1), (1, 1)]


@pytest.mark.parametrize(
    "between",
    [
        [layers.ReLU(max_value=0.5)],
        [layers.LeakyReLU()],
        [layers.ELU()],
        [layers.PReLU()],
        [layers.PReLU(shared_axes=[1])],
        [layers.Activation("tanh")],
        [layers.Activation("softmax")],
        [layers.Softmax()],
        [layers.Dropout(0.5)],
        [layers.Dropout(0.5, noise_shape=(None, 1))],
        [layers.GaussianNoise(0.5), layers.GaussianDropout(0.5), layers.AlphaDropout(0.5)],
        [layers.BatchNormalization()],
        [layers.LayerNormalization()],
        [layers.UnitNormalization()],
        [layers.Rescaling(0.5, 1.0)],
        [layers.Rescaling(0.5, 1.0), layers.BatchNormalization(), layers.ReLU()],
    ],
    ids=lambda layers_: "+".join(type(layer).__name__ for layer in layers_),
)
@pytest.mark.parametrize("place", ["before the Dense", "after the Dense", "at the end"])
def test_what_stands_around_a_dense_works_on_maps(between, place):
    dense = [layers.Dense(4), layers.Dense(3)]
    head = {
        "before the Dense": [*copies(between), *dense],
        "after the Dense": [dense[0], *copies(between), dense[1]],
        "at the end": [*dense, *copies(between)],
    }[place]
    converted = converts_alike(network((2, 3, 2), layers.Flatten(), *head))
    assert is_flat_at_the_end(converted)


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
@pytest.mark.parametrize("use_bias", [True, False])
def test_batch_normalizations_between_flatten_and_dense_are_folded_in(options, use_bias):
    model = network(
        (3, 2, 2),
        layers.Flatten(),
        layers.BatchNormalization(name="norm1", **options),
        layers.Dropout(0.3),
        layers.BatchNormalization(name="norm2"),
        layers.Dense(3, use_bias=use_bias),
    )
    converted = converts_alike(model)
    assert "BatchNormalization" not in kinds_of(converted)
    (note,) = {change.note for change in plan_conversion(model).changes} - {""}
    assert "'norm1' folded in" in note and "'norm2' folded in" in note


def test_a_dense_on_a_map_is_a_1x1_convolution_of_the_same_name():
    model = network((3, 4, 2), layers.Dense(5, activation="softmax", name="dense"))
    converted = converts_alike(model)
    assert converted.get_layer("dense").kernel_size == (1, 1)
    assert kinds_of(converted) == ["InputLayer", "Conv2D"]


def test_a_dense_on_a_map_serves_images_of_any_size():
    model = network((None, None, 2), layers.Dense(5))
    assert_agree(model, allconv.convert(model), size=7)


def test_a_dense_on_the_models_own_vector_works_on_one_cell():
    model = network((6,), layers.Dense(4, activation="relu"), layers.Dense(3))
    assert kinds_of(converts_alike(model)) == [
        "InputLayer",
        "Reshape",
        "Conv2D",
        "Conv2D",
        "Flatten",
    ]


def test_a_flatten_that_two_dense_layers_take_becomes_two():
    image = keras.Input((3, 3, 2))
    flat = layers.Flatten(name="flatten")(image)
    model = randomize(keras.Model(image, [layers.Dense(2)(flat), layers.Dense(3)(flat)]))
    assert kinds_of(converts_alike(model)).count("Flatten") == 2


def test_a_shared_dense_stays_shared():
    images = [keras.Input((3, 3, 2)) for _ in range(2)]
    flatten, dense = layers.Flatten(), layers.Dense(4, name="dense")
    model = keras.Model(images, [dense(flatten(image)) for image in images])
    converted = converts_alike(model)
    assert kinds_of(converted).count("Conv2D") == 1
    assert plan_conversion(model).unshared == ()


def test_keep_leaves_the_head():
    steps = [layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3)]
    converted = converts_alike(network((4, 4, 2), *steps), head="keep", strict=False)
    assert kinds_of(converted)[-2:] == ["Flatten", "Dense"]


@pytest.mark.parametrize("rule", ["flatten_dense_to_conv", "concatenate_dense_to_convs"])
def test_an_activation_of_the_users_own_is_refused_with_the_reason(rule):
    def cubed(x):
        return x**3

    image = keras.Input((2, 2, 2))
    flat = layers.Flatten()(image)
    if rule.startswith("concatenate"):
        flat = layers.Concatenate()([flat, layers.Flatten()(image)])
    model = keras.Model(image, layers.Dense(3, activation=cubed)(flat))
    assert reasons(model, rule) == ["its activation 'cubed' is not one of keras.activations"]
    with pytest.raises(ConversionError, match="its activation 'cubed' is not one of"):
        allconv.convert(model)


def test_a_map_too_large_to_gather_is_refused_with_the_reason():
    model = network((65, 64, 1), layers.Flatten(), layers.UnitNormalization())
    expected = (
        "it works along all 4160 values of a (None, 65, 64, 1) map; gathering them in one cell "
        "needs 4160^2 weights, and allconv stops at 4096^2"
    )
    assert reasons(model, "flatten_cellwise_to_cellwise_flatten") == [expected]


def test_a_dense_on_a_vector_that_is_no_flattened_map_is_refused_with_the_reason():
    model = network(
        (5, 5, 2), layers.Flatten(), layers.Lambda(lambda x: -x, name="mine"), layers.Dense(3)
    )
    (reason,) = reasons(model, "vector_dense_to_conv")
    assert "'mine' (Lambda)" in reason


@pytest.mark.parametrize(
    "operation",
    [lambda x: 2 * x + 1, lambda x: x / 3 - 0.5, lambda x: keras.ops.maximum(x, 0.1) ** 2],
    ids=["affine", "divided", "squared"],
)
def test_operations_with_numbers_on_a_vector_are_operations_on_its_map(operation):
    steps = [layers.Flatten(), operation, layers.Dense(4), operation, layers.Dense(3)]
    assert is_flat_at_the_end(converts_alike(network((2, 3, 2), *steps)))


def test_a_batch_normalization_that_runs_as_in_training_is_not_folded_in():
    """Its numbers are those of each batch."""
    norm = layers.BatchNormalization()
    steps = [layers.Flatten(), lambda x: norm(x, training=True), layers.Dense(3)]
    assert "BatchNormalization" in kinds_of(converts_alike(network((2, 3, 2), *steps)))


def test_at_any_size_the_slopes_of_a_prelu_lie_along_the_channels_of_a_cell():
    model = network((2, 3, 2), layers.Flatten(), layers.PReLU(name="prelu"), layers.Dense(3))
    plan = plan_conversion(model, input_size="any")
    (prelu,) = (node for node in plan.after.nodes if node.name == "prelu")
    assert prelu.shape == (None, 1, 1, 12)
    assert prelu.spec.weights["alpha"].shape == (1, 1, 12)
    assert_agree(model, build(plan.after))


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (
            [layers.Dense(4, activation="log_softmax")],
            "its activation 'log_softmax' over channels that come first",
        ),
        ([layers.RMSNormalization(), layers.Dense(2)], "stands between it and its Flatten"),
        ([layers.Activation("sparsemax"), layers.Dense(2)], "stands between it and its Flatten"),
    ],
)
def test_what_keras_has_along_the_last_axis_only_is_refused_over_channels_that_come_first(
    steps, reason
):
    conv = layers.Conv2D(2, 3, data_format="channels_first")
    model = network((3, 4, 4), conv, layers.Flatten(), *steps)
    with pytest.raises(ConversionError, match=reason):
        allconv.convert(model)
