"""`fold_batchnorm=True`: the same numbers with no BatchNormalization behind a convolution."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.plan import plan_conversion
from tests.helpers.keras_comparison import converts_alike, kinds_of, network, reasons
from tests.helpers.keras_versions import since_keras
from tests.helpers.randomized import randomize

FORMATS = ["channels_last", "channels_first"]
RULE = "conv_batchnorm_to_conv"


def folds_alike(model):
    """Fold, see that the numbers stay and that nothing is left to fold; return the conversion."""
    converted = converts_alike(model, fold_batchnorm=True)
    assert "BatchNormalization" not in kinds_of(converted)
    assert plan_conversion(converted, fold_batchnorm=True).changes == ()
    return converted


def why_not(model):
    """The reasons for which BatchNormalizations stay; without folding there is not one."""
    assert reasons(model, RULE) == []
    return reasons(model, RULE, fold_batchnorm=True)


def norm(**options):
    return layers.BatchNormalization(name="norm", **options)


CONVOLUTIONS = [
    ((9, 4), layers.Conv1D, {}),
    ((6, 5, 4), layers.Conv2D, {}),
    ((6, 5, 4), layers.Conv2D, {"strides": 2, "padding": "same"}),
    ((5, 4, 3, 4), layers.Conv3D, {}),
    ((9, 4), layers.Conv1DTranspose, {"strides": 2}),
    ((4, 3, 4), layers.Conv2DTranspose, {"strides": 2}),
    ((3, 2, 3, 4), layers.Conv3DTranspose, {}),
    ((9, 4), layers.SeparableConv1D, {"depth_multiplier": 2}),
    ((6, 5, 4), layers.SeparableConv2D, {"depth_multiplier": 2}),
]


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("shape", "kind", "options"), CONVOLUTIONS)
def test_a_batch_normalization_is_folded_into_every_convolution(shape, kind, options, use_bias):
    conv = kind(6, 2, use_bias=use_bias, name="conv", **options)
    model = network(shape, conv, norm(), layers.ReLU())
    converted = folds_alike(model)
    assert kinds_of(converted) == ["InputLayer", kind.__name__, "ReLU"]
    assert converted.get_layer("conv").use_bias
    bias_added = 0 if use_bias else 6
    assert model.count_params() - converted.count_params() == 4 * 6 - bias_added


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize(
    ("shape", "kind"), [((9, 4), layers.DepthwiseConv1D), ((6, 5, 4), layers.DepthwiseConv2D)]
)
def test_each_product_of_a_depthwise_convolution_is_scaled_by_its_own_channel(
    shape, kind, multiplier
):
    folds_alike(network(shape, kind(2, depth_multiplier=multiplier), norm()))


def test_the_filters_of_every_group_are_scaled():
    model = network((6, 5, 4), layers.Conv2D(6, 2, groups=2), norm())
    converted = allconv.convert(model, fold_batchnorm=True)
    assert kinds_of(converted) == ["InputLayer", "Conv2D"]
    assert allconv.verify(model, converted).passed is True


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("kind", [layers.Conv2D, layers.Conv2DTranspose])
def test_channels_may_come_first(kind, data_format):
    axis = 1 if data_format == "channels_first" else 3
    folds_alike(network((4, 6, 5), kind(3, 2, data_format=data_format), norm(axis=axis)))


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {"epsilon": 0.3}])
def test_a_batch_normalization_may_lack_gamma_or_beta(options):
    folds_alike(network((6, 5, 4), layers.Conv2D(3, 2), norm(**options)))


def test_one_number_is_what_the_formula_says():
    """4 (2 x + 1 - 3) / sqrt(0.75 + 0.25) + 5 = 8 x - 3."""
    model = network((1, 1, 1), layers.Conv2D(1, 1), norm(epsilon=0.25))
    model.set_weights([np.reshape(v, s) for v, s in [(2, (1, 1, 1, 1)), *_vectors(1, 4, 5, 3)]])
    model.get_layer("norm").moving_variance.assign([0.75])
    conv = folds_alike(model).layers[1]
    assert [float(np.squeeze(value)) for value in conv.get_weights()] == [8.0, -3.0]


def _vectors(*values):
    return [(value, (1,)) for value in (*values, 0.75)]


def test_layers_that_are_idle_at_inference_may_stand_between():
    idle = [layers.Dropout(0.3), layers.SpatialDropout2D(0.3), layers.GaussianNoise(0.1)]
    converted = folds_alike(network((6, 5, 4), layers.Conv2D(3, 2), *idle, norm()))
    names = [type(layer).__name__ for layer in idle]
    assert kinds_of(converted) == ["InputLayer", "Conv2D", *names]


def test_two_batch_normalizations_are_folded_one_after_the_other():
    steps = [layers.Conv2D(3, 2), norm(), layers.BatchNormalization()]
    assert kinds_of(folds_alike(network((6, 5, 4), *steps))) == ["InputLayer", "Conv2D"]


def test_a_dense_layer_takes_it_in_as_the_convolution_that_it_becomes():
    head = [layers.Dense(5, name="hidden"), norm(), layers.ReLU(), layers.Dense(3)]
    converted = folds_alike(network((4, 3, 2), layers.Flatten(), *head))
    assert kinds_of(converted) == ["InputLayer", "Conv2D", "ReLU", "Conv2D", "Flatten"]
    assert converted.layers[1].name == "hidden"


def test_a_dense_layer_that_stays_takes_it_in_too():
    model = network((4, 3, 2), layers.Flatten(), layers.Dense(5), norm(), layers.ReLU())
    converted = converts_alike(model, fold_batchnorm=True, head="keep", strict=False)
    assert {"Dense"} < set(kinds_of(converted))
    assert "BatchNormalization" not in kinds_of(converted)


def test_the_mean_of_a_global_pool_takes_it_in():
    model = network((4, 3, 5), layers.GlobalAveragePooling2D(), norm(), layers.Dense(3))
    assert kinds_of(folds_alike(model)) == ["InputLayer", "DepthwiseConv2D", "Conv2D", "Flatten"]


def residual_block(tensor, filters, stride):
    """A basic block of ResNet (He et al. 2015, arXiv 1512.03385, figure 2)."""
    short = layers.Conv2D(filters, 1, strides=stride)(tensor)
    short = layers.BatchNormalization()(short)
    for strides in (stride, 1):
        tensor = layers.Conv2D(filters, 3, strides=strides, padding="same")(tensor)
        tensor = layers.BatchNormalization()(tensor)
        tensor = layers.ReLU()(tensor) if strides == stride > 1 else tensor
    return layers.ReLU()(layers.Add()([short, tensor]))


def test_a_residual_network_loses_every_batch_normalization_and_nothing_else():
    image = keras.Input((12, 12, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3)(image)))
    x = residual_block(residual_block(layers.MaxPooling2D(2)(x), 4, 1), 6, 2)
    x = layers.Dense(3)(layers.GlobalAveragePooling2D()(x))
    model = randomize(keras.Model(image, x))
    plain, folded = allconv.convert(model), folds_alike(model)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    assert len(norms) == 7
    assert allconv.verify(model, folded).passed is True
    saved = plain.count_params() - folded.count_params()
    assert saved == sum(layer.count_params() for layer in norms)
    others = [kind for kind in kinds_of(plain) if kind != "BatchNormalization"]
    assert sorted(kinds_of(folded)) == sorted(others)


def test_the_report_says_where_it_went():
    model = network((6, 5, 4), layers.Conv2D(3, 2, name="conv"), norm())
    report = allconv.report(model, fold_batchnorm=True)
    (row,) = (row for row in report.rows if row.layer == "norm")
    assert (row.becomes, row.parameters_after, row.keeps) == ((), 0, "function")
    assert row.notes == ("folded into 'conv'",)


@pytest.mark.parametrize("trainable", [True, False])
def test_the_convolution_keeps_its_name_its_regularizer_and_whether_it_trains(trainable):
    conv = layers.Conv2D(3, 2, kernel_regularizer="l2", name="conv")
    model = network((6, 5, 4), conv, norm())
    conv.trainable = trainable
    folded = folds_alike(model).get_layer("conv")
    assert folded.trainable is trainable
    assert isinstance(folded.kernel_regularizer, keras.regularizers.L2)


@since_keras(3, 15, "functions as regularizers")
def test_a_regularizer_of_the_users_own_stays():
    def own(kernel):
        return keras.ops.sum(keras.ops.abs(kernel))

    conv = layers.Conv2D(3, 2, kernel_regularizer=own, name="conv")
    folded = folds_alike(network((6, 5, 4), conv, norm()))
    assert folded.get_layer("conv").kernel_regularizer is own


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_weights_of_32_bits_may_compute_in_16(policy):
    model = network((6, 5, 4), layers.Conv2D(3, 2, dtype=policy), norm(dtype=policy))
    converted = allconv.convert(model, fold_batchnorm=True)
    assert kinds_of(converted) == ["InputLayer", "Conv2D"]
    old, new = model.layers[1], converted.layers[1]
    assert [v.dtype for v in new.weights] == [v.dtype for v in old.weights]
    assert new.compute_dtype == old.compute_dtype
    assert allconv.verify(model, converted).passed is True


# shared layers


def twice(conv, norms):
    images = [keras.Input((6, 5, 4)) for _ in range(2)]
    ends = [norm(conv(image)) for image, norm in zip(images, norms, strict=True)]
    return randomize(keras.Model(images, ends))


def test_a_shared_convolution_with_one_batch_normalization_stays_shared():
    model = twice(layers.Conv2D(3, 2), [norm()] * 2)
    assert kinds_of(folds_alike(model)).count("Conv2D") == 1
    assert plan_conversion(model, fold_batchnorm=True).unshared == ()


def test_a_shared_convolution_with_two_batch_normalizations_is_split_and_named():
    model = twice(layers.Conv2D(3, 2, name="conv"), [norm(), layers.BatchNormalization()])
    assert kinds_of(folds_alike(model)).count("Conv2D") == 2
    assert plan_conversion(model, fold_batchnorm=True).unshared == ("conv",)


# where it does not apply


def test_nothing_is_folded_unless_it_is_asked_for():
    model = network((6, 5, 4), layers.Conv2D(3, 2), norm())
    assert "BatchNormalization" in kinds_of(converts_alike(model))


def test_an_activation_between_is_a_reason():
    conv = layers.Conv2D(3, 2, activation="relu", name="conv")
    expected = ["an activation stands between, that of 'conv'"]
    assert why_not(network((6, 5, 4), conv, norm())) == expected


def test_another_layer_between_is_a_reason():
    steps = [layers.Conv2D(3, 2), layers.ReLU(name="relu"), norm()]
    expected = ["no convolution before it to fold it into, but 'relu' (ReLU)"]
    assert why_not(network((6, 5, 4), *steps)) == expected


def test_zeros_around_the_map_behind_it_are_a_reason_not_to_fold_forwards():
    model = network((6, 5, 4), norm(), layers.Conv2D(3, 3, padding="same", name="conv"))
    assert why_not(model) == [
        "no convolution before it to fold it into, but 'image' (InputLayer); 'conv' behind it pads "
        "with zeros, which are not normalized"
    ]


@pytest.mark.parametrize("idle", [False, True])
def test_another_user_of_the_convolution_is_a_reason(idle):
    image = keras.Input((6, 5, 4))
    x = layers.Conv2D(4, 2, name="conv")(image)
    if idle:
        x = layers.Dropout(0.3, name="dropout")(x)
    model = randomize(keras.Model(image, layers.Add()([x, norm()(x)])))
    taken = "dropout" if idle else "conv"
    assert why_not(model) == [f"the result of '{taken}' is taken by other layers, too"]
    converts_alike(model, fold_batchnorm=True)


def test_another_axis_is_a_reason():
    model = network((6, 5, 4), layers.Conv2D(3, 2, name="conv"), norm(axis=1))
    assert why_not(model) == ["it works along axis 1, not along the channels of 'conv'"]


def test_numbers_of_each_batch_are_a_reason():
    image = keras.Input((6, 5, 4))
    model = keras.Model(image, norm()(layers.Conv2D(3, 2)(image), training=True))
    expected = "it is called with training=True, and normalizes by the numbers of each batch"
    assert why_not(model) == [expected]


def test_another_precision_is_a_reason():
    conv = layers.Conv2D(3, 2, dtype="mixed_float16", name="conv")
    model = network((6, 5, 4), conv, norm(dtype="float32"))
    assert why_not(model) == ["'conv' computes in another precision"]


def test_a_kernel_of_16_bits_is_a_reason():
    conv = layers.Conv2D(3, 2, dtype="float16", name="conv")
    model = network((6, 5, 4), conv, norm(dtype="float16"))
    expected = "the kernel of 'conv' has 16 bits, in which the product would be rounded"
    assert why_not(model) == [expected]


def test_weights_that_lora_adds_to_are_a_reason():
    conv = layers.Conv2D(3, 2, name="conv")
    model = network((6, 5, 4), conv, norm())
    conv.enable_lora(2)
    assert why_not(model) == ["'conv' has LoRA or quantized weights"]


@pytest.mark.parametrize(("width", "folds"), [(6, True), (7, False)])
def test_a_bias_that_keras_would_add_along_the_width_is_not_made(width, folds):
    """Of 7 columns 5 are left, as many as filters: there Keras 3.15 on TensorFlow mistakes it."""
    conv = layers.Conv2D(5, 3, use_bias=False, data_format="channels_first", name="conv")
    model = network((2, 9, width), conv, norm(axis=1))
    converts_alike(model, fold_batchnorm=True)
    assert [("along the width" in reason) for reason in why_not(model)] == [True] * (not folds)
