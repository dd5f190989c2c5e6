"""Models of every age of Keras say the same in the words of Keras 3."""

from __future__ import annotations

import copy
import json

import keras
import numpy as np
import pytest
from keras import layers

from allconv.errors import ModelError
from allconv.read.dialects import in_keras_3_words
from tests.helpers import networks
from tests.helpers.keras_comparison import assert_close, outputs
from tests.helpers.old_models import (
    built,
    called,
    conv,
    functional,
    graph_of,
    image,
    kinds_of,
    layer,
    sequential,
    shapes_of,
)
from tests.helpers.randomized import randomize

KERAS_1_CONV = {
    "name": "convolution2d_1",
    "trainable": True,
    "nb_filter": 6,
    "nb_row": 3,
    "nb_col": 2,
    "init": "glorot_uniform",
    "activation": "relu",
    "border_mode": "valid",
    "subsample": [2, 1],
    "dim_ordering": "tf",
    "W_regularizer": {"name": "WeightRegularizer", "l1": 0.0, "l2": 0.01},
    "b_regularizer": None,
    "activity_regularizer": None,
    "W_constraint": {"name": "MaxNorm", "m": 2, "axis": 0},
    "b_constraint": None,
    "bias": True,
}


def some_images(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(2, *shape)).astype("float32") for shape in shapes]


def same_numbers(found, expected, *shapes):
    """Two models with the same weights give the same outputs."""
    found.set_weights(expected.get_weights())
    images = some_images(*shapes)
    pairs = zip(outputs(found, images), outputs(expected, images), strict=True)
    for pair in pairs:
        assert_close(*pair)


def test_a_sequential_of_keras_1_is_a_bare_list_whose_first_layer_says_the_input():
    first = layer("Convolution2D", **KERAS_1_CONV, batch_input_shape=[None, 8, 8, 3])
    pool = layer(
        "MaxPooling2D",
        name="pool",
        pool_size=[2, 2],
        strides=[2, 2],
        border_mode="same",
        dim_ordering="tf",
    )
    dense = layer("Dense", name="dense", output_dim=5, input_dim=None, activation="softmax")
    model = {
        "class_name": "Sequential",
        "config": [first, pool, layer("Flatten", name="flat"), dense],
    }
    expected = [(None, 8, 8, 3), (None, 3, 7, 6), (None, 2, 4, 6), (None, 48), (None, 5)]
    assert shapes_of(model, "1.2.2") == expected
    assert [one.name for one in built(model, "1.2.2").layers] == [
        "convolution2d_1",
        "pool",
        "flat",
        "dense",
    ]


@pytest.mark.parametrize(
    ("first", "shape"),
    [
        (conv("c", batch_input_shape=[7, 8, 8, 3], dtype="float32"), (7, 8, 8, 3)),
        (conv("c", batch_shape=[None, 8, 8, 3]), (None, 8, 8, 3)),
        (conv("c", input_shape=[8, 8, 3]), (None, 8, 8, 3)),
        (layer("Dense", name="d", output_dim=2, input_dim=9), (None, 9)),
        (
            layer("Conv1D", name="c", filters=2, kernel_size=[3], input_dim=4, input_length=9),
            (None, 9, 4),
        ),
        (
            layer("Embedding", name="e", input_dim=99, output_dim=4, input_length=7),
            (None, 7),
        ),
    ],
)
def test_every_way_in_which_a_first_layer_says_its_input_makes_an_input_layer(first, shape):
    graph = graph_of(sequential(first), "2.2.4")
    assert [node.shape for node in graph.inputs] == [shape]
    assert graph.inputs[0].name == f"{first['config']['name']}_input"


def test_the_first_of_nested_models_says_the_input_and_none_says_it_twice():
    base = functional(
        [image("in"), called(conv("c"), [["in", 0, 0, {}]])], ["in"], [["c", 0, 0]], "base"
    )
    start = sequential(base, layer("GlobalAveragePooling2D", name="gap"), name="start")
    head = sequential(layer("Dense", name="d", units=2, batch_input_shape=[None, 4]), name="head")
    model = sequential(start, head)
    assert kinds_of(model, "2.4.0") == ["InputLayer", "Conv2D", "GlobalAveragePooling2D", "Dense"]
    assert built(model, "2.4.0").output_shape == (None, 2)


def test_a_model_that_was_built_later_is_read_on_the_shape_it_was_built_on():
    model = sequential(conv("c"))
    model["config"]["build_input_shape"] = [None, 8, 8, 3]
    assert shapes_of(model, "2.4.0")[-1] == (None, 6, 6, 4)


def test_a_model_without_any_shape_is_an_error_of_the_parser():
    with pytest.raises(ModelError, match="is not built, so its shapes are unknown"):
        graph_of(sequential(conv("c")), "2.4.0")


def test_nested_models_of_keras_1_get_names_where_they_had_none():
    inner = {"class_name": "Sequential", "config": [conv("c", batch_input_shape=[None, 8, 8, 3])]}
    model = {"class_name": "Sequential", "config": [inner, layer("Flatten", name="f")]}
    described = in_keras_3_words(model, "2.0.8")["config"]
    names = [one["config"]["name"] for one in described["layers"]]
    assert len(set(names)) == 3
    assert shapes_of(model, "2.0.8")[-1] == (None, 144)


def merge_of(branches, mode="concat", **settings):
    return layer("Merge", name="merge", mode=mode, mode_type="raw", layers=branches, **settings)


def test_a_sequential_that_begins_with_a_merge_is_a_functional_model_of_its_branches():
    left = [
        layer("Dense", name="l1", output_dim=4, batch_input_shape=[None, 7]),
        layer("Dense", name="l2", output_dim=3),
    ]
    right = [layer("Dense", name="r1", output_dim=2, batch_input_shape=[None, 5])]
    branches = [{"class_name": "Sequential", "config": branch} for branch in (left, right)]
    model = {
        "class_name": "Sequential",
        "config": [merge_of(branches, concat_axis=-1), layer("Dense", name="top", output_dim=6)],
    }
    inputs = keras.Input((7,)), keras.Input((5,))
    joined = layers.Concatenate()(
        [layers.Dense(3)(layers.Dense(4)(inputs[0])), layers.Dense(2)(inputs[1])]
    )
    expected = randomize(keras.Model(inputs, layers.Dense(6)(joined)))
    same_numbers(built(model, "1.1.0"), expected, (7,), (5,))


def test_a_merge_of_merges_is_read_from_the_innermost_on():
    branches = [
        {
            "class_name": "Sequential",
            "config": [layer("Dense", name=name, output_dim=4, batch_input_shape=[None, 7])],
        }
        for name in ("a", "b", "c")
    ]
    inner = {"class_name": "Sequential", "config": [merge_of(branches[:2], "sum")]}
    inner["config"][0]["config"]["name"] = "inner"
    model = {"class_name": "Sequential", "config": [merge_of([inner, branches[2]], "mul")]}
    kinds = kinds_of(model, "1.0.0")
    assert kinds.count("InputLayer") == kinds.count("Dense") == 3
    assert {"Add", "Multiply"} <= set(kinds)


def test_a_branch_without_a_shape_is_an_error():
    branch = {"class_name": "Sequential", "config": [layer("Dense", name="d", output_dim=4)]}
    model = {"class_name": "Sequential", "config": [merge_of([branch])]}
    with pytest.raises(ModelError, match="branch before a Merge does not say the shape"):
        in_keras_3_words(model, "1.0.0")


@pytest.mark.parametrize("kwargs", [[], [{}]], ids=["Keras 1", "Keras 2"])
def test_a_functional_model_of_keras_1_and_2_has_its_calls_in_lists(kwargs):
    model = functional(
        [
            image(),
            called(conv("left"), [["image", 0, 0, *kwargs]]),
            called(conv("right"), [["image", 0, 0, *kwargs]]),
            called(
                layer("Subtract", name="s"), [["left", 0, 0, *kwargs], ["right", 0, 0, *kwargs]]
            ),
        ],
        ["image"],
        [["s", 0, 0]],
    )
    x = keras.Input((8, 8, 3))
    y = layers.Subtract()([layers.Conv2D(4, 3)(x), layers.Conv2D(4, 3)(x)])
    same_numbers(built(model, "2.1.0"), randomize(keras.Model(x, y)), (8, 8, 3))


def test_keras_loads_the_old_form_of_a_model_to_the_same_numbers():
    model = functional(
        [
            image(),
            called(conv("conv", data_format="channels_last"), [["image", 0, 0, {}]]),
            called(layer("ReLU", name="relu"), [["conv", 0, 0, {}]]),
            called(layer("Add", name="add"), [["conv", 0, 0, {}], ["relu", 0, 0, {}]]),
        ],
        ["image"],
        [["add", 0, 0], ["relu", 0, 0]],
        class_name="Functional",
    )
    # Keras takes the list around the one input at its word.
    loaded = keras.Model.from_config(copy.deepcopy(model["config"]))
    inputs = keras.Input((8, 8, 3))
    expected = keras.Model(inputs, loaded([inputs]))
    same_numbers(built(model, "2.4.0"), randomize(expected), (8, 8, 3))


def nested(first):
    """A model that calls two others, each twice; their calls are counted from `first` on."""
    inner = sequential(
        layer("InputLayer", name="in", batch_input_shape=[None, 8, 8, 3]),
        conv("conv", filters=3, padding="same"),
        name="inner",
    )
    two = functional(
        [image("start"), called(layer("ReLU", name="relu"), [["start", 0, 0, {}]])],
        ["start"],
        [["relu", 0, 0], ["start", 0, 0]],
        "two",
    )
    return functional(
        [
            image(),
            called(inner, [["image", 0, 0, {}]], [["inner", first, 0, {}]]),
            called(two, [["inner", first + 1, 0, {}]], [["two", first, 1, {}]]),
            called(layer("Add", name="add"), [["two", first, 0, {}], ["two", first + 1, 0, {}]]),
        ],
        ["image"],
        [["add", 0, 0], ["two", first + 1, 1], ["inner", first, 0]],
    )


@pytest.mark.parametrize("first", [0, 1])
def test_calls_of_nested_models_count_alike_whether_their_own_first_call_was_counted(first):
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 3, padding="same")])
    start = keras.Input((8, 8, 3))
    two = keras.Model(start, [layers.ReLU()(start), start])
    x = keras.Input((8, 8, 3))
    once = inner(x)
    left, same = two(inner(once))
    right, last = two(same)
    expected = randomize(keras.Model(x, [layers.Add()([left, right]), last, once]))
    same_numbers(built(nested(first), "2.4.0"), expected, (8, 8, 3))
    assert [node.shape for node in graph_of(nested(first), "2.4.0").outputs] == [
        (None, 8, 8, 3)
    ] * 3


def test_a_call_that_a_layer_never_had_is_an_error():
    model = functional(
        [image(), called(conv("conv"), [["image", 0, 0, {}]])], ["image"], [["conv", 3, 0]]
    )
    message = "layer 'conv' is called 1 times, but the result of its call number 4 is taken"
    with pytest.raises(ModelError, match=message):
        in_keras_3_words(model, "2.4.0")


def test_tensors_among_the_other_arguments_of_a_call_are_found():
    attention = layer("MultiHeadAttention", name="mha", num_heads=2, key_dim=2)
    query = image("query", (4, 3))
    model = functional(
        [query, called(attention, [["query", 0, 0, {"value": ["query", 0, 0]}]])],
        ["query"],
        [["mha", 0, 0]],
    )
    (output,) = graph_of(model, "2.8.0").outputs
    assert [source.name for source in output.inputs] == ["query", "query"]
    assert set(output.kwargs) == {"value"}


def test_how_a_layer_is_called_is_kept():
    norm = layer("BatchNormalization", name="norm", axis=[3])
    model = functional(
        [image(), called(norm, [["image", 0, 0, {"training": False}]])],
        ["image"],
        [["norm", 0, 0]],
    )
    assert graph_of(model, "2.8.0").outputs[0].kwargs == {"training": False}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([["a", 0, 0]], ["a", 0, 0]),
        (["a", 0, 0], ["a", 0, 0]),
        ([["a", 0, 0], ["b", 0, 0]], [["a", 0, 0], ["b", 0, 0]]),
        ({"y": ["a", 0, 0], "x": ["b", 0, 0]}, {"y": ["a", 0, 0], "x": ["b", 0, 0]}),
        ([{"y": [["a", 0, 0]]}], {"y": [["a", 0, 0]]}),
    ],
)
def test_one_output_stood_in_a_list_and_other_nests_are_kept(old, new):
    model = functional(
        [
            image(),
            called(conv("a"), [["image", 0, 0]]),
            called(conv("b"), [["image", 0, 0]]),
        ],
        ["image"],
        old,
    )
    described = in_keras_3_words(model, "2.4.0")["config"]
    assert described["output_layers"] == new
    assert described["input_layers"] == ["image", 0, 0]


@pytest.mark.parametrize(
    "make",
    [networks.mnist_cnn, networks.twins, networks.residual, networks.on_signals],
    ids=lambda make: make.__name__,
)
def test_what_keras_3_wrote_comes_back_with_the_same_meaning(make):
    model = make()
    written = json.loads(model.to_json())
    kept = copy.deepcopy(written)
    same = built(written)
    assert written == kept, "the description was changed"
    assert same.output_shape == model.output_shape
    for found, expected in zip(same.layers, model.layers, strict=True):
        assert type(found) is type(expected)
        assert found.get_config() == expected.get_config()


def test_the_class_of_somebodys_own_functional_model_is_kept():
    model = functional(
        [image(), called(conv("conv"), [["image", 0, 0]])],
        ["image"],
        [["conv", 0, 0]],
        class_name="OwnModel",
    )
    assert in_keras_3_words(model, "2.4.0")["class_name"] == "OwnModel"
    assert shapes_of(model, "2.4.0")[-1] == (None, 6, 6, 4)


def test_a_nested_model_of_somebodys_own_class_is_opaque():
    own = functional([image("in")], ["in"], [["in", 0, 0]], "own", class_name="OwnModel")
    model = functional([image(), called(own, [["image", 0, 0]])], ["image"], [["own", 0, 0]])
    assert kinds_of(model, "2.4.0") == ["InputLayer", "Custom>OwnModel"]


@pytest.mark.parametrize("config", [{}, {"name": "own"}])
def test_a_model_without_a_list_of_layers_is_an_error_that_says_what_to_do(config):
    message = (
        r"the model \(Own\) has no list of layers: .* write it as a Functional model, "
        r"keras.Model\(inputs, outputs\)"
    )
    with pytest.raises(ModelError, match=message):
        in_keras_3_words({"class_name": "Own", "config": config})


def in_model(**changes):
    """A small model with one layer's description changed."""
    data = {**called(conv("conv"), [["image", 0, 0, {}]]), **changes}
    return functional([image(), data], ["image"], [["conv", 0, 0]])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (5, "the model: expected a text at 'class_name', got 5"),
        (in_model(class_name=None), "layer 'conv': expected a text at 'class_name', got None"),
        (in_model(config=[1]), "layer 'conv': expected an object at 'config', got \\[1\\]"),
        (in_model(name=3), "layer 1: expected a name, got 3"),
        (in_model(module=[]), "layer 'conv': expected a text at 'module', got \\[\\]"),
        (in_model(inbound_nodes=None), "layer 'conv': expected a list at 'inbound_nodes'"),
        (in_model(inbound_nodes=[[]]), "layer 'conv': it is called on \\[\\], which is no tensor"),
        (in_model(inbound_nodes=[["image"]]), "it is called on 'image', which is no tensor"),
        (
            in_model(inbound_nodes=[["other", 0, 0]]),
            "layer 'conv': there is no layer 'other' in the model",
        ),
        (
            in_model(inbound_nodes=[[["image", "0", 0]]]),
            "layer 'conv': expected a tensor, got \\['image', '0', 0\\]",
        ),
        (
            in_model(inbound_nodes=[{"args": 1, "kwargs": {}}]),
            "layer 'conv': expected a list at 'args', got 1",
        ),
        (
            in_model(inbound_nodes=[{"args": [{"class_name": "__numpy__"}], "kwargs": {}}]),
            "layer 'conv': a constant among its arguments is damaged",
        ),
        (in_model(name="image"), "layer 'image': the model has two layers of this name"),
        (
            functional([image()], ["image"], None),
            "model 'model': its output_layers: expected tensors, got None",
        ),
        (sequential("conv"), "layer 0: expected a layer, got 'conv'"),
        (
            sequential(layer("InputLayer", name="in")),
            "layer 'in': an InputLayer without a shape",
        ),
    ],
)
def test_a_damaged_description_is_an_error_that_names_the_layer(model, message):
    with pytest.raises(ModelError, match=message):
        in_keras_3_words(model, "2.4.0")


def test_models_within_models_have_an_end():
    model = sequential(conv("c", batch_input_shape=[None, 8, 8, 3]))
    for i in range(100):
        model = sequential(model, name=f"level_{i}")
    with pytest.raises(ModelError, match="models lie more than 32 deep in one another"):
        in_keras_3_words(model)


def test_arguments_within_arguments_have_an_end():
    deep = ["image", 0, 0]
    for _ in range(1000):
        deep = [deep]
    with pytest.raises(ModelError, match="layer 'conv': arguments are nested more than 32 deep"):
        in_keras_3_words(in_model(inbound_nodes=[deep]), "2.4.0")


def test_a_wrapper_around_wrappers_has_an_end():
    wrapped = layer("Dense", name="d", units=2)
    for i in range(1000):
        wrapped = layer("TimeDistributed", name=f"t{i}", layer=wrapped)
    with pytest.raises(ModelError, match="layers are wrapped more than 16 deep"):
        in_keras_3_words(sequential(wrapped))
