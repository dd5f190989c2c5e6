"""The weight algebra, against loops that multiply and add one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from allconv.kernels import (
    average_taps,
    batchnorm_affine,
    depthwise_kernel,
    diagonal_kernel,
    identity_and_one,
    identity_kernel,
    identity_matrix,
    kernel_of_flattened,
    moved_bias,
    rows,
    scaled_columns,
    scaled_rows,
    shifted_bias,
    unfolding_kernel,
    with_bias_row,
)
from allconv.layout import Layout
from allconv.weights import Array, derive, fresh
from tests.helpers.slow_loops import convolved

RNG = np.random.default_rng(0)
ORDERS = list(itertools.permutations(range(3)))


def given() -> np.ndarray:  # a recipe is a named function
    raise NotImplementedError


def array_of(values: np.ndarray) -> Array:
    return derive(np.asarray, values, shape=values.shape)


def drawn(*shape: int) -> tuple[np.ndarray, Array]:
    values = RNG.normal(size=shape).astype("float32")
    return values, array_of(values)


def close(found: Array, expected: np.ndarray) -> None:
    values = found.read()
    assert values.shape == found.shape == expected.shape
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


def test_a_depthwise_kernel_holds_each_tap_once_for_every_channel():
    kernel = depthwise_kernel((2, 3), 4, (((0, 1), 2.5), ((1, 2), -1.0))).read()
    assert kernel.shape == (2, 3, 4, 1)
    for channel in range(4):
        assert kernel[:, :, channel, 0].tolist() == [[0, 2.5, 0], [0, 0, -1]]


def test_a_diagonal_kernel_convolves_each_channel_by_itself_as_the_depthwise_one():
    taps = (((0, 1), 2.5), ((1, 0), -1.0))
    images = RNG.normal(size=(1, 4, 5, 3))
    found = convolved(images, diagonal_kernel((2, 2), 3, taps).read())
    one = depthwise_kernel((2, 2), 3, taps).read()
    for channel in range(3):
        alone = convolved(images[..., [channel]], one[:, :, [channel]])
        np.testing.assert_allclose(found[..., [channel]], alone)


@pytest.mark.parametrize("window", [(1,), (3, 2), (2, 2, 2)])
def test_average_taps_are_all_cells_and_sum_to_one(window):
    taps = average_taps(window)
    assert {cell for cell, _ in taps} == set(np.ndindex(*window))
    assert sum(factor for _, factor in taps) == pytest.approx(1.0)
    assert {factor for _, factor in average_taps(window, 1.0)} == {1.0}


@pytest.mark.parametrize("order", ORDERS)
def test_a_dense_on_a_flattened_map_is_a_convolution_as_large_as_the_map(order):
    images = RNG.normal(size=(2, 3, 2, 4))
    flat = images.transpose(0, *[axis + 1 for axis in order]).reshape(2, -1)
    matrix, dense = drawn(24, 5)
    sizes = [images.shape[axis + 1] for axis in order]
    kernel = kernel_of_flattened(dense, order, sizes)
    assert kernel.shape == (3, 2, 4, 5)
    np.testing.assert_allclose(
        convolved(images, kernel.read())[:, 0, 0], flat @ matrix, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("order", ORDERS)
def test_an_identity_kernel_flattens_the_map(order):
    images = RNG.normal(size=(2, 3, 2, 4))
    flat = images.transpose(0, *[axis + 1 for axis in order]).reshape(2, -1)
    sizes = [images.shape[axis + 1] for axis in order]
    kernel = identity_kernel(order, sizes).read()
    np.testing.assert_allclose(convolved(images, kernel)[:, 0, 0], flat)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_an_unfolding_kernel_writes_the_values_of_the_matrix_into_the_map(data_format):
    target = Layout(data_format, (2, 3), 4)
    values, matrix = drawn(5, 24)
    kernel = unfolding_kernel(matrix, target).read()
    assert kernel.shape == (2, 3, 4, 5)
    vector = RNG.normal(size=5)
    unfolded = (vector @ values).reshape(target.shape((2, 3), 4))
    if data_format == "channels_first":
        unfolded = np.moveaxis(unfolded, 0, -1)
    for cell in np.ndindex(2, 3):
        np.testing.assert_allclose(kernel[cell] @ vector, unfolded[cell], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("names", [(), ("gamma",), ("beta",), ("gamma", "beta")])
def test_a_batch_normalization_is_the_affine_of_its_formula(names):
    mean, variance = RNG.normal(size=4), RNG.uniform(0.5, 2, size=4)
    gamma = RNG.normal(size=4) if "gamma" in names else np.ones(4)
    beta = RNG.normal(size=4) if "beta" in names else np.zeros(4)
    parts = {"moving_mean": mean, "moving_variance": variance, "gamma": gamma, "beta": beta}
    kept = ("moving_mean", "moving_variance", *names)
    weights = {name: array_of(parts[name].astype("float32")) for name in kept}
    scale, shift = batchnorm_affine(weights, 0.01)
    x = RNG.normal(size=(3, 4))
    expected = gamma * (x - mean) / np.sqrt(variance + 0.01) + beta
    np.testing.assert_allclose(x * scale.read() + shift.read(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("biased", [True, False])
def test_an_affine_before_a_dense_goes_into_its_kernel_and_bias(biased):
    (kernel, k), (scale, s), (shift, t), (bias, b) = drawn(4, 3), drawn(4), drawn(4), drawn(3)
    x = RNG.normal(size=(2, 4)).astype("float32")
    expected = (scale * x + shift) @ kernel + (bias if biased else 0)
    found = x @ scaled_rows(k, s).read() + shifted_bias(k, t, b if biased else None).read()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("biased", [True, False])
def test_an_affine_after_a_dense_goes_into_its_kernel_and_bias(biased):
    (kernel, k), (scale, s), (shift, t), (bias, b) = drawn(4, 3), drawn(3), drawn(3), drawn(3)
    x = RNG.normal(size=(2, 4)).astype("float32")
    expected = scale * (x @ kernel + (bias if biased else 0)) + shift
    found = x @ scaled_columns(k, s).read() + moved_bias(b if biased else None, s, t).read()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_bias_is_one_more_row_for_an_input_that_is_always_one():
    (matrix, m), (bias, b) = drawn(4, 3), drawn(3)
    cell = RNG.normal(size=(1, 1, 1, 4))
    weights = {name: array.read() for name, array in identity_and_one(4).items()}
    with_one = convolved(cell, weights["kernel"]) + weights["bias"]
    assert with_one[0, 0, 0].tolist() == [*cell[0, 0, 0].tolist(), 1.0]
    found = with_one[0, 0, 0] @ with_bias_row(m, b).read()
    np.testing.assert_allclose(found, cell[0, 0, 0] @ matrix + bias, rtol=1e-5)


def test_rows_are_rows_and_the_identity_is_the_identity():
    values, array = drawn(5, 2)
    close(rows(array, 1, 4), values[1:4])
    close(identity_matrix(3), np.eye(3, dtype="float32"))


def test_what_is_made_of_fresh_weights_is_fresh_and_of_the_right_shape():
    kernel = fresh((24, 5), "float16")
    made = [
        kernel_of_flattened(kernel, (2, 0, 1), (4, 3, 2)),
        rows(kernel, 0, 6),
        with_bias_row(kernel, fresh((5,))),
        shifted_bias(kernel, drawn(24)[1], None),
    ]
    assert [array.shape for array in made] == [(3, 2, 4, 5), (6, 5), (25, 5), (5,)]
    assert all(array.is_fresh and array.dtype == "float16" for array in made)
    with pytest.raises(ValueError, match="fresh weights have no values before the layer is built"):
        kernel.read()


def test_equal_derivations_are_equal_without_reading_a_value():
    unread = Array((24, 5), "float32", given)
    assert kernel_of_flattened(unread, (0, 1, 2), (3, 2, 4)) == kernel_of_flattened(
        unread, (0, 1, 2), (3, 2, 4)
    )
    assert rows(unread, 0, 2) != rows(unread, 1, 3)
    assert depthwise_kernel((2, 2), 3, (((0, 0), 1.0),)) != depthwise_kernel(
        (2, 2), 3, (((0, 1), 1.0),)
    )
