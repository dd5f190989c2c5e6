"""`convert(input_size=...)`: images of any size in, class maps out, the same numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.errors import AllconvError, ConversionError, OptionError, ShapeError
from tests.helpers.keras_comparison import assert_close, network, outputs
from tests.helpers.networks import mnist_cnn
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import autoencoder, squeeze_and_excitation


def images_of(height, width, channels=2, batch=2):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (batch, height, width, channels)).astype("float32")


def valid_padded():
    """A classifier of 14x13 images without padding, with overlapping and plain pools."""
    return network(
        (14, 13, 2),
        layers.Conv2D(4, (3, 2), activation="tanh"),
        layers.MaxPooling2D(3, 2),
        layers.BatchNormalization(),
        layers.Conv2D(5, 2, activation="relu"),
        layers.AveragePooling2D(2, 1),
        layers.Flatten(),
        layers.Dense(6, activation="relu"),
        layers.Dense(3, activation="softmax"),
    )


def same_padded(unbounded=False):
    """A classifier of 12x12 images whose every layer pads."""
    return network(
        (12, 12, 2),
        layers.Conv2D(4, 3, padding="same", activation=None if unbounded else "relu"),
        layers.MaxPooling2D(3, 2, padding="same"),
        layers.AveragePooling2D(3, 1, padding="same"),
        layers.Conv2D(4, 3, strides=2, padding="same"),
        layers.Flatten(),
        layers.Dense(3),
    )


def test_the_map_of_a_valid_padded_network_is_the_network_slid_over_the_image():
    model = valid_padded()
    converted = allconv.convert(model, input_size="any")
    geometry = allconv.geometry(model)
    # The model ignores the last row and column of its own size: crops may reach over the border.
    assert (geometry.input_size, geometry.minimum_input_size) == ((14, 13), (13, 12))
    wide = images_of(30, 27)
    (found,) = outputs(converted, [wide[:, :29, :26]])
    assert geometry.output_stride == (2, 2)
    assert found.shape == (2, 1 + (29 - 13) // 2, 1 + (26 - 12) // 2, 3)
    for i, j in np.ndindex(found.shape[1:3]):
        crop = wide[:, 2 * i : 2 * i + 14, 2 * j : 2 * j + 13]
        assert_close(found[:, i, j], outputs(model, [crop])[0])


@pytest.mark.parametrize("head", [layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D])
def test_global_pools_become_windows_as_large_as_the_model_s_own_map(head):
    model = network((7, 6, 2), layers.Conv2D(3, 2), head(), layers.Dense(4))
    converted = allconv.convert(model, input_size="any")
    image = images_of(10, 8)
    (found,) = outputs(converted, [image])
    assert found.shape == (2, 4, 3, 4)
    for i, j in np.ndindex(4, 3):
        assert_close(found[:, i, j], outputs(model, [image[:, i : i + 7, j : j + 6]])[0])


@pytest.mark.parametrize("unbounded", [False, True])
def test_a_same_padded_network_gives_one_cell_at_its_own_size_and_more_on_larger_images(unbounded):
    model = same_padded(unbounded)
    converted = allconv.convert(model, input_size="any", verify=True)
    assert converted.input_shape == (None, None, None, 2)
    image = images_of(12, 12)
    (expected,), (found,) = outputs(model, [image]), outputs(converted, [image])
    assert_close(found, expected[:, None, None])
    assert outputs(converted, [images_of(31, 17)])[0].shape == (2, 6, 3, 3)


@pytest.mark.parametrize("size", [(12, 12), (16, 23), (31, 40)])
def test_a_same_padded_network_before_its_head_computes_what_keras_does_at_every_size(size):
    """The same layers up to the head, built by Keras for the larger image, are the oracle."""
    model = same_padded(unbounded=True)
    body = keras.Sequential([keras.Input((*size, 2)), *model.layers[1:5]])
    trunk = keras.Model(model.input, model.layers[4].output)
    converted = allconv.convert(trunk, input_size="any")
    image = images_of(*size)
    assert_close(outputs(converted, [image])[0], outputs(body, [image])[0])


def test_a_size_gives_a_model_of_that_size():
    converted = allconv.convert(mnist_cnn(), input_size=(40, 48))
    assert converted.input_shape == (None, 40, 48, 1)
    assert converted.output_shape == (None, 3, 4, 10)


def test_a_model_of_free_size_takes_the_size_it_is_given_as_its_own():
    image = keras.Input((None, None, 2))
    x = layers.Conv2D(4, 3, activation="relu")(image)
    x = layers.MaxPooling2D(2)(x)
    model = randomize(keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))
    with pytest.raises(ConversionError, match="needs a fixed size"):
        allconv.convert(model, input_size="any")
    converted = allconv.convert(model, input_size=(17, 20), verify=True)
    assert converted.output_shape == (None, 1, 1, 3)
    given = images_of(17, 20)
    assert_close(outputs(converted, [given])[0][:, 0, 0], outputs(model, [given])[0])


def test_verify_holds_a_class_map_of_one_cell_against_the_vector():
    model = valid_padded()
    converted = allconv.convert(model, input_size="any")
    assert allconv.verify(model, converted).passed is True
    kernel = converted.layers[1].weights[0]
    kernel.assign(kernel * 1.01)
    assert allconv.verify(model, converted).passed is False


@pytest.mark.parametrize(
    ("shape", "window", "dense", "size", "expected"),
    [
        ((9, 2), layers.MaxPooling1D(2), layers.Dense(3), (15,), (None, 4, 3)),
        ((5, 6, 4, 2), layers.MaxPooling3D(2), layers.Dense(3), (9, 8, 6), (None, 3, 2, 2, 3)),
    ],
)
def test_sequences_and_volumes_take_any_size_too(shape, window, dense, size, expected):
    model = network(shape, window, layers.Flatten(), dense)
    assert allconv.convert(model, input_size=size).output_shape == expected
    free = allconv.convert(model, input_size="any", verify=True)
    assert free.input_shape == (None, *(None for _ in size), 2)


def test_softmax_and_names_stay_with_their_layers():
    converted = allconv.convert(mnist_cnn(), input_size="any")
    assert [layer.name for layer in converted.layers][-1] == "classes"
    (found,) = outputs(converted, [images_of(44, 44, 1)])
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-5)


def test_a_global_pool_that_feeds_a_multiply_is_named():
    with pytest.raises(ConversionError) as caught:
        allconv.convert(squeeze_and_excitation(), input_size="any")
    message = str(caught.value)
    assert "is made for images of 8x8, and these layers do not fit (None, 9, 9, 3)" in message
    assert "(Multiply): inputs (None, 9, 9, 8) and (None, 2, 2, 8) do not broadcast" in message
    assert "(GlobalAveragePooling2D) looks at the whole map" in message
    assert message.endswith("it takes no other size; leave input_size out")


def test_a_reshape_from_a_vector_to_a_map_is_named():
    with pytest.raises(ConversionError, match=r"it makes a map of one size, \(None, 4, 4, 4\)"):
        allconv.convert(autoencoder(), input_size="any")


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: layers.PReLU(), "its alpha has the shape (5, 5, 3)"),
        (
            lambda: layers.Normalization(
                axis=(1, 2, 3), mean=np.zeros((5, 5, 1)), variance=np.ones((5, 5, 1))
            ),
            "it has numbers of its own for each of the 5x5 cells",
        ),
    ],
)
def test_layers_with_numbers_for_every_cell_are_named(layer, reason):
    model = network((6, 6, 2), layers.Conv2D(3, 2), layer(), layers.Flatten(), layers.Dense(2))
    with pytest.raises(ConversionError) as caught:
        allconv.convert(model, input_size="any")
    assert reason in str(caught.value)


def gate_of_another_stride():
    """A gate of stride 1 on a map of stride 4: at 20x20 both have 5x5 cells, by chance."""
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(3, 3, padding="same", activation="relu")(image)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(
        layers.GlobalAveragePooling2D(keepdims=True)(x)
    )
    y = layers.Conv2D(4, 2, strides=2)(layers.Conv2D(4, 2, strides=2)(x))
    return randomize(keras.Model(image, layers.Multiply()([y, gate])))


def side_by_side():
    image = keras.Input((8, 8, 2))
    wide = layers.Concatenate(axis=2)([layers.Conv2D(2, 3)(image), layers.Conv2D(2, 3)(image)])
    return randomize(keras.Model(image, layers.Dense(2)(layers.Flatten()(wide))))


def converted_for_one_size():
    """A conversion whose max pool repeats the border by cropping all but one row."""
    model = network((7, 7, 1), layers.Conv2D(2, 2), layers.MaxPooling2D(3, 2, padding="same"))
    return allconv.convert(model)


def with_a_constant_map():
    image = keras.Input((8, 8, 2))
    return randomize(keras.Model(image, layers.Conv2D(2, 3)(image * np.ones((8, 8, 2), "float32"))))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (gate_of_another_stride, "it spreads the one cell of "),
        (side_by_side, "it joins maps along axis 2, along which they grow"),
        (converted_for_one_size, "it joins maps along axis 1, along which they grow"),
        (with_a_constant_map, "it has numbers of its own for each of the 8x8 cells"),
    ],
)
def test_what_would_be_wrong_at_another_size_without_an_error_is_named(make, reason):
    with pytest.raises(ConversionError) as caught:
        allconv.convert(make(), input_size="any")
    assert reason in str(caught.value)


@pytest.mark.parametrize("make", [lambda: layers.Reshape((36, 3)), layers.Flatten])
def test_a_list_of_cells_at_the_output_becomes_their_map(make):
    model = network((8, 8, 2), layers.Conv2D(3, 3), make())
    converted = allconv.convert(model, input_size="any", verify=True)
    assert converted.output_shape == (None, None, None, 3)
    assert allconv.verify(model, converted).passed


def test_a_reshape_at_the_output_that_is_no_list_of_cells_is_named():
    model = network((8, 8, 2), layers.Conv2D(4, 3), layers.Reshape((6, 6, 2, 2)))
    with pytest.raises(ConversionError, match=r"\(Reshape\) has no receptive field"):
        allconv.convert(model, input_size="any")


def test_what_is_kept_is_kept_at_another_size_where_its_shapes_are_known():
    model = network((8, 8, 2), layers.Conv2D(4, 3), layers.MaxPooling2D(2, name="pool"))
    kept = allconv.convert(model, pooling="keep", strict=False, input_size=(12, 12))
    assert kept.output_shape == (None, 5, 5, 4)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("all", "input_size is 'all'; expected 'any' or sizes such as (224, 224)"),
        ((0, 5), "input_size is (0, 5); expected a tuple with one number >= 1 for each axis"),
        ((5,), "input size 5 is for maps of 1 axis"),
    ],
)
def test_a_size_that_is_none_is_refused(size, message):
    with pytest.raises(OptionError) as caught:
        allconv.convert(valid_padded(), input_size=size)
    assert message in str(caught.value)


def test_a_model_without_images_is_refused():
    model = network((5,), layers.Dense(3))
    words = r"takes no images, so no size of them can be free; its inputs are 'image' \(None, 5\)"
    with pytest.raises(OptionError, match=words):
        allconv.convert(model, input_size="any")


def test_an_image_in_which_the_head_s_window_does_not_fit_is_refused():
    with pytest.raises(ConversionError, match=r"hidden .*a window of 3 does not fit a map of 1"):
        allconv.convert(mnist_cnn(), input_size=(8, 28))


def test_a_conversion_for_any_size_is_not_compiled_and_a_second_one_changes_nothing():
    model = mnist_cnn()
    model.compile("sgd", "categorical_crossentropy")
    converted = allconv.convert(model, input_size="any")
    assert not converted.compiled
    assert allconv.report(converted, input_size="any").changes == ()


def test_the_report_gives_the_geometry_and_says_whether_the_map_is_that_of_crops():
    padded = " ".join(str(allconv.report(same_padded(), input_size="any")).split())
    assert "The result takes images of any size from 9x9 on and gives maps: 1x1 at 12x12." in padded
    assert "The map differs from what the model says of crops of the image" in padded
    assert "pad or treat the border apart" in padded
    assert "where a crop has its border the whole image goes on." in padded
    plain = " ".join(str(allconv.report(valid_padded(), input_size=(29, 26))).split())
    assert "takes images of 29x26 and gives maps of 9x8 (1x1 at 14x13)" in plain
    assert "costs before are those at 14x13, after at 29x26." in plain
    assert "what the model says of the crop of 14x13 that begins at (2 i, 2 j)." in plain
    assert "Geometry: output stride 2x2, receptive field" in plain


def test_at_any_size_the_report_counts_costs_at_the_model_s_own():
    own, free = (allconv.report(mnist_cnn(), input_size=size) for size in (None, "any"))
    assert free.totals == own.totals
    assert free.rows[-1].output_shape_after == (None, 1, 1, 10)


def test_a_map_that_vanishes_is_a_shape_error_of_check_only():
    check = allconv.check(mnist_cnn(), input_size=(8, 28))
    assert not check.passed
    with pytest.raises((ShapeError, ConversionError)):
        allconv.convert(mnist_cnn(), input_size=(7, 28))


@pytest.mark.parametrize("shape", [(28, 28), (784,)])
def test_a_reshape_that_makes_the_images_is_named_with_the_way_on(shape):
    """`Input((28, 28))` and `Reshape((28, 28, 1))`: a model of many courses."""
    steps = [layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)]
    make_images = layers.Reshape((28, 28, 1), name="images")
    model = keras.Sequential([keras.Input(shape, name="pixels"), make_images, *steps])
    way = (
        f"layer 'images' (Reshape) makes images (28, 28, 1) of what input 'pixels' takes, {shape}; "
        "begin the model with keras.Input((28, 28, 1)) and leave that layer out "
        "(set_weights(model.get_weights()) gives the new one the weights)"
    )
    for size in ("any", (40, 40)):
        with pytest.raises(AllconvError) as caught:
            allconv.convert(model, input_size=size)
        assert str(caught.value).endswith(way) and "28 only" not in str(caught.value)
    with pytest.raises(ConversionError) as caught:
        allconv.geometry(model)
    assert str(caught.value).endswith(way)
    clone = [type(step).from_config(step.get_config()) for step in steps]
    advised = keras.Sequential([keras.Input((28, 28, 1)), *clone])
    advised.set_weights(model.get_weights())
    assert allconv.convert(advised, input_size="any").input_shape == (None, None, None, 1)


def test_a_reshape_of_a_vector_to_one_cell_is_no_such_thing():
    image, scales = keras.Input((8, 8, 4)), keras.Input((4,))
    scaled = layers.Multiply()([image, layers.Reshape((1, 1, 4))(scales)])
    model = keras.Model([image, scales], layers.Conv2D(2, 3)(scaled))
    assert allconv.convert(model, input_size=(9, 9)).output_shape == (None, 7, 7, 2)
