"""`verify` passes what rounding does, fails what a wrong weight does, or says it cannot tell."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.errors import FileError, ModelError, OptionError
from allconv.read.file import ModelFile
from allconv.verification.inputs import draw_inputs
from allconv.verification.logits import endings
from allconv.verification.precision import default_tolerance
from allconv.verify import Verification, verify
from tests.helpers.keras_comparison import network
from tests.helpers.randomized import kernels, leaves, randomize


def plain(ending: str = "softmax", size: int | None = 12, **input_options) -> keras.Model:
    """Two convolutions, a pool and a Dense, as a trained network might be."""
    blocks = [
        layers.Input((size, size, 3), **input_options),
        layers.Conv2D(8, 3, activation="relu", name="first"),
        layers.MaxPooling2D(),
        layers.Conv2D(8, 3, activation="relu", name="second"),
        layers.GlobalAveragePooling2D() if size is None else layers.Flatten(),
        layers.Dense(5, activation=ending, name="last"),
    ]
    return randomize(keras.Sequential(blocks), seed=1)


def residual() -> keras.Model:
    """Batch normalizations, branches, and depthwise and separable convolutions."""
    x = image = keras.Input((12, 12, 3))
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(x))
    for _ in range(3):
        y = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x))
        y = layers.SeparableConv2D(8, 3, padding="same")(layers.Activation("relu6")(y))
        x = layers.Add()([x, layers.ReLU()(layers.BatchNormalization()(y))])
    x = layers.GlobalAveragePooling2D()(x)
    return randomize(keras.Model(image, layers.Softmax()(layers.Dense(5)(x))), seed=2)


def copy_of(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def disturbed_copies(model: keras.Model) -> Iterator[tuple[str, keras.Model]]:
    """Copies of `model`, in each of which one kernel is 1.01 times what it was."""
    copy = copy_of(model)
    for kernel in kernels(copy):
        value = np.asarray(kernel)
        kernel.assign(value * value.dtype.type(1.01))
        yield kernel.path, copy
        kernel.assign(value)


def with_channels_reversed(model: keras.Model) -> keras.Model:
    """The same function as `plain()` in another order of sums: hidden channels in reverse."""
    copy = copy_of(model)
    first, second = copy.get_layer("first"), copy.get_layer("second")
    kernel, bias = first.get_weights()
    first.set_weights([kernel[..., ::-1], bias[::-1]])
    kernel, bias = second.get_weights()
    second.set_weights([kernel[:, :, ::-1, :], bias])
    return copy


# What passes and what fails


@pytest.mark.parametrize(
    "build", [plain, lambda: plain("linear"), lambda: plain("sigmoid"), residual]
)
def test_one_per_cent_of_any_one_kernel_fails(build: Callable[[], keras.Model]) -> None:
    model = build()
    assert verify(model, copy_of(model)).passed is True
    for path, copy in disturbed_copies(model):
        assert verify(model, copy).passed is False, path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "MobileNetV2"])
def test_one_per_cent_of_any_one_kernel_of_a_large_network_fails(name: str) -> None:
    build = getattr(keras.applications, name)
    model = randomize(build(weights=None, input_shape=(64, 64, 3)), seed=1)
    assert verify(model, copy_of(model)).passed is True
    for path, copy in disturbed_copies(model):
        assert verify(model, copy).passed is False, path


def test_another_order_of_sums_passes() -> None:
    model = plain()
    result = verify(model, with_channels_reversed(model))
    assert result.passed is True
    assert 0 < result.max_error < result.tolerance / 4


def test_the_error_is_relative_to_the_spread_from_zero() -> None:
    x = np.array([[0.0, 1.0], [2.0, 5.0]])
    assert verify(lambda x: x, lambda x: x + 0.5, x).max_error == pytest.approx(0.5 / 5)
    assert verify(lambda x: -x - 1, lambda x: -x - 1.5, x).max_error == pytest.approx(0.5 / 6)
    assert verify(lambda x: x - 2, lambda x: x - 2.5, x).max_error == pytest.approx(0.5 / 5)


def test_the_scale_of_a_model_does_not_change_its_error() -> None:
    model, x = plain("linear"), np.random.default_rng(0).normal(size=(4, 12, 12, 3))
    errors = [
        verify(lambda x, s=s: s * model(x), lambda x, s=s: s * 1.03 * model(x), x).max_error
        for s in (1e-6, 1.0, 1e6)
    ]
    np.testing.assert_allclose(errors, errors[0], rtol=1e-3)


def test_agreement_is_the_share_of_equal_argmaxes() -> None:
    x = np.eye(4)
    swapped = verify(lambda x: x, lambda x: x[:, [1, 0, 2, 3]], x)
    assert (swapped.passed, swapped.argmax_agreement, swapped.decisions) == (False, 0.5, 4)
    assert str(swapped).endswith("argmax equal on 2 of 4")


def test_a_class_map_has_an_argmax_per_cell() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3, 2, 5))
    assert verify(lambda x: x, lambda x: x, x).decisions == 4 * 3 * 2


def test_a_single_value_has_no_argmax() -> None:
    result = verify(lambda x: x[:, :1], lambda x: x[:, :1], np.eye(4))
    assert result.passed and result.argmax_agreement is None
    assert "argmax" not in str(result)


@pytest.mark.parametrize("activation", ["sigmoid", "hard_sigmoid"])
def test_a_sigmoid_decides_at_one_half_value_by_value(activation: str) -> None:
    model, turned = (network((2,), layers.Dense(2, activation=activation)) for _ in range(2))
    model.layers[-1].set_weights([np.eye(2), np.zeros(2)])
    turned.layers[-1].set_weights([np.diag([1.0, -1.0]), np.zeros(2)])
    x = np.float32([[1, 1], [-1, 2], [3, -30]])
    result = verify(model, turned, x)
    assert (result.decisions, result.argmax_agreement, result.decided_by) == (6, 0.5, "0.5")
    assert str(result).endswith("decisions at 0.5 equal on 3 of 6")
    assert str(verify(model, model, x)).endswith("decisions at 0.5 equal on 6 of 6")


def test_shapes_that_differ_fail_and_both_are_named() -> None:
    image = keras.Input((4, 4, 3))
    pooled = layers.GlobalAveragePooling2D()(image)
    original = keras.Model(image, pooled)
    converted = keras.Model(image, layers.RepeatVector(2)(pooled))
    result = verify(original, converted)
    assert result.passed is False
    assert str(result) == "failed: the shapes differ: original (4, 3); converted (4, 2, 3)"


def test_a_map_of_one_cell_counts_as_the_vector_it_is() -> None:
    image = keras.Input((4, 4, 3))
    pooled = layers.GlobalAveragePooling2D()(image)
    converted = keras.Model(image, layers.Reshape((1, 1, 3))(pooled))
    assert verify(keras.Model(image, pooled), converted).passed


def test_another_number_of_outputs_fails() -> None:
    result = verify(lambda x: [x, x], lambda x: x, np.eye(2))
    assert result.passed is False
    assert result.reason == "the shapes differ: original (2, 2), (2, 2); converted (2, 2)"


def test_a_converted_model_that_gives_nan_fails() -> None:
    model = plain()
    copy = copy_of(model)
    copy.get_layer("last").bias.assign([np.nan, 0, 0, 0, 0])
    result = verify(model, copy)
    assert result.passed is False
    assert result.reason == "the converted model's output is not finite: 4 of 20 values"


def test_a_converted_model_that_takes_other_inputs_fails() -> None:
    result = verify(plain(), plain(size=14))
    assert result.passed is False
    assert "shape (4, 12, 12, 3) does not fit input" in result.reason
    assert result.reason.endswith("of the converted model, which expects (None, 14, 14, 3)")


def test_a_converted_function_that_raises_fails() -> None:
    def broken(x: np.ndarray) -> np.ndarray:
        raise ValueError("no such kernel\nand more")

    result = verify(lambda x: x, broken, np.eye(3))
    assert result.passed is False
    assert result.reason == "the converted model fails on these inputs: ValueError: no such kernel"


# Before the last activation


def conv_softmax_flatten() -> keras.Model:
    return keras.Sequential(
        [layers.Input((4, 4, 3)), layers.Conv2D(5, 4, activation="softmax"), layers.Flatten()]
    )


def activation_layer() -> keras.Model:
    blocks = [layers.Input((4, 4, 3)), layers.Flatten(), layers.Dense(5)]
    return keras.Sequential([*blocks, layers.Activation("sigmoid"), layers.Dropout(0.5)])


def softmax_layer_float32() -> keras.Model:
    blocks = [layers.Input((4, 4, 3)), layers.Conv2D(5, 4), layers.Softmax(), layers.Reshape((5,))]
    return keras.Sequential([*blocks, layers.Activation("linear", dtype="float32")])


def softmax_operation() -> keras.Model:
    image = keras.Input((4, 4, 3))
    return keras.Model(image, keras.ops.softmax(layers.Dense(5)(layers.Flatten()(image))))


def nested() -> keras.Model:
    head = keras.Sequential([layers.Input((4, 4, 3)), conv_softmax_flatten()])
    return keras.Sequential([layers.Input((4, 4, 3)), layers.Conv2D(3, 1), head])


def two_outputs() -> keras.Model:
    image = keras.Input((4, 4, 3))
    x = layers.Flatten()(image)
    classes = layers.Dense(5, activation="softmax", name="classes")(x)
    return keras.Model(image, {"box": layers.Dense(4, name="box")(x), "classes": classes})


@pytest.mark.parametrize(
    "build",
    [
        conv_softmax_flatten,
        activation_layer,
        softmax_layer_float32,
        softmax_operation,
        nested,
        two_outputs,
    ],
)
def test_a_saturated_ending_hides_nothing(build: Callable[[], keras.Model]) -> None:
    model = randomize(build(), seed=1)
    for kernel in kernels(model):
        kernel.assign(np.asarray(kernel) * 1e3)
    assert verify(model, copy_of(model)).passed is True
    for path, copy in disturbed_copies(model):
        result = verify(model, copy)
        assert result.passed is False and result.max_error > 1e-3, path


def test_a_softmax_that_was_lost_fails() -> None:
    model = plain()
    assert verify(model, with_ending(model, "linear")).passed is False
    assert verify(model, with_ending(model, "sigmoid")).passed is False


def with_ending(model: keras.Model, activation: str) -> keras.Model:
    copy = plain(activation)
    copy.set_weights(model.get_weights())
    return copy


def test_neither_model_is_changed() -> None:
    for build in (plain, nested, two_outputs, residual):
        model = randomize(build(), seed=1)
        before = snapshot(model)
        verify(model, model)
        assert snapshot(model) == before


def snapshot(model: keras.Model) -> list[object]:
    """All that may be told about a model from outside, and the nodes of its layers."""
    nodes = [
        (layer.name, len(layer._inbound_nodes), len(layer._outbound_nodes))
        for layer in [model, *model.layers, *leaves(model)]
    ]
    weights = [weight.tobytes() for weight in model.get_weights()]
    functions = [getattr(model, f"{name}_function", None) for name in ("predict", "test", "train")]
    return [nodes, weights, functions, model.to_json(), sorted(vars(model))]


# Where nothing is proved


def test_an_output_that_ignores_its_input_is_not_run() -> None:
    model = plain("linear")
    last = model.get_layer("last")
    last.kernel.assign(np.asarray(last.kernel) * 1e-9)
    result = verify(model, copy_of(model))
    assert result.passed is None
    text = (
        r"not run: the output is constant: 4 inputs move it by \S+e-\d\d of its spread, but"
        r" at least \S+ is"
    )
    assert re.match(text, str(result)) and str(result).endswith("is needed to show an error")


def test_an_output_of_zeros_is_not_run() -> None:
    assert verify(lambda x: 0 * x, lambda x: 0 * x, np.eye(3)).passed is None


def test_a_constant_that_changed_fails() -> None:
    assert verify(lambda x: 0 * x + 1, lambda x: 0 * x + 2, np.eye(3)).passed is False
    assert verify(lambda x: 0 * x, lambda x: 0 * x + 2, np.eye(3)).passed is False


def test_a_small_constant_part_does_not_stop_a_verification() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert verify(lambda x: x + 100, lambda x: x + 100, x).passed is True


def test_one_constant_output_of_two_is_named() -> None:
    result = verify(lambda x: (x, 0 * x + 1), lambda x: (x, 0 * x + 1), np.eye(3))
    assert result.passed is None
    assert result.reason.startswith("output 2 of 2 is constant: 3 inputs move it by 0.0e+00")


def test_one_wrong_output_of_two_is_named() -> None:
    result = verify(lambda x: (x, x), lambda x: (x, 2 * x), np.eye(3))
    assert result.passed is False
    assert str(result).endswith("; output 2 of 2")


@pytest.mark.parametrize(("count", "words"), [(0, "no inputs"), (1, "one input")])
def test_fewer_than_two_inputs_prove_nothing(count: int, words: str) -> None:
    model = plain()
    result = verify(model, model, np.zeros((count, 12, 12, 3)))
    assert result.passed is None
    assert (
        str(result)
        == f"not run: got {words}; give at least two, to show that the output depends on them"
    )


def test_an_original_that_gives_nan_is_not_run() -> None:
    model = plain()
    model.get_layer("last").bias.assign([np.nan, 0, 0, 0, 0])
    result = verify(model, copy_of(model))
    assert result.passed is None
    assert str(result) == "not run: the original's output is not finite: 4 of 20 values"


def test_an_original_that_fails_is_not_run() -> None:
    def broken(x: np.ndarray) -> np.ndarray:
        raise ValueError("no such kernel")

    result = verify(broken, lambda x: x, np.eye(3))
    assert result.passed is None
    assert result.reason == "the original fails on these inputs: ValueError: no such kernel"


def test_a_function_without_inputs_is_not_run() -> None:
    result = verify(lambda x: x, lambda x: x)
    assert (
        str(result) == "not run: the original has no graph that describes its inputs; give inputs"
    )


# Inputs


def test_inputs_are_normal_unless_the_graph_says_otherwise() -> None:
    (images,) = draw_inputs(plain(size=64), seed=0)
    assert images.shape == (4, 64, 64, 3)
    assert abs(images.mean()) < 0.05 and abs(images.std() - 1) < 0.05


@pytest.mark.parametrize(
    "first", [layers.Rescaling(1 / 255), layers.Normalization(mean=0, variance=1)]
)
@pytest.mark.parametrize("depth", [0, 2])
def test_a_network_that_scales_images_first_gets_0_to_255(first: keras.Layer, depth: int) -> None:
    model = keras.Sequential([layers.Input((32, 32, 3)), first, layers.Conv2D(2, 3)])
    for _ in range(depth):
        model = keras.Sequential([layers.Input((32, 32, 3)), model])
    (images,) = draw_inputs(model, seed=0)
    assert 0 <= images.min() < 5 and 250 < images.max() <= 255


def test_a_rescaling_further_on_says_nothing_about_the_input() -> None:
    model = keras.Sequential(
        [layers.Input((32, 32, 3)), layers.Conv2D(2, 3), layers.Rescaling(2.0)]
    )
    (images,) = draw_inputs(model, seed=0)
    assert images.min() < 0


@pytest.mark.parametrize(("dtype", "largest"), [("uint8", 255), ("int32", 255), ("int8", 127)])
def test_an_integer_input_gets_integers(dtype: str, largest: int) -> None:
    model = keras.Sequential([layers.Input((32, 32, 3), dtype=dtype), layers.Rescaling(1 / 255)])
    (images,) = draw_inputs(model, seed=0)
    assert images.dtype == dtype
    assert (images.min(), images.max()) == (0, largest)


def test_a_fixed_batch_size_gets_whole_batches() -> None:
    for size, samples in [(1, 4), (3, 6), (8, 8)]:
        model = plain(batch_size=size)
        assert verify(model, copy_of(model)).samples == samples
    with pytest.raises(OptionError, match=re.escape("which expects (8, 12, 12, 3)")):
        verify(model, model, np.zeros((9, 12, 12, 3)))


def test_unknown_sizes_are_those_that_fit_the_network() -> None:
    x = image = keras.Input((None, None, 3))
    for _ in range(6):
        x = layers.MaxPooling2D()(layers.ReLU()(layers.Conv2D(4, 3)(x)))
    model = randomize(keras.Model(image, layers.Conv2D(2, 1)(x)))
    assert verify(model, copy_of(model)).passed is True


def test_the_seed_decides_the_inputs() -> None:
    model = plain()
    errors = [
        verify(model, with_channels_reversed(model), seed=seed).max_error for seed in (1, 1, 2)
    ]
    assert errors[0] == errors[1] != errors[2]


def two_inputs() -> keras.Model:
    left, right = keras.Input((4, 4, 1), name="left"), keras.Input((6,), name="right")
    x = layers.Concatenate()([layers.Flatten()(left), right])
    return randomize(keras.Model([left, right], layers.Dense(3)(x)))


def test_several_inputs_come_as_a_list_or_by_name() -> None:
    model, rng = two_inputs(), np.random.default_rng(0)
    left, right = rng.normal(size=(70, 4, 4, 1)), rng.normal(size=(70, 6))
    for inputs in (None, [left, right], (left, right), {"right": right, "left": left}):
        assert verify(model, copy_of(model), inputs).passed is True


def test_ten_thousand_images_are_compared_in_batches() -> None:
    x = np.random.default_rng(0).normal(size=(10_001, 8)).astype("float32")
    model = randomize(keras.Sequential([layers.Input((8,)), layers.Dense(5)]))
    result = verify(model, copy_of(model), x)
    assert str(result).startswith("verified: 10,001 inputs, ")
    assert str(result).endswith("argmax equal on 10,001 of 10,001")
    seen: list[int] = []
    verify(lambda x: seen.append(len(x)) or x, lambda x: x, x[:100])
    assert sum(seen) == 100 and max(seen) <= 32


WRONG = {
    "shape (4, 12, 12) does not fit input 'image' of the original model, "
    "which expects (None, 12, 12, 3)": np.zeros((4, 12, 12)),
    "shape (4, 3, 12, 12) does not fit input 'image'": np.zeros((4, 3, 12, 12)),
    "shape (6,) does not fit input 'image'": [np.zeros(3), np.zeros(3)],
    "expected arrays, got int": 5,
    "expected arrays, got str": "images.npy",
    "got 'photo', but the original model's inputs are 'image'": {"photo": np.zeros((4, 12, 12, 3))},
    "expected an array of numbers whose first axis counts the samples": np.array([{}, {}]),
}


@pytest.mark.parametrize("message", WRONG)
def test_inputs_that_do_not_fit_are_one_clear_error(message: str) -> None:
    model = plain(name="image")
    with pytest.raises(OptionError, match=re.escape(message)):
        verify(model, model, WRONG[message])


def test_arrays_of_different_lengths_are_one_clear_error() -> None:
    message = (
        "inputs: the arrays hold 2 and 3 samples; every input of a model needs the same number"
    )
    with pytest.raises(OptionError, match=message):
        verify(two_inputs(), two_inputs(), [np.zeros((2, 4, 4, 1)), np.zeros((3, 6))])


# Models


@keras.saving.register_keras_serializable("test_verify")
class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3, kernel_initializer="he_normal")
        self.dropout = layers.Dropout(0.5)

    def call(self, x, training=False):
        return self.dropout(self.dense(x), training=training)


def test_a_subclassed_model_is_compared_as_it_is() -> None:
    model, x = Subclassed(), np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    model(x)
    assert verify(model, lambda x: x @ np.asarray(model.dense.kernel), x).passed is True
    assert verify(model, lambda x: x @ np.asarray(model.dense.kernel) * 1.01, x).passed is False


def test_a_model_without_weights_yet_is_an_error() -> None:
    model = keras.Sequential([layers.Dense(3)], name="bare")
    with pytest.raises(
        ModelError, match=r"original: the Sequential model 'bare' has no weights yet"
    ):
        verify(model, model)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_are_compared_on_either_side(suffix: str, tmp_path: Path) -> None:
    model = plain()
    path = tmp_path / f"model{suffix}"
    model.save(path)
    pairs = [(path, model), (model, str(path)), (ModelFile(path), path)]
    assert [str(verify(*pair)) for pair in pairs] == [str(verify(model, copy_of(model)))] * 3
    assert verify(path, next(disturbed_copies(model))[1]).passed is False
    with pytest.raises(FileError, match="there is no such file"):
        verify(model, "missing.keras")


def test_what_is_no_model_is_an_error_that_says_what_is_expected() -> None:
    message = r"converted: expected a Keras model, a file of one or a function, got int"
    with pytest.raises(ModelError, match=message):
        verify(plain(), 5)


# Batches


def batched(images: np.ndarray) -> dict[str, Any]:
    """The same images in all the ways that give batches."""
    import tensorflow as tf

    parts = [images[:3], images[3:]]
    labels = np.zeros(len(images))

    class Photos(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return parts[index], labels[: len(parts[index])]

    return {
        "list": parts,
        "generator": (part for part in parts),
        "PyDataset": Photos(),
        "tf.data": tf.data.Dataset.from_tensor_slices(images).batch(4),
        "labelled tf.data": tf.data.Dataset.from_tensor_slices((images, labels)).batch(4),
    }


def test_batches_of_any_kind_measure_what_one_array_does() -> None:
    model = plain(name="image")
    images = np.random.default_rng(3).normal(size=(7, 12, 12, 3)).astype("float32")
    expected = verify(model, with_channels_reversed(model), images)
    for kind, given in batched(images).items():
        found = verify(model, with_channels_reversed(model), given)
        assert (kind, str(found)) == (kind, str(expected))


def test_batches_for_several_inputs_come_by_name_or_in_pairs() -> None:
    model, rng = two_inputs(), np.random.default_rng(0)
    left, right = rng.normal(size=(6, 4, 4, 1)), rng.normal(size=(6, 6))
    named = [{"left": left[:4], "right": right[:4]}, {"right": right[4:], "left": left[4:]}]
    paired = [[left[:4], right[:4]], [left[4:], right[4:]]]
    for batches in (named, paired, [((a, b), 0) for a, b in paired]):
        found = verify(model, copy_of(model), batches)
        assert found.passed is True and found.samples == 6


def test_batches_that_cannot_be_put_together_are_one_clear_error() -> None:
    import tensorflow as tf

    model = plain(size=None, name="image")
    sizes = [np.zeros((2, 12, 12, 3)), np.zeros((2, 13, 12, 3))]
    with pytest.raises(OptionError, match=r"inputs: the batches do not fit together \("):
        verify(model, model, sizes)
    endless = tf.data.Dataset.from_tensors(np.zeros((12, 12, 3))).batch(2).repeat()
    with pytest.raises(OptionError, match=r"inputs: the dataset repeats without end; limit it"):
        verify(model, model, endless)
    with pytest.raises(OptionError, match=r"inputs: there are no batches; give some"):
        verify(model, model, [])


# Tolerance and precision


def test_the_default_tolerance_grows_with_the_roots_of_depth_and_of_the_longest_sum() -> None:
    model = plain()  # three layers with a kernel, sums of 72 products before the last two
    assert default_tolerance(model) == pytest.approx(2.0**-23 * (32 * 3**0.5 + 72**0.5))
    assert default_tolerance(lambda x: x, model) == default_tolerance(model)
    assert default_tolerance(nested()) > 2.0**-23 * 32 * 2**0.5
    assert verify(model, model).tolerance == default_tolerance(model)


def test_a_dense_on_a_large_map_is_given_room_for_its_long_sum() -> None:
    image = keras.Input((126, 126, 4))
    dense = keras.Model(image, layers.Dense(1)(layers.Flatten()(image)))
    assert default_tolerance(dense) == pytest.approx(2.0**-23 * (32 + 63504**0.5))


@pytest.mark.parametrize("policy", ["mixed_float16", "float16", "mixed_bfloat16", "bfloat16"])
def test_16_bit_models_are_compared_in_float32(policy: str) -> None:
    model = as_policy(policy)
    result = verify(model, with_channels_reversed(model))
    assert result.passed is True and result.max_error < 1e-5
    assert str(result).endswith("; computed in float32, on the same weights")
    for path, copy in disturbed_copies(model):
        assert verify(model, copy).passed is False, path
    assert all(layer.dtype_policy.name == policy for layer in model.layers)


def half(*steps: Callable[[Any], Any]) -> keras.Model:
    """A convolution in 16 bits, such steps behind it, and a Dense layer."""
    tensor = image = keras.Input((6, 6, 2))
    ends = layers.Flatten(), layers.Dense(3, dtype="mixed_float16")
    for step in (layers.Conv2D(3, 3, dtype="mixed_float16"), *steps, *ends):
        tensor = step(tensor)
    return randomize(keras.Model(image, tensor))


class Doubled(layers.Layer):
    """A layer of the user's own."""

    def call(self, inputs: Any) -> Any:
        return 2 * inputs


OPERATIONS: list[Callable[[Any], Any]] = [
    lambda x: 1.0 - (0.5 * x + 1.0),
    lambda x: keras.ops.add(x1=1.0, x2=keras.ops.maximum(0.1, x)),
    lambda x: layers.Subtract()([2.0 - x, layers.Multiply()([x, 0.5 * x])]),
    lambda x: keras.Sequential([keras.Input((4, 4, 3)), layers.ReLU()])(2.0 * x),
    lambda x: keras.Sequential([keras.Input((4, 4, 3)), Doubled()])(1.0 - x),
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_called_as_layers_are_stay_what_they_are_in_float32(
    operation: Callable[[Any], Any],
) -> None:
    model = half(operation)
    result = verify(model, allconv.convert(model, strict=False))
    assert result.passed is True and result.max_error < 1e-5, result
    assert result.reason.startswith("computed in float32")


@pytest.mark.parametrize("axis", [np.int64(-1), np.int32(3), [3], (-1,), np.array(-1), 3])
def test_a_softmax_is_left_out_however_its_axis_is_written(axis: Any) -> None:
    model = network((4, 4, 2), layers.Conv2D(3, 3), layers.Softmax(axis=axis))
    (ending,) = endings(model)
    assert (ending.activation, ending.classes) == ("softmax", 3)
    assert verify(model, allconv.convert(model))


SQUARE: list[tuple[tuple[int, ...], list[Callable[[], keras.Layer]]]] = [
    ((5, 2), [lambda: layers.Conv1D(3, 3), lambda: layers.Permute((2, 1))]),
    ((6, 6, 2), [lambda: layers.Conv2D(3, 3), lambda: layers.Permute((2, 1, 3))]),
    ((3, 3, 2), [lambda: layers.MaxPooling2D(2, 1), lambda: layers.Permute((3, 2, 1))]),
    (
        (5, 5, 2),
        [
            lambda: layers.Conv2D(9, 3),
            lambda: layers.Reshape((9, 9)),
            lambda: layers.Permute((2, 1)),
        ],
    ),
]


@pytest.mark.parametrize(("shape", "steps"), SQUARE)
def test_a_square_map_that_both_models_turn_is_not_turned_again(
    shape: tuple[int, ...], steps: list[Callable[[], keras.Layer]]
) -> None:
    model = network(shape, *(make() for make in steps))
    converted = allconv.convert(model)
    for other in (model, converted, lambda images: converted(images)):
        result = verify(model, other)
        assert result.passed is True, result


def test_a_square_map_that_one_model_turns_is_turned_where_the_other_is_for_any_size() -> None:
    model = network((5, 2), layers.Conv1D(3, 3), layers.Permute((2, 1)))
    result = verify(model, allconv.convert(model, input_size="any"))
    assert result.passed is True, result


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_layers_in_16_bits_without_kernels_are_compared_in_float32_too(dtype: str) -> None:
    steps = layers.Activation("tanh", dtype=dtype), layers.Flatten(dtype=dtype)
    model = network((6, 6, 2), layers.Conv2D(3, 3), *steps, layers.Dense(3))
    result = verify(model, allconv.convert(model))
    assert result.passed is True and result.reason.startswith("computed in float32"), result


def test_models_in_16_bits_that_keras_does_not_copy_are_not_run() -> None:
    model = half(layers.Lambda(lambda x: 2 * x, dtype="mixed_float16"))
    result = verify(model, model)
    words = "not run: they compute in 16 bits, and Keras makes no copies of them in float32 ("
    assert result.passed is None and str(result).startswith(words)


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
@pytest.mark.parametrize("options", [{}, {"input_size": "any"}])
def test_means_of_pools_whose_kernels_are_rounded_to_16_bits_are_verified(
    policy: str, options: dict[str, str]
) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        pools = layers.AveragePooling2D(3), layers.AveragePooling2D(3, 2, padding="same")
        steps = *pools, layers.GlobalAveragePooling2D(), layers.Dense(3)
        model = network((14, 14, 2), layers.Conv2D(3, 3), *steps)
    finally:
        keras.config.set_dtype_policy(before)
    result = verify(model, allconv.convert(model, **options))
    assert result.passed is True and result.max_error < 1e-5, result


STRIDED = {"strides": (2, 1), "padding": "same"}


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("shape", "pools"),
    [
        ((7, 7, 7, 2), [layers.AveragePooling3D(3, 2), layers.GlobalAveragePooling3D()]),
        ((7, 7, 7, 2), [layers.AveragePooling3D(3, 1, padding="same"), layers.Flatten()]),
        ((7, 7, 4, 2), [layers.AveragePooling3D((5, 3, 2)), layers.Flatten()]),
        ((9, 9, 2), [layers.AveragePooling2D(3, **STRIDED), layers.GlobalAveragePooling2D()]),
        ((40, 40, 2), [layers.AveragePooling2D(19, **STRIDED), layers.Flatten()]),
    ],
)
def test_means_on_the_diagonal_of_a_kernel_are_verified_in_16_bits(
    policy: str, shape: tuple[int, ...], pools: list[keras.layers.Layer]
) -> None:
    steps = [type(pool).from_config({**pool.get_config(), "dtype": policy}) for pool in pools]
    model = network(shape, *steps, layers.Dense(3, dtype=policy))
    converted = allconv.convert(model)
    result = verify(model, converted)
    assert result.passed is True and result.max_error < 1e-5, result
    fixed = next(
        layer for layer in converted.layers if not layer.trainable_weights and layer.weights
    )
    fixed.kernel.assign(fixed.kernel * 1.02)
    assert verify(model, converted).passed is False


def normalized(policy: str) -> keras.Model:
    norm = layers.BatchNormalization(dtype=policy)
    flatten = layers.Flatten(dtype=policy)
    return network((3, 3, 2), flatten, norm, layers.Dense(4, dtype=policy, name="product"))


def with_lora(policy: str) -> keras.Model:
    dense = layers.Dense(4, dtype=policy, name="product")
    model = network((3, 3, 2), layers.Flatten(dtype=policy), dense)
    dense.enable_lora(1)
    dense.lora_kernel_b.assign(0 * dense.lora_kernel_b + 0.3)
    return model


def unfolded(policy: str) -> keras.Model:
    with_policy = {"dtype": policy}
    dense = (
        layers.Dense(18, **with_policy, name="product"),
        layers.BatchNormalization(**with_policy),
    )
    vector = layers.Flatten(**with_policy), layers.Dense(5, **with_policy), *dense
    steps = *vector, layers.Reshape((3, 3, 2), **with_policy), layers.Conv2D(2, 3, **with_policy)
    return network((3, 3, 1), *steps)


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
@pytest.mark.parametrize("build", [normalized, with_lora, unfolded])
def test_products_of_16_bit_weights_are_kept_in_32_bits_and_verified(
    build: Callable[[str], keras.Model], policy: str
) -> None:
    model = build(policy)
    converted = allconv.convert(model)
    result = verify(model, converted)
    assert result.passed is True and result.max_error < 1e-5, result
    product = converted.get_layer("product")
    assert (product.variable_dtype, product.compute_dtype) == ("float32", policy)
    others = {layer.variable_dtype for layer in converted.layers if layer is not product}
    assert policy in others and converted.outputs[0].dtype == model.outputs[0].dtype


def as_policy(policy: str) -> keras.Model:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return plain()
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.skipif(keras.config.backend() == "jax", reason="jax makes float64 float32 by default")
def test_float64_is_held_to_its_own_precision() -> None:
    model = as_policy("float64")
    assert verify(model, with_channels_reversed(model)).max_error < 1e-14
    assert default_tolerance(model) < 1e-13


def test_a_tolerance_may_be_given() -> None:
    model = plain()
    (*_, (_, copy)) = disturbed_copies(model)
    last = copy.get_layer("last")
    last.kernel.assign(last.kernel * 1.01)
    assert verify(model, copy, tolerance=0.1).passed is True
    assert verify(model, copy, tolerance=1e-4).passed is False


def test_a_tolerance_below_rounding_is_held_to_as_well() -> None:
    model = plain()
    assert verify(model, with_channels_reversed(model), tolerance=1e-12).passed is False


def uses_tensorfloat32() -> bool:
    """Whether the backend may compute float32 with 10 bits of mantissa, on GPUs that can."""
    backend = importlib.import_module(keras.backend.backend())
    if backend.__name__ == "tensorflow":
        return backend.config.experimental.tensor_float_32_execution_enabled()
    if backend.__name__ == "jax":
        return backend.config.jax_default_matmul_precision != "highest"
    return backend.backends.cudnn.allow_tf32 or backend.get_float32_matmul_precision() != "highest"


@pytest.fixture
def tensorfloat32() -> Iterator[None]:
    """A backend that may use it, as users have it; the other tests may not."""
    backend = importlib.import_module(keras.backend.backend())
    if backend.__name__ == "tensorflow":
        backend.config.experimental.enable_tensor_float_32_execution(True)
        yield
        backend.config.experimental.enable_tensor_float_32_execution(False)
    elif backend.__name__ == "jax":
        with backend.default_matmul_precision("tensorfloat32"):
            yield
    else:
        backend.backends.cudnn.allow_tf32 = True
        backend.set_float32_matmul_precision("high")
        yield
        backend.backends.cudnn.allow_tf32 = False
        backend.set_float32_matmul_precision("highest")


def test_other_tests_compute_in_full_precision() -> None:
    assert not uses_tensorfloat32()


@pytest.mark.usefixtures("tensorfloat32")
def test_tensorfloat32_is_off_while_models_run_and_on_again_after() -> None:
    seen: list[bool] = []
    verify(lambda x: seen.append(uses_tensorfloat32()) or x, lambda x: x, np.eye(3))
    assert seen == [False]
    assert uses_tensorfloat32()


# The result


def test_the_line_reads_as_a_sentence() -> None:
    result = Verification(True, 2.1e-6, 1.0, 3e-5, samples=4, decisions=4)
    assert str(result) == (
        "verified: 4 inputs, largest relative error 2.1e-06 (tolerance 3.0e-05), "
        "argmax equal on 4 of 4"
    )
    failed = dataclasses.replace(result, passed=False, argmax_agreement=0.75)
    assert str(failed).startswith("failed: 4 inputs, largest relative error 2.1e-06")
    assert str(failed).endswith("argmax equal on 3 of 4")


def test_only_a_pass_is_true() -> None:
    assert [bool(Verification(passed)) for passed in (True, False, None)] == [True, False, False]


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    for size in (8, 9, 10, 11, 12, 13, 14):
        verify(plain(size=size), plain(size=size))
    assert capfd.readouterr() == ("", "")
