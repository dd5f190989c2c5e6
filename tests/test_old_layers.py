"""Layers of every age of Keras, and their settings, in the words that Keras 3 takes."""

from __future__ import annotations

import inspect

import keras
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from allconv.layers.kinds import BINARY_OPS, UNARY_OPS
from allconv.layers.layer_shapes import KNOWN_KINDS, output_shape
from allconv.read.dialects import in_keras_3_words
from allconv.read.dialects.class_names import ALIASES, LAYERS, REMOVED, module_of_operation
from allconv.read.dialects.setting_objects import (
    ACTIVATIONS,
    CONSTRAINTS,
    INITIALIZERS,
    OTHER_NAMES,
    REGULARIZERS,
)
from allconv.read.layer_tree import kind_of
from tests.helpers.drawn_layers import DRAWN, drawn_layer
from tests.helpers.keras_versions import since_keras
from tests.helpers.old_models import layer, sequential

NO_LAYERS = {"FlaxLayer", "InputSpec", "JaxLayer", "Layer", "TFSMLayer", "TorchModuleWrapper"}
"""Names of `keras.layers` that no configuration alone makes a layer of."""


def translated(class_name, version="2.4.0", **config):
    """The kind and the configuration of a layer in Keras 3's words."""
    model = sequential(layer(class_name, name="x", **config))
    (described,) = (
        one
        for one in in_keras_3_words(model, version)["config"]["layers"]
        if one["config"]["name"] == "x"
    )
    return kind_of(described), {k: v for k, v in described["config"].items() if k != "name"}


@since_keras(3, 15, "all the classes that are known")
def test_the_classes_of_keras_are_known():
    public = {name for name in dir(keras.layers) if inspect.isclass(getattr(keras.layers, name))}
    own = {name for name in public if getattr(keras.layers, name).__name__ == name}
    own.add("GroupQueryAttention")  # exported by another name than its class has
    assert own - NO_LAYERS - {"Wrapper"} == LAYERS


def test_other_names_are_those_of_classes_that_keras_knows_by_them():
    assert set(ALIASES.values()) <= LAYERS
    for alias, kind in ALIASES.items():
        known = getattr(keras.layers, alias, None)
        assert known is None or known is getattr(keras.layers, kind)


def test_removed_classes_are_in_keras_no_more():
    assert not [name for name in REMOVED if hasattr(keras.layers, name)]


def test_the_activations_are_those_that_keras_gets_by_name():
    exported = (getattr(keras.activations, name) for name in dir(keras.activations))
    public = {function.__name__ for function in exported if inspect.isfunction(function)}
    assert public - {"deserialize", "get", "serialize"} == ACTIVATIONS
    for alias, name in OTHER_NAMES.items():
        if alias != "softmax_v2":  # tf.keras' alone
            assert keras.activations.get(alias) is keras.activations.get(name)


@since_keras(3, 15, "all the settings that are known")
@pytest.mark.parametrize(
    ("module", "classes"),
    [
        (keras.initializers, INITIALIZERS),
        (keras.regularizers, REGULARIZERS),
        (keras.constraints, CONSTRAINTS),
    ],
    ids=["initializers", "regularizers", "constraints"],
)
def test_initializers_regularizers_and_constraints_take_the_settings_that_are_kept(module, classes):
    for name, taken in classes.items():
        parameters = set(inspect.signature(getattr(module, name)).parameters)
        assert taken == parameters - {"args", "kwargs"}, name


def test_operations_lie_where_keras_has_them():
    for kind in UNARY_OPS | BINARY_OPS | {"ops.Cast", "ops.Softmax", "ops.StopGradient"}:
        name = kind.removeprefix("ops.")
        data = {"module": module_of_operation(name), "class_name": name, "config": {}}
        needs = {
            "Cast": {"dtype": "float16"},
            "Clip": {"x_min": 0.0, "x_max": 1.0},
            "Threshold": {"threshold": 0.0, "default_value": 0.0},
        }
        made = keras.saving.deserialize_keras_object(data | {"config": needs.get(name, {})})
        assert type(made).__name__ == name


@pytest.mark.parametrize("kind", sorted(set(DRAWN) & LAYERS - {"RandomShear"}))
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), version=st.sampled_from(["2.15.0", "3.8.0"]))
def test_a_layer_of_today_is_translated_to_itself(kind, data, version):
    try:
        made, _ = drawn_layer(data.draw, kind)
        config = made.get_config()
        type(made).from_config(config)
    except (TypeError, ValueError):
        reject()  # settings that do not fit together; Keras does not read its RandomShear again
    found, kept = translated(kind, version, **{k: v for k, v in config.items() if k != "name"})
    assert found == kind
    again = type(made).from_config({**kept, "name": config["name"]})
    assert again.get_config() == config


AUGMENTATIONS_BY_FACTOR = """
Brightness ColorDegeneration Contrast Hue Rotation Saturation Sharpness
"""
LEFTOVERS = {
    "batch_input_shape": [None, 9, 9, 4],
    "input_spec": None,
    "dtype": {"class_name": "Policy", "config": {"name": "float32"}},
}
NEEDED = {
    **{f"{name}Conv{rank}D": {"filters": 4} for name in ("", "Separable") for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": {"filters": 4} for rank in (1, 2, 3)},
    "Activation": {"activation": "relu"},
    "Dense": {"units": 3},
    "InputLayer": {"batch_shape": [None, 9]},
    "Permute": {"dims": [2, 1]},
    "RepeatVector": {"n": 2},
    "Reshape": {"target_shape": [9]},
    "RandomPosterization": {"factor": 4},
    "Rescaling": {"scale": 2.0, "offset": 0.0},
    "Resizing": {"height": 3, "width": 3},
    "GaussianNoise": {"stddev": 0.1},
    "ThresholdedReLU": {"theta": 1.0},
    "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
    "RandomZoom": {"height_factor": 0.1},
    **{f"Random{what}": {"factor": 0.1} for what in AUGMENTATIONS_BY_FACTOR.split()},
}
"""What the classes cannot do without."""


def needed(kind):
    config = dict(NEEDED.get(kind, {}))
    if "Conv" in kind:
        config["kernel_size"] = 3
    if kind.startswith(("MaxPooling", "AveragePooling")):
        config["pool_size"] = 2
    if "Dropout" in kind:
        config["rate"] = 0.2
    return config


@pytest.mark.parametrize(
    "kind", sorted(kind for kind in KNOWN_KINDS & (LAYERS | {"ThresholdedReLU"}))
)
def test_keras_takes_every_known_class_with_what_older_files_left_in_it(kind):
    config = needed(kind)
    found, kept = translated(kind, "2.4.0", **{**LEFTOVERS, **config})
    made = getattr(keras.layers, found).from_config({**kept, "name": "x"})
    assert made.name == "x"
    assert set(kept) <= {*made.get_config(), "axis", "dtype", "data_format"}


@pytest.mark.parametrize(
    ("old", "config", "kind", "expected"),
    [
        (
            "Convolution1D",
            {"nb_filter": 4, "filter_length": 3, "subsample_length": 2, "border_mode": "same"},
            "Conv1D",
            {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"},
        ),
        (
            "Convolution2D",
            {"nb_filter": 4, "nb_row": 3, "nb_col": 5, "subsample": [2, 1], "dim_ordering": "th"},
            "Conv2D",
            {
                "filters": 4,
                "kernel_size": [3, 5],
                "strides": [2, 1],
                "data_format": "channels_first",
            },
        ),
        (
            "Convolution3D",
            {"nb_filter": 2, "kernel_dim1": 1, "kernel_dim2": 2, "kernel_dim3": 3, "bias": False},
            "Conv3D",
            {"filters": 2, "kernel_size": [1, 2, 3], "use_bias": False},
        ),
        (
            "AtrousConvolution2D",
            {"nb_filter": 4, "nb_row": 3, "nb_col": 3, "atrous_rate": [2, 2]},
            "Conv2D",
            {"dilation_rate": [2, 2]},
        ),
        (
            "SeparableConvolution2D",
            {"nb_filter": 4, "nb_row": 3, "nb_col": 3, "depth_multiplier": 2},
            "SeparableConv2D",
            {"filters": 4, "kernel_size": [3, 3], "depth_multiplier": 2},
        ),
        (
            "Deconvolution2D",
            {
                "nb_filter": 4,
                "nb_row": 3,
                "nb_col": 3,
                "subsample": [2, 2],
                "border_mode": "same",
                "dim_ordering": "tf",
                "output_shape": [None, 28, 28, 4],
            },
            "Conv2DTranspose",
            {"filters": 4, "strides": [2, 2], "padding": "same"},
        ),
        (
            "MaxPooling1D",
            {"pool_length": 3, "stride": 2, "border_mode": "valid"},
            "MaxPooling1D",
            {"pool_size": 3, "strides": 2, "padding": "valid", "data_format": "channels_last"},
        ),
        (
            "AveragePooling2D",
            {"pool_size": [2, 2], "strides": [1, 1], "border_mode": "same", "dim_ordering": "th"},
            "AveragePooling2D",
            {"padding": "same", "strides": [1, 1], "data_format": "channels_first"},
        ),
        (
            "GlobalMaxPooling2D",
            {"dim_ordering": "default"},
            "GlobalMaxPooling2D",
            {"data_format": "channels_last"},
        ),
        ("ZeroPadding1D", {"padding": {"left_pad": 1, "right_pad": 2}}, None, {"padding": [1, 2]}),
        ("ZeroPadding2D", {"padding": [1, 2]}, None, {"padding": [1, 2]}),
        ("ZeroPadding2D", {"padding": [1, 2, 3, 4]}, None, {"padding": [[1, 2], [3, 4]]}),
        (
            "ZeroPadding2D",
            {"padding": {"top_pad": 1, "right_pad": 4}},
            None,
            {"padding": [[1, 0], [0, 4]]},
        ),
        ("Cropping2D", {"cropping": [[1, 2], [3, 4]]}, None, {"cropping": [[1, 2], [3, 4]]}),
        ("UpSampling1D", {"length": 3}, None, {"size": 3}),
        ("Dense", {"output_dim": 7, "input_dim": 3, "bias": True}, None, {"units": 7}),
        ("Dropout", {"p": 0.3}, None, {"rate": 0.3}),
        ("SpatialDropout2D", {"p": 0.3, "dim_ordering": "tf"}, None, {"rate": 0.3}),
        ("GaussianNoise", {"sigma": 0.3}, None, {"stddev": 0.3}),
        ("GaussianDropout", {"p": 0.3}, None, {"rate": 0.3}),
        ("LeakyReLU", {"alpha": 0.3}, None, {"negative_slope": 0.3}),
        ("ThresholdedReLU", {"theta": 0.5}, "ReLU", {"threshold": 0.5}),
        ("Flatten", {}, None, {"data_format": "channels_last"}),
        (
            "BatchNormalization",
            {"mode": 0, "axis": 1, "epsilon": 1e-5, "momentum": 0.9, "beta_init": "zero"},
            None,
            {"axis": 1, "epsilon": 1e-5, "momentum": 0.9},
        ),
        (
            "Embedding",
            {"input_dim": 9, "output_dim": 3, "input_length": 4, "init": "uniform"},
            None,
            {"input_dim": 9, "output_dim": 3},
        ),
        (
            "LSTM",
            {
                "output_dim": 4,
                "inner_init": "orthogonal",
                "forget_bias_init": "one",
                "dropout_W": 0.1,
                "dropout_U": 0.2,
                "consume_less": "cpu",
                "input_dim": 3,
                "input_length": 5,
            },
            None,
            {"units": 4, "unit_forget_bias": True, "dropout": 0.1, "recurrent_dropout": 0.2},
        ),
        ("Merge", {"mode": "sum", "concat_axis": -1}, "Add", {}),
        ("Merge", {"mode": "mul"}, "Multiply", {}),
        ("Merge", {"mode": "ave"}, "Average", {}),
        ("Merge", {"mode": "max"}, "Maximum", {}),
        ("Merge", {"mode": "concat", "concat_axis": 1}, "Concatenate", {"axis": 1}),
    ],
)
def test_a_layer_of_keras_1_has_todays_names_and_keras_takes_it(old, config, kind, expected):
    found, kept = translated(old, "1.2.2", **config)
    assert found == (kind or old)
    assert {key: kept[key] for key in expected} == expected
    getattr(keras.layers, found).from_config({**kept, "name": "x"})


@pytest.mark.parametrize(
    ("old", "config", "kind"),
    [
        ("BatchNormalization", {"mode": 1}, "older_keras>BatchNormalization(mode=1)"),
        ("BatchNormalization", {"mode": 2}, "older_keras>BatchNormalization(mode=2)"),
        ("BatchNormalization", {"renorm": True}, "older_keras>BatchNormalization(renorm=True)"),
        ("Convolution1D", {"border_mode": "full"}, "older_keras>Convolution1D(border_mode=full)"),
        ("Merge", {"mode": "dot"}, "older_keras>Merge(mode=dot)"),
        ("Merge", {"mode": "f", "mode_type": "lambda"}, "older_keras>Merge(mode=a function)"),
        ("DepthwiseConv2D", {"groups": 2}, "older_keras>DepthwiseConv2D(groups=2)"),
        ("ThresholdedReLU", {"theta": -1}, "older_keras>ThresholdedReLU(theta=-1)"),
        ("MaxoutDense", {}, "older_keras>MaxoutDense"),
        ("CuDNNLSTM", {}, "older_keras>CuDNNLSTM"),
        ("LocallyConnected2D", {}, "older_keras>LocallyConnected2D"),
        ("MyLayer", {}, "Custom>MyLayer"),
        ("Addons>GroupNormalization", {}, "Addons>GroupNormalization"),
        ("Lambda", {"function": ["code", None, None]}, "Lambda"),
    ],
)
def test_what_keras_3_cannot_do_or_does_not_know_is_a_class_outside_of_it(old, config, kind):
    assert translated(old, "1.2.2", **config)[0] == kind


@pytest.mark.parametrize("size", range(5, 40))
@pytest.mark.parametrize(("window", "stride"), [(3, 1), (3, 2), (2, 3), (5, 4)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_deconvolution_of_keras_1_is_kept_where_todays_gives_its_size(
    size, window, stride, padding
):
    """Of the map that a convolution makes of the given size, or of no map at all."""
    config = {
        "filters": 1,
        "kernel_size": [window] * 2,
        "strides": [stride] * 2,
        "padding": padding,
    }
    small = output_shape("Conv2D", config, [(None, size, size, 1)])
    today = keras.layers.Conv2DTranspose(**config).compute_output_shape(small)
    kind, _ = translated(
        "Deconvolution2D",
        "1.2.2",
        nb_filter=1,
        nb_row=window,
        nb_col=window,
        subsample=[stride] * 2,
        border_mode=padding,
        dim_ordering="tf",
        output_shape=[None, size, size, 1],
    )
    assert (kind == "Conv2DTranspose") == (today[1] == size)


@pytest.mark.parametrize(
    ("module", "registered", "kind"),
    [
        ("keras.layers", None, "Dense"),
        ("keras.src.layers.core.dense", "Dense", "Dense"),
        ("tensorflow.keras.layers", None, "Dense"),
        ("tensorflow.python.keras.layers.core", None, "Dense"),
        ("tf_keras.layers", None, "Dense"),
        ("keras_hub.src.layers", "keras_hub>Dense", "keras_hub>Dense"),
        ("my_package", None, "my_package>Dense"),
        ("os", None, "os>Dense"),
        (None, "Custom>Dense", "Custom>Dense"),
        (None, None, "Custom>Dense"),
    ],
)
def test_a_module_tells_keras_layers_from_those_of_others(module, registered, kind):
    data = {**layer("Dense", name="x", units=3), "module": module, "registered_name": registered}
    for version in ("2.15.0", "3.5.0"):
        (found,) = in_keras_3_words(sequential(data), version)["config"]["layers"]
        assert kind_of(found) == kind


def test_a_class_that_only_a_later_keras_has_stays_keras_own():
    data = {**layer("Newest", name="x"), "module": "keras.layers"}
    (found,) = in_keras_3_words(sequential(data), "3.99.0")["config"]["layers"]
    assert kind_of(found) == "Newest"
    (found,) = in_keras_3_words(sequential(data), "2.13.0")["config"]["layers"]
    assert kind_of(found) == "older_keras>Newest"


def test_a_wrapped_layer_is_translated_as_well():
    inner = layer("Dense", name="inner", output_dim=3)
    _, config = translated("TimeDistributed", "1.2.2", layer=inner)
    assert config["layer"]["config"]["units"] == 3
    made = keras.layers.TimeDistributed.from_config({**config, "name": "x"})
    assert made.layer.units == 3


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("float32", "float32"),
        ({"class_name": "Policy", "config": {"name": "mixed_float16"}}, "mixed_float16"),
        (
            {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "bfloat16"}},
            "bfloat16",
        ),
        ({"class_name": "Policy", "config": {"name": "infer"}}, None),
        (None, None),
    ],
)
def test_a_dtype_policy_is_its_plain_name(written, expected):
    assert translated("Dense", units=3, dtype=written)[1].get("dtype") == expected


def test_a_quantized_dtype_policy_is_left_as_it_is():
    policy = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}
    assert translated("Dense", "3.5.0", units=3, dtype=policy)[1]["dtype"] == policy


def own(name):
    return {"class_name": "function", "config": name}


@pytest.mark.parametrize(
    ("written", "version", "expected"),
    [
        (None, "2.4.0", "linear"),
        ("relu", "2.4.0", "relu"),
        ("swish", "2.4.0", "silu"),
        ("softmax_v2", "2.1.0", "softmax"),
        ("my_function", "2.4.0", own("my_function")),
        ("my_function", "3.4.0", own("my_function")),
        ("hard_sigmoid", "2.4.0", own("hard_sigmoid of Keras 2")),
        ("hard_sigmoid", "3.4.0", "hard_sigmoid"),
        ({"module": "keras.activations", **own("relu")}, "2.13.0", "relu"),
        ({"module": "builtins", **own("relu")}, "2.13.0", {"module": "builtins", **own("relu")}),
        (
            {"class_name": "LeakyReLU", "config": {}},
            "2.4.0",
            {"class_name": "LeakyReLU", "config": {}},
        ),
    ],
)
def test_an_activation_is_a_name_of_keras_or_left_to_be_refused(written, version, expected):
    assert translated("Dense", version, units=3, activation=written)[1]["activation"] == expected


@pytest.mark.parametrize(
    ("key", "written", "class_name", "config"),
    [
        ("kernel_initializer", "glorot_uniform", "GlorotUniform", {}),
        ("kernel_initializer", "one", "Ones", {}),
        ("bias_initializer", "zero", "Zeros", {}),
        ("kernel_initializer", "normal", "RandomNormal", {}),
        (
            "kernel_initializer",
            {"class_name": "TruncatedNormal", "config": {"stddev": 0.1, "dtype": "float32"}},
            "TruncatedNormal",
            {"stddev": 0.1},
        ),
        (
            "kernel_initializer",
            {"class_name": "GlorotUniformV2", "config": {}},
            "GlorotUniform",
            {},
        ),
        ("kernel_regularizer", "l2", "L2", {}),
        (
            "kernel_regularizer",
            {"name": "L1L2Regularizer", "l1": 0.1, "l2": 0.2},
            "L1L2",
            {"l1": 0.1, "l2": 0.2},
        ),
        (
            "kernel_regularizer",
            {"class_name": "L2", "config": {"l2": 0.2}},
            "L2",
            {"l2": 0.2},
        ),
        (
            "kernel_constraint",
            {"name": "MaxNorm", "m": 2, "axis": 0},
            "MaxNorm",
            {"max_value": 2, "axis": 0},
        ),
        ("kernel_constraint", {"name": "NonNeg"}, "NonNeg", {}),
        ("kernel_constraint", "nonneg", "NonNeg", {}),
        (
            "kernel_constraint",
            {"class_name": "MinMaxNorm", "config": {"min_value": 0.1}},
            "MinMaxNorm",
            {"min_value": 0.1},
        ),
    ],
)
def test_what_guides_the_training_is_kept_in_keras_3s_words(key, written, class_name, config):
    _, kept = translated("Dense", units=3, **{key: written})
    assert (kept[key]["class_name"], kept[key]["config"]) == (class_name, config)
    made = keras.layers.Dense.from_config({**kept, "name": "x"})
    assert type(getattr(made, key)).__name__ == class_name


@pytest.mark.parametrize("key", ["kernel_initializer", "kernel_regularizer", "kernel_constraint"])
@pytest.mark.parametrize("written", ["my_own", {"class_name": "Own", "config": {}}, 5, []])
def test_what_guides_the_training_and_is_somebodys_own_is_left_to_the_default(key, written):
    assert key not in translated("Dense", units=3, **{key: written})[1]


@pytest.mark.parametrize(
    ("kind", "written", "expected"),
    [
        ("ReLU", {"max_value": None, "negative_slope": None, "threshold": None}, (None, 0.0, 0.0)),
        ("ReLU", {"max_value": 6.0, "negative_slope": 0.1, "threshold": 1.0}, (6.0, 0.1, 1.0)),
    ],
)
def test_a_null_of_a_relu_is_what_it_meant(kind, written, expected):
    assert tuple(translated(kind, **written)[1].values()) == expected


def test_the_axis_of_a_batch_normalization_in_a_list_is_a_number():
    assert translated("BatchNormalizationV1", axis=[3], fused=True) == (
        "BatchNormalization",
        {"axis": 3},
    )


def test_a_range_of_values_that_rotations_do_not_need_is_left_out():
    assert translated("RandomRotation", "3.2.1", factor=0.1, value_range=[0, 255])[1] == {
        "factor": 0.1
    }


def test_a_synchronized_batch_normalization_stays_synchronized():
    assert translated("SyncBatchNormalization", axis=-1)[1]["synchronized"] is True


def test_a_gru_from_before_reset_after_has_it_off():
    assert translated("GRU", "2.1.0", units=3)[1]["reset_after"] is False
    assert translated("GRU", "2.4.0", units=3, reset_after=True)[1]["reset_after"] is True
