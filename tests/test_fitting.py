"""The rooms of `calibrate`, against NumPy and Keras: least squares, windows, pairs, statistics."""

from __future__ import annotations

from itertools import pairwise

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.errors import CalibrationError, OptionError
from allconv.fitting.agreement import Score
from allconv.fitting.batches import Batches
from allconv.fitting.least_squares.batchnorm import Moments
from allconv.fitting.least_squares.normal_equations import (
    FEW,
    MOST_AT_ONCE,
    NormalEquations,
    best_ridge,
)
from allconv.fitting.least_squares.pairing import pair
from allconv.fitting.least_squares.rows import cut
from allconv.fitting.least_squares.rows import drawn as drawn_cells
from allconv.fitting.least_squares.solve import FARTHER, relaxed
from allconv.fitting.least_squares.targets import Fit
from allconv.fitting.least_squares.windows import conv_windows, winners
from allconv.read import read
from tests.helpers.keras_comparison import network, outputs, random_images
from tests.helpers.networks import mnist_cnn, twins

RNG = np.random.default_rng(0)
NO_RIDGE = 1e-14


def drawn(*shape):
    return RNG.standard_normal(shape)


def equations_of(rows, residuals, bias=True):
    equations = NormalEquations(rows.shape[1], residuals.shape[1], bias)
    equations.add(rows, residuals)
    return equations


# Normal equations


@pytest.mark.parametrize("bias", [True, False])
def test_without_a_ridge_the_step_is_the_least_squares_of_lstsq(bias):
    rows, residuals = drawn(60, 5), drawn(60, 3)
    design = np.hstack([rows, np.ones((60, 1))]) if bias else rows
    expected = np.linalg.lstsq(design, residuals, rcond=None)[0]
    found = equations_of(rows, residuals, bias).step(NO_RIDGE)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_ridge_is_lstsq_with_a_row_more_for_each_weight_and_none_for_the_bias():
    rows, targets, start, weights = drawn(40, 4), drawn(40, 2), drawn(5, 2), drawn(5, 2)
    equations = equations_of(rows, targets - rows @ weights[:4] - weights[4])
    root = np.sqrt(0.3 * np.mean((rows**2).sum(axis=0)))
    design = np.vstack([np.hstack([rows, np.ones((40, 1))]), np.eye(4, 5) * root])
    wanted = np.vstack([targets, start[:4] * root])
    expected = np.linalg.lstsq(design, wanted, rcond=None)[0]
    found = weights + equations.step(0.3, weights - start)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_many_batches_are_one():
    rows, targets = drawn(90, 4), drawn(90, 2)
    parts = NormalEquations(4, 2)
    for first in range(0, 90, 7):
        parts.add(rows[first : first + 7], targets[first : first + 7])
    whole = equations_of(rows, targets)
    assert parts.rows == whole.rows
    np.testing.assert_allclose(parts.gram, whole.gram)
    np.testing.assert_allclose(parts.moments, whole.moments)


def test_the_sums_do_not_grow_with_the_rows():
    few, many = equations_of(drawn(10, 4), drawn(10, 2)), equations_of(drawn(999, 4), drawn(999, 2))
    assert few.gram.nbytes + few.moments.nbytes == many.gram.nbytes + many.moments.nbytes


def test_sums_of_float32_are_off_by_no_more_than_one_block_explains():
    rows, residuals = (drawn(30_000, n).astype("float32") for n in (3, 2))
    design = np.hstack([rows, np.ones((30_000, 1))]).astype("float64")
    equations = equations_of(rows, residuals)
    # Whatever the order in which a BLAS adds n products (Higham 2002, equation 3.5).
    bound = MOST_AT_ONCE * 2.0**-24 / (1 - MOST_AT_ONCE * 2.0**-24)
    for found, right in ((equations.gram, design), (equations.moments, residuals)):
        off = np.abs(found - design.T @ right)
        assert np.all(off <= bound * (np.abs(design).T @ np.abs(right)))


def test_blocks_of_float32_are_added_up_in_float64():
    huge = np.full((MOST_AT_ONCE, 1), 2.0**16, "float32")
    equations = equations_of(huge, huge)
    before = equations.gram[0, 0], equations.moments[0, 0]
    for _ in range(3):  # whole numbers: exact in any order, and less than half a unit of `before`
        equations.add(np.ones((999, 1), "float32"), np.ones((999, 1), "float32"))
    assert (equations.gram[0, 0] - before[0], equations.moments[0, 0] - before[1]) == (2997, 2997)


def test_where_nothing_is_missed_the_step_is_zero_whatever_the_ridge():
    for ridge in (1e-4, 1.0, 1e3):
        assert not equations_of(drawn(30, 4), np.zeros((30, 2))).step(ridge).any()


def test_a_value_that_no_image_shows_keeps_its_weights():
    rows = drawn(30, 4)
    rows[:, 2] = 0
    step = equations_of(rows, drawn(30, 2)).step(1e-3)
    np.testing.assert_allclose(step[2], 0, atol=1e-12)
    assert np.abs(step[1]).min() > 1e-3


def test_the_error_is_the_sum_of_squares_but_for_that_of_the_residuals():
    rows, residuals, step = drawn(30, 4), drawn(30, 2), drawn(5, 2)
    made = rows @ step[:4] + step[4]
    expected = np.sum((made - residuals) ** 2) - np.sum(residuals**2)
    assert equations_of(rows, residuals).error(step) == pytest.approx(expected)


def test_the_ridge_is_weak_where_there_is_much_to_learn_and_strong_where_only_noise():
    shown, held, truth = drawn(900, 5), drawn(300, 5), drawn(6, 2)

    def results(rows):
        return rows @ truth[:5] + truth[5]

    clear = [equations_of(rows, results(rows)) for rows in (shown, held)]
    noise = [equations_of(rows, drawn(len(rows), 2)) for rows in (shown[:20], held)]
    assert best_ridge(*clear) < best_ridge(*noise)


def test_the_ridge_is_a_fixed_one_where_nothing_is_held_back():
    equations = equations_of(drawn(9, 2), drawn(9, 1))
    assert best_ridge(equations, NormalEquations(2, 1)) == FEW


def test_values_that_are_not_finite_are_an_error():
    with pytest.raises(CalibrationError, match="give it values that are not finite"):
        equations_of(np.array([[np.inf]]), np.array([[1.0]])).step(1)
    with pytest.raises(CalibrationError, match="the images give it nothing to be fitted to"):
        NormalEquations(1, 1).step(1)


# Windows

SIZES = st.integers(1, 3)


@settings(deadline=None, max_examples=12)
@given(
    rank=st.integers(1, 3),
    kernel=SIZES,
    stride=SIZES,
    dilation=st.integers(1, 2),
    padding=st.sampled_from(["valid", "same", "causal"]),
)
def test_windows_times_the_kernel_are_what_keras_convolves(rank, kernel, stride, dilation, padding):
    if padding == "causal" and rank > 1:
        padding = "same"
    dilation = 1 if stride > 1 else dilation  # Keras has both at once on no backend
    # TensorFlow 2.21 begins elsewhere in volumes, with padding 'same', if cells are stepped over.
    stride = min(stride, kernel) if rank == 3 else stride
    conv = getattr(layers, f"Conv{rank}D")(
        4, kernel, strides=stride, dilation_rate=dilation, padding=padding
    )
    model = network((*(9, 8, 7)[:rank], 2), conv)
    images = random_images(model)
    rows = conv_windows(images[0], conv.get_config())
    (expected,) = outputs(model, images)
    weights = keras.ops.convert_to_numpy(conv.kernel).reshape(-1, 4)
    found = rows @ weights + keras.ops.convert_to_numpy(conv.bias)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-4)


@settings(deadline=None, max_examples=8)
@given(
    rank=st.integers(1, 3),
    window=SIZES,
    stride=SIZES,
    padding=st.sampled_from(["valid", "same"]),
)
def test_the_winners_of_the_values_themselves_are_the_max_pool(rank, window, stride, padding):
    stride = min(stride, window) if rank == 3 else stride  # as above
    pool = getattr(layers, f"MaxPooling{rank}D")(window, stride, padding=padding)
    model = network((*(6, 5, 7)[:rank], 2), pool)
    images = random_images(model)
    (expected,) = outputs(model, images)
    np.testing.assert_array_equal(winners(images[0], images[0], pool.get_config()), expected)


def test_winners_of_other_maps_are_what_these_hold_where_the_largest_value_is():
    values = np.array([[3.0, 1.0, 2.0, 5.0]])[..., None]
    maps = np.array([[10.0, 20.0, 30.0, 40.0]])[..., None]
    config = {"pool_size": [2], "strides": [2], "padding": "valid"}
    np.testing.assert_array_equal(winners(values, maps, config)[..., 0], [[10.0, 40.0]])


@pytest.mark.parametrize("layer", [layers.Conv2D(4, 3, strides=2), layers.Dense(4)])
def test_drawn_cells_are_some_of_all_each_once_and_the_same_each_time(layer):
    model = network((9, 8, 2), layer)
    images = random_images(model)[0]
    (results,) = outputs(model, [images])
    numbers = np.arange(len(images))
    cells = drawn_cells(results, numbers, 5)
    np.testing.assert_array_equal(cells, drawn_cells(results, numbers, 5))
    assert all(len(set(row)) == 5 for row in cells)
    spec = read(model).nodes[1].spec
    kernel, bias = (array.read() for array in spec.weights.values())
    windows, wanted = cut(images, results, spec, cells)
    np.testing.assert_allclose(windows @ kernel.reshape(-1, 4) + bias, wanted, atol=1e-4)
    assert drawn_cells(results, numbers, 99) is None


# Before a relu


def test_targets_before_a_relu_are_free_where_nothing_is_wanted():
    fit = Fit("pool", "pool", (), relu=True)
    made, wanted = np.array([[-2.0, 3.0, -1.0, 4.0]]), np.array([[0.0, 0.0, 5.0, 6.0]])
    np.testing.assert_array_equal(relaxed(made, wanted, fit), [[-2.0, 0.0, 5.0, 6.0]])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_fitting_to_relaxed_targets_never_makes_the_error_larger(seed):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((40, 3))
    wanted = np.maximum(rng.standard_normal((40, 2)), 0)
    weights = rng.standard_normal((4, 2))
    fit = Fit("pool", "pool", (), relu=True)
    errors = []
    for _ in range(4):
        made = rows @ weights[:3] + weights[3]
        missed = np.where(wanted > 0, made - wanted, np.maximum(made, 0))
        errors.append(np.sum(missed**2))
        step = equations_of(rows, relaxed(made, wanted, fit) - made).step(NO_RIDGE)
        weights = weights + FARTHER * step
    assert all(b <= a + 1e-9 for a, b in pairwise(errors))


# Pairing


def steps_of(model, refit=True, **options):
    pairing = pair(read(model), read(allconv.convert(model, **options)), refit)
    return [(type(step).__name__, step.layer) for step in pairing.steps], pairing


def test_each_pool_is_followed_by_the_convolutions_below_it():
    names = [name for _, name in steps_of(mnist_cnn(), pooling="conv")[0]]
    assert names == ["pool1", "conv2", "pool2", "conv3", "pool3", "hidden", "classes"]
    alone = [name for _, name in steps_of(mnist_cnn(), refit=False, pooling="conv")[0]]
    assert alone == ["pool1", "pool2", "pool3"]


def test_pools_that_stay_exact_are_not_fitted_nor_what_is_above_the_first_new_layer():
    names = [name for _, name in steps_of(mnist_cnn(), pooling={"pool3": "conv"})[0]]
    assert names == ["pool3", "hidden", "classes"]


def test_a_convolution_that_took_a_pool_s_strides_stands_for_it():
    _, pairing = steps_of(mnist_cnn(), refit=False, pooling="stride")
    assert [(step.layer, step.stands_for) for step in pairing.steps] == [
        ("conv1", "pool1"),
        ("conv2", "pool2"),
        ("conv3", "pool3"),
    ]
    assert all(step.relu for step in pairing.steps)


def test_a_shared_pool_is_fitted_once_to_all_of_its_calls():
    _, pairing = steps_of(twins(), pooling="conv")
    assert [(step.layer, len(step.targets)) for step in pairing.steps] == [
        ("pool", 2),
        ("dense", 2),
    ]


def normed(fold=False):
    return network(
        (12, 12, 2),
        layers.Conv2D(4, 3, name="conv1"),
        layers.BatchNormalization(name="norm1"),
        layers.ReLU(name="relu1"),
        layers.MaxPooling2D(2, name="pool"),
        layers.Conv2D(4, 3, use_bias=False, name="conv2"),
        layers.BatchNormalization(name="norm2"),
        layers.ReLU(name="relu2"),
        layers.Flatten(name="flatten"),
        layers.Dense(3, name="classes"),
    )


def test_a_normalization_below_gets_new_statistics_and_counts_before_the_relu():
    steps, pairing = steps_of(normed(), pooling="conv")
    assert steps == [
        ("Fit", "pool"),
        ("Fit", "conv2"),
        ("Renorm", "norm2"),
        ("Fit", "classes"),
    ]
    conv2 = pairing.steps[1]
    assert conv2.relu and conv2.norm.name == "norm2"
    steps, pairing = steps_of(normed(), pooling="stride")
    assert steps[0] == ("Fit", "conv1") and ("Renorm", "norm1") not in steps
    assert pairing.steps[0].norm.name == "norm1"


def test_a_convolution_that_a_normalization_was_folded_into_is_to_give_what_that_gave():
    _, pairing = steps_of(normed(), pooling="conv", fold_batchnorm=True)
    conv2 = pairing.steps[1]
    assert conv2.targets[0].values.name == "norm2" and conv2.relu and conv2.norm is None


def test_pools_that_no_layer_can_be_fitted_to_are_left_with_the_reason():
    model = mnist_cnn()
    pooling = {"pool3": allconv.ConvPool(filters=5), "pool2": allconv.ConvPool(activation="tanh")}
    _, pairing = steps_of(model, pooling=pooling)
    assert pairing.not_fitted == {
        "pool2": "'pool2' ends in tanh, not in relu or linear",
        "pool3": "'pool3' gives (None, 3, 3, 5) where it gave (None, 3, 3, 64)",
    }


# Statistics


def test_moments_of_batches_are_those_of_numpy():
    values, moments = drawn(20, 3, 2), Moments()
    for part in np.split(values, 5):
        moments.add(part)
    np.testing.assert_allclose(moments.mean(), values.mean(axis=(0, 1)))
    np.testing.assert_allclose(moments.variance(), values.var(axis=(0, 1)))


def test_the_score_of_batches_is_the_coefficient_of_determination():
    wanted, score = drawn(20, 3), Score()
    found = wanted + 0.1 * drawn(20, 3)
    for first in range(0, 20, 6):
        score.add(found[first : first + 6], wanted[first : first + 6])
    total = np.sum((wanted - wanted.mean(axis=0)) ** 2)
    assert score.r2 == pytest.approx(1 - np.sum((found - wanted) ** 2) / total)


# Images


class Sequence(keras.utils.PyDataset):
    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index >= 3:
            raise AssertionError("past the end")
        return self.images[2 * index : 2 * index + 2], np.zeros(2)


def test_images_are_the_same_however_they_are_given():
    model, images = mnist_cnn(), drawn(6, 28, 28, 1).astype("float32")
    ways = [images, {"image": images}, [images[:4], images[4:]], Sequence(images)]
    for way in ways:
        batches = Batches(way, model, 4)
        assert batches.images == 6
        assert max(len(batch[0]) for batch in batches) <= 4
        np.testing.assert_array_equal(np.concatenate([batch[0] for batch in batches]), images)


def test_several_inputs_are_a_list_or_a_dictionary():
    model = twins()
    left, right = drawn(2, 5, 16, 16, 3)
    for way in ([left, right], {"right": right, "left": left}, [([left, right], None)]):
        ((first, second),) = Batches(way, model, 8)
        np.testing.assert_allclose(first, left, rtol=1e-6)
        np.testing.assert_allclose(second, right, rtol=1e-6)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (iter(()), "read only once, but each layer needs the images again"),
        (5, "images: expected arrays, got int"),
        (np.zeros((2, 9, 9, 1)), "does not fit input 'image' of the original model"),
        (np.full((2, 28, 28, 1), np.nan), "images: 1,568 of 1,568 values are NaN or infinite"),
    ],
)
def test_images_that_cannot_be_used_are_an_error_that_says_why(images, message):
    with pytest.raises(OptionError, match=message):
        list(Batches(images, mnist_cnn(), 4))
