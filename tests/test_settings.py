"""The settings of layers in a file are what Keras takes, or one message says what is wrong."""

from __future__ import annotations

import inspect
import json

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from allconv.errors import ModelError
from allconv.layers import kinds
from allconv.layers.layer_shapes import KNOWN_KINDS
from allconv.read.description import LONGEST_NAME, text_in
from allconv.read.settings import SETTINGS_OF, checked_settings, checked_shape
from tests.helpers import small_applications

WHERE = "layer 'x' (Kind)"
LARGEST = 2**31
EMPTY = inspect.Parameter.empty


def settings(kind: str, **config: object) -> dict[str, object]:
    return checked_settings(kind, config, WHERE)


def problem(kind: str, **config: object) -> str:
    with pytest.raises(ModelError) as caught:
        settings(kind, **config)
    assert str(caught.value).startswith(f"{WHERE}: its ")
    return str(caught.value).removeprefix(f"{WHERE}: its ")


ARGUMENTS = {
    **dict.fromkeys(kinds.CONVOLUTIONS, (2, 3)),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), (3,)),
    **dict.fromkeys(kinds.AVERAGE_POOLS, (2,)),
    **dict.fromkeys(kinds.NOISE, (0.5,)),
    **{f"SpatialDropout{rank}D": (0.5,) for rank in (1, 2, 3)},
    "Activation": ("tanh",),
    "Dense": (2,),
    "Permute": ((2, 1),),
    "RepeatVector": (2,),
    "Rescaling": (2.0,),
    "Reshape": ((2, -1),),
    "Resizing": (3, 4),
}
"""What Keras insists on."""
OTHERS = kinds.AUGMENTATIONS | {"CustomScaleLayer", "InputLayer", "LayerScale", "ThresholdedReLU"}


def layers_of_keras() -> list[keras.Layer]:
    """A layer of each class that is known, with as few arguments as it takes."""
    known = sorted(kind for kind in KNOWN_KINDS - OTHERS if not kind.startswith("ops."))
    return [getattr(layers, kind)(*ARGUMENTS.get(kind, ())) for kind in known]


@pytest.mark.parametrize("layer", layers_of_keras(), ids=lambda layer: type(layer).__name__)
def test_what_keras_writes_comes_back_as_it_is(layer):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)["config"]))
    assert settings(type(layer).__name__, **config) == config


@pytest.mark.parametrize("layer", layers_of_keras(), ids=lambda layer: type(layer).__name__)
def test_what_is_filled_in_is_what_keras_fills_in(layer):
    layer_class, config = type(layer), json.loads(json.dumps(layer.get_config()))
    parameters = inspect.signature(layer_class.__init__).parameters
    needed = {name for name, parameter in parameters.items() if parameter.default is EMPTY}
    left_out = SETTINGS_OF.get(layer_class.__name__, {}).keys() - needed
    rest = {key: value for key, value in config.items() if key not in left_out}
    filled = settings(layer_class.__name__, **rest)
    assert layer_class.from_config(filled).get_config() == layer_class(**rest).get_config()


@pytest.mark.parametrize(
    "model",
    [
        small_applications.alexnet,
        small_applications.mobilenet,
        small_applications.u_net,
        small_applications.dcgan_generator,
    ],
)
def test_the_layers_of_whole_models_come_back_as_they_are(model):
    for data in json.loads(model().to_json())["config"]["layers"]:
        assert settings(data["class_name"], **data["config"]) == data["config"]


def test_one_number_for_all_axes_is_written_for_each():
    assert settings("UpSampling2D", size=3)["size"] == [3, 3]
    assert settings("Conv3D", filters=2, kernel_size=5)["kernel_size"] == [5, 5, 5]
    assert settings("ZeroPadding2D", padding=[1, 2])["padding"] == [[1, 1], [2, 2]]
    assert settings("Cropping1D", cropping=4)["cropping"] == [4, 4]


def test_a_pool_without_strides_moves_by_its_window():
    assert settings("MaxPooling2D", pool_size=[3, 2], strides=None)["strides"] == [3, 2]
    assert settings("AveragePooling1D", pool_size=4)["strides"] == [4]


def test_layers_of_unknown_classes_are_not_looked_into():
    config = {"filters": "any", "kernel_size": {}, "rate": -1}
    assert settings("my_package>Conv2D", **config) == config


def test_a_missing_setting_is_told():
    with pytest.raises(ModelError) as caught:
        checked_settings("Conv2D", {"kernel_size": 3}, "layer 'conv' (Conv2D)")
    assert str(caught.value) == (
        "layer 'conv' (Conv2D): it has no filters; expected a whole number >= 1"
    )


def test_a_wrong_setting_is_told_with_what_was_expected():
    assert problem("Conv2D", filters=2, kernel_size="abc") == (
        "kernel_size is 'abc'; expected a whole number >= 1, or 2 of them"
    )
    assert problem("Dense", units=None) == "units is null; expected a whole number >= 1"
    assert problem("Dense", units=True) == "units is true; expected a whole number >= 1"
    assert problem("MaxPooling2D", padding="causal") == (
        "padding is 'causal'; expected 'valid' or 'same'"
    )
    assert problem("Conv1D", filters=1, kernel_size=1, padding=7) == (
        "padding is 7; expected 'valid', 'same' or 'causal'"
    )
    assert problem("Flatten", data_format=[]) == (
        "data_format is []; expected 'channels_last' or 'channels_first'"
    )
    assert problem("InputLayer", batch_shape="hello") == (
        "batch_shape is 'hello'; expected at most 8 sizes, each a whole number >= 1 or null"
    )
    assert problem("Concatenate", axis="x") == "axis is 'x'; expected the number of an axis"
    assert problem("Softmax", axis=[0.5]) == (
        "axis is [0.5]; expected the number of an axis, or a list of them"
    )
    assert problem("BatchNormalization", epsilon=float("nan")) == (
        "epsilon is nan; expected a number >= 0"
    )
    assert problem("ReLU", max_value=[]) == "max_value is []; expected a number, or null"
    assert problem("Rescaling", scale=[[1, 2], [3]]) == (
        "scale is [[1, 2], [3]]; expected a number, or lists of numbers of equal lengths"
    )
    assert problem("Permute", dims=[1, 3]) == (
        "dims is [1, 3]; expected the numbers of all axes from 1 on, in some order"
    )
    assert problem("Reshape", target_shape=[-1, -1]) == (
        "target_shape is [-1, -1]; expected at most 8 sizes, one may be -1"
    )
    assert problem("ZeroPadding2D", padding=[[1, -1], 0]) == (
        "padding is [[1, -1], 0]; expected whole numbers >= 0, a pair of them for each axis"
    )
    assert problem("PReLU", shared_axes=[0]) == (
        "shared_axes is [0]; expected a list of axes from 1 on, or null"
    )
    assert problem("GroupNormalization", groups=0) == (
        "groups is 0; expected a whole number >= 1, or -1"
    )
    assert problem("Dense", units=1, activation=3) == (
        "activation is 3; expected the name of an activation, or an object, or null"
    )
    assert problem("Dense", units=1, bias_constraint={"config": 3}) == (
        "bias_constraint is {'config': 3}; expected a name, or an object with a 'config', or null"
    )
    assert problem("Add", trainable="yes") == "trainable is 'yes'; expected true or false"
    assert problem("Add", dtype=32) == (
        "dtype is 32; expected the name of a dtype, or a policy, or null"
    )
    assert problem("UpSampling2D", interpolation=[]) == "interpolation is []; expected a name"
    output_padding = {"filters": 1, "kernel_size": 1, "output_padding": -1}
    assert problem("Conv2DTranspose", **output_padding) == (
        "output_padding is -1; expected a whole number >= 0, or 2 of them, or null"
    )


@pytest.mark.parametrize("size", [0, -1, LARGEST + 1, 10**400, 2.0, "2", [2], [2, 2, 2], [[2, 2]]])
def test_sizes_beyond_all_bounds_are_told(size):
    assert "expected a whole number >= 1, or 2 of them" in problem("MaxPooling2D", pool_size=size)


def test_the_largest_sizes_pass():
    assert settings("MaxPooling2D", pool_size=LARGEST)["pool_size"] == [LARGEST, LARGEST]
    assert "one may be -1" in problem("Reshape", target_shape=[LARGEST, LARGEST, 2])


def test_a_dilation_is_checked_also_where_there_is_none():
    message = "its dilation_rate is 'x'; expected a whole number >= 1, or 2 of them"
    with pytest.raises(ModelError, match=message):
        settings("MaxPooling2D", pool_size=2, dilation_rate="x")


def test_a_long_value_is_cut():
    assert len(problem("Dense", units="x" * 10**6)) < 200


def test_the_shape_of_a_tensor_is_checked():
    assert checked_shape([None, 3], WHERE) == (None, 3)
    with pytest.raises(ModelError) as caught:
        checked_shape([None, -3], WHERE)
    assert str(caught.value) == (
        f"{WHERE}: its shape is [None, -3]; expected at most 8 sizes, each a whole number >= 1 or "
        "null"
    )


def test_a_name_longer_than_any_is_told():
    name = "x" * (LONGEST_NAME + 1)
    with pytest.raises(ModelError) as caught:
        text_in({"class_name": name}, "class_name", "layer 'a'")
    assert str(caught.value) == (
        "layer 'a': a class_name of 1,001 characters, 'xxxxxxxxxxxx...xxxxxxxxxxxxx'; expected at "
        "most 1,000"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
PLACES = [(kind, key) for kind in sorted(SETTINGS_OF) for key in SETTINGS_OF[kind]]


@given(place=st.sampled_from(PLACES), value=JSON)
def test_any_value_is_taken_or_told(place, value):
    """What is taken once is taken as it came back, so it has one form."""
    kind, key = place
    needed = {"filters": 1, "kernel_size": 1} if "Conv" in kind else {}
    try:
        checked = settings(kind, **{**needed, key: value})
    except ModelError as error:
        assert str(error).startswith(f"{WHERE}: it")
        return
    assert settings(kind, **checked) == checked
