"""Checks: shapes at any size against Keras', every kind of misfit, and every message's text."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.check import ShapeCheck
from allconv.errors import OptionError
from tests.helpers import networks
from tests.helpers.drawn_networks import drawn_network, random_networks


def messages(check: ShapeCheck) -> dict[str, str]:
    assert not check.passed and not check
    return {problem.layer: problem.message for problem in check.problems}


def branches(*ends: layers.Layer, merge: layers.Layer) -> keras.Model:
    """An image of 8x8x3 through each of some layers, and the results merged."""
    image = keras.Input((8, 8, 3), name="image")
    return keras.Model(image, merge([end(image) for end in ends]), name="branches")


# shapes


@pytest.mark.parametrize(
    "network",
    [
        networks.mnist_cnn,
        networks.cifar10_cnn,
        networks.residual,
        networks.of_any_size,
        networks.on_signals,
    ],
)
def test_the_shapes_at_the_model_s_own_size_are_those_of_keras(network) -> None:
    model = network()
    check = allconv.check(model)
    assert check.passed and check.problems == () and check.input_size is None
    for row in check.rows:
        if row.kind != "InputLayer":
            layer = model.get_layer(row.layer)
            assert (row.kind, row.output_shape) == (type(layer).__name__, layer.output.shape)


@given(st.integers(7, 40), st.integers(7, 40), st.sampled_from(["channels_last", "channels_first"]))
@settings(max_examples=15, deadline=None)
def test_the_shapes_at_another_size_are_those_of_a_model_of_that_size(height, width, data_format):
    def cnn(*sizes: int) -> keras.Model:
        first = data_format == "channels_first"
        image = keras.Input((3, *sizes) if first else (*sizes, 3))
        options = {"data_format": data_format}
        x = layers.Conv2D(4, 3, strides=2, **options)(layers.Dropout(0.1)(image))
        y = layers.ZeroPadding2D(((0, 1), (1, 1)), **options)(x)
        y = layers.MaxPooling2D(2, strides=1, padding="same", **options)(y)
        x = layers.Concatenate()([layers.UpSampling2D(2, **options)(y)] * 2)
        return keras.Model(image, layers.GlobalAveragePooling2D(**options)(x))

    check = allconv.check(cnn(16, 16), input_size=(height, width))
    expected = [layer.output.shape for layer in cnn(height, width).layers]
    assert check.passed and check.input_size == (height, width)
    assert sorted(map(str, expected)) == sorted(str(row.output_shape) for row in check.rows)


@given(st.data(), st.sampled_from(["channels_last", "channels_first"]))
@random_networks(8)
def test_a_network_in_memory_fits_at_its_own_size(data: st.DataObject, data_format: str) -> None:
    model = drawn_network(data.draw, data_format)
    shape = model.input_shape
    size = shape[2:] if data_format == "channels_first" else shape[1:-1]
    for check in (allconv.check(model), allconv.check(model, input_size=size)):
        assert check.passed and check.unknown == ()
        shapes = {row.output_shape for row in check.rows}
        assert {tuple(output.shape) for output in model.outputs} <= shapes


def test_every_call_of_a_shared_layer_is_listed() -> None:
    check = allconv.check(networks.twins())
    assert [row.layer for row in check.rows].count("conv") == 2


def test_all_images_of_a_model_take_the_size() -> None:
    check = allconv.check(networks.twins(), input_size=(20, 24))
    shapes = {row.layer: row.output_shape for row in check.rows}
    assert shapes["left"] == shapes["right"] == (None, 20, 24, 3)


def test_a_signal_takes_a_length_and_a_volume_three_sizes() -> None:
    volume = keras.Sequential([keras.Input((4, 4, 4, 1)), layers.Conv3D(2, 3, name="conv")])
    assert allconv.check(volume, input_size=(5, 6, 7)).rows[-1].output_shape == (None, 3, 4, 5, 2)
    signal = keras.Sequential([keras.Input((10, 2)), layers.Conv1D(3, 4, name="conv")])
    assert allconv.check(signal, input_size=[9]).rows[-1].output_shape == (None, 6, 3)


def test_a_vector_beside_an_image_keeps_its_length() -> None:
    image, vector = keras.Input((8, 8, 3)), keras.Input((5,), name="vector")
    x = layers.Concatenate()([layers.GlobalMaxPooling2D()(image), vector])
    check = allconv.check(keras.Model([image, vector], layers.Dense(2)(x)), input_size=(9, 9))
    assert check.passed
    assert (None, 5) in [row.output_shape for row in check.rows]


def test_a_file_is_checked_like_the_model_in_it(tmp_path: Path) -> None:
    model = networks.mnist_cnn()
    model.save(tmp_path / "model.keras")
    check = allconv.check(str(tmp_path / "model.keras"), input_size=(30, 32))
    assert str(check) == str(allconv.check(model, input_size=(30, 32)))


# what does not fit


def test_a_dense_behind_a_flatten_freezes_the_size_and_says_what_to_do() -> None:
    check = allconv.check(networks.mnist_cnn(), input_size=(32, 32))
    assert messages(check) == {
        "hidden": "its kernel takes 576 values, the Flatten before it gives 1024: the model is "
        "frozen to 28x28 inputs; allconv.convert makes the Dense a convolution"
    }
    shapes = {row.layer: row.output_shape for row in check.rows}
    assert shapes["flatten"] == (None, 1024)
    assert shapes["hidden"] is shapes["classes"] is None


def test_a_dense_that_fits_freezes_the_size_as_well() -> None:
    assert allconv.check(networks.mnist_cnn()).frozen_by == ("hidden",)
    assert allconv.check(networks.residual()).frozen_by == ()
    assert str(allconv.check(networks.mnist_cnn())).endswith("frozen to this size by: hidden")


def test_a_vanishing_map_names_the_window_and_the_map() -> None:
    found = messages(allconv.check(networks.mnist_cnn(), input_size=(28, 4)))
    assert found == {"pool3": "a window of 2 does not fit a map of 1"}


def test_merged_maps_that_disagree_are_named_with_their_shapes() -> None:
    def sized(merge: layers.Layer) -> keras.Model:
        return branches(
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(3, 2, strides=2, padding="same", name="conv"),
            merge=merge,
        )

    assert messages(allconv.check(sized(layers.Add(name="sum")), input_size=(9, 8))) == {
        "sum": "inputs (None, 4, 4, 3) and (None, 5, 4, 3) do not broadcast together"
    }
    assert messages(allconv.check(sized(layers.Concatenate(name="join")), input_size=(8, 9))) == {
        "join": "inputs (None, 4, 4, 3) and (None, 4, 5, 3) differ outside of axis -1"
    }


def test_weights_of_every_cell_freeze_the_size() -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(2, 3, name="conv"), layers.PReLU(name="prelu")]
    )
    assert messages(allconv.check(model, input_size=(9, 8))) == {
        "prelu": "its alpha has the shape (6, 6, 2), the Conv2D before it asks for (7, 6, 2): "
        "the model is frozen to 8x8 inputs"
    }


def test_a_reshape_that_its_values_do_not_fill_is_found() -> None:
    model = keras.Sequential([keras.Input((4, 4, 2)), layers.Reshape((8, 4), name="reshape")])
    found = messages(allconv.check(model, input_size=(5, 4)))
    assert found == {
        "reshape": "the 40 values of (None, 5, 4, 2) do not fill the target shape (8, 4)"
    }


def test_all_independent_problems_are_found_at_once() -> None:
    image = keras.Input((8, 8, 3), name="image")
    ends = [
        layers.Dense(2, name="dense")(layers.Flatten(name="flatten")(image)),
        layers.Conv2D(2, 7, name="conv")(image),
        layers.Dense(4, name="behind")(
            layers.Flatten(name="flat")(layers.Conv2D(1, 8, name="wide")(image))
        ),
    ]
    check = allconv.check(keras.Model(image, ends, name="three_ends"), input_size=(6, 6))
    assert list(messages(check)) == ["dense", "conv", "wide"]
    assert "three_ends: 3 layers do not fit at 6x6" in str(check)


def test_a_shared_layer_is_named_once() -> None:
    assert list(messages(allconv.check(networks.twins(), input_size=(18, 16)))) == ["dense"]


def test_what_lies_behind_an_unknown_class_is_not_judged_and_not_called_fit() -> None:
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Lambda(lambda x: x[:, 1:], output_shape=(15, 16, 3), name="cut")(image)
    model = keras.Model(image, layers.Conv2D(2, 3, name="conv")(x), name="cutting")
    assert allconv.check(model).rows[-1].output_shape == (None, 13, 14, 2)
    check = allconv.check(model, input_size=(9, 9))
    assert check.passed is None and not check and check.unknown == ("cut", "conv")
    assert str(check).endswith("not judged, their shapes are unknown: cut, conv")


# what is printed


def test_a_check_prints_every_shape_and_every_problem_in_80_columns() -> None:
    text = str(allconv.check(networks.mnist_cnn(), input_size=(32, 32)))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["#", "layer", "class", "output"]
    assert lines[2].split() == ["1", "image", "InputLayer", "32x32x1"]
    assert lines[13].split() == ["12", "hidden", "Dense", "--"]
    assert "mnist_cnn: 1 layer does not fit at 32x32" in lines
    assert any(line.startswith("  hidden (Dense): its kernel takes 576") for line in lines)


def test_a_model_that_fits_says_so() -> None:
    assert str(allconv.check(networks.residual(), input_size=(9, 5))).endswith(
        "residual: all layers fit at 9x5"
    )


# bad sizes


@pytest.mark.parametrize("size", [(), 64, "64x64", (0, 8), (8.0, 8), (True, True), (None, 8)])
def test_a_size_that_is_none_is_refused(size: object) -> None:
    with pytest.raises(OptionError) as caught:
        allconv.check(networks.residual(), input_size=size)
    expected = (
        f"input_size is {size!r}; expected a tuple with one number >= 1 for each axis, such as "
        "(224, 224)"
    )
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("size", "words"),
    [((8,), "8 is for maps of 1 axis"), ((8, 9, 7), "8x9x7 is for maps of 3 axes")],
)
def test_a_size_for_which_the_model_has_no_image_is_refused(
    size: tuple[int, ...], words: str
) -> None:
    with pytest.raises(OptionError) as caught:
        allconv.check(networks.residual(), input_size=size)
    assert str(caught.value) == (
        f"input size {words}, and no input of model 'residual' is one; "
        "its inputs are 'image' (None, 12, 12, 4)"
    )


def test_the_example_in_the_docstring_is_true() -> None:
    keras.backend.clear_session()
    assert doctest.testmod(importlib.import_module("allconv.check")).failed == 0
