"""The relationships of Dumoulin & Visin (arXiv 1603.07285), by number, each against slid windows.

Their letters: an axis of `i` cells, a window of `k`, stride `s`, `p` cells of padding on each side,
dilation `d`, and a result of `o`; of transposed convolutions `i_` and `o_` for their i' and o'. The
transpose leads from what a convolution gives to what it took, so `o_` has to be `i`.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from keras import layers

from allconv.layers.transposed_shapes import transposed_output
from allconv.shapes import window_output
from tests.helpers.slid_windows import axis, left_over, slide, stretched

sizes, windows, strides = st.integers(1, 30), st.integers(1, 7), st.integers(1, 5)
paddings, dilations, halves = st.integers(0, 6), st.integers(1, 4), st.integers(0, 3)


def law(*drawn):
    return lambda test: settings(deadline=None)(given(*drawn)(test))


def slid(i, k, s=1, p=0, d=1):
    """How many windows fit."""
    assume((k - 1) * d < i + 2 * p)
    return len(slide(axis(i, p, p), k, s, d))


# convolutions


@law(sizes, windows)
def test_relationship_1_no_padding_unit_strides(i, k):
    assert slid(i, k) == window_output(i, k) == (i - k) + 1


@law(sizes, windows, paddings)
def test_relationship_2_padding_unit_strides(i, k, p):
    assert slid(i, k, p=p) == window_output(i, k, padding=(p, p)) == (i - k) + 2 * p + 1


@law(sizes, halves)
def test_relationship_3_half_padding_of_an_odd_window_keeps_the_size(i, n):
    k = 2 * n + 1
    assert slid(i, k, p=n) == window_output(i, k, padding="same") == i


@law(sizes, windows)
def test_relationship_4_full_padding_grows_the_size(i, k):
    assert slid(i, k, p=k - 1) == window_output(i, k, padding="full") == i + (k - 1)


@law(sizes, windows, strides)
def test_relationship_5_no_padding_and_strides(i, k, s):
    assert slid(i, k, s) == window_output(i, k, s) == (i - k) // s + 1


@law(sizes, windows, strides, paddings)
def test_relationship_6_padding_and_strides(i, k, s, p):
    assert slid(i, k, s, p) == window_output(i, k, s, (p, p)) == (i + 2 * p - k) // s + 1


@law(sizes, windows, strides)
def test_relationship_7_pooling(i, k, s):
    assume(k <= i)
    pool = layers.MaxPooling1D(k, s)
    o = pool.compute_output_shape((None, i, 1))[1]
    assert slid(i, k, s) == window_output(i, k, s) == o == (i - k) // s + 1


@law(sizes, windows, strides, paddings, dilations)
def test_relationship_15_dilation(i, k, s, p, d):
    o = (i + 2 * p - k - (k - 1) * (d - 1)) // s + 1
    assert slid(i, k, s, p, d) == window_output(i, k, s, (p, p), d) == o


# transposed convolutions


def equivalent(i_, k, s=1, p=0, a=0):
    """The size that the paper's equivalent convolution of a stretched axis gives."""
    return len(slide(axis(len(stretched(i_, s)), k - p - 1, k - p - 1 + a), k))


@law(sizes, windows)
def test_relationship_8_no_padding_unit_strides_transposed(i, k):
    i_ = slid(i, k)
    assert transposed_output(i_, k) == equivalent(i_, k) == i
    assert i_ + (k - 1) == i


@law(sizes, windows, paddings)
def test_relationship_9_padding_unit_strides_transposed(i, k, p):
    i_ = slid(i, k, p=p)
    assert transposed_output(i_, k, padding=(p, p)) == equivalent(i_, k, p=p) == i
    assert i_ + (k - 1) - 2 * p == i


@law(sizes, halves)
def test_relationship_10_half_padding_of_an_odd_window_transposed_keeps_the_size(i, n):
    k = 2 * n + 1
    i_ = slid(i, k, p=n)
    assert transposed_output(i_, k, padding="same") == equivalent(i_, k, p=n) == i == i_


@law(sizes, windows)
def test_relationship_11_full_padding_transposed_is_no_padding(i, k):
    i_ = slid(i, k, p=k - 1)
    assert transposed_output(i_, k, padding="full") == equivalent(i_, k, p=k - 1) == i
    assert i_ - (k - 1) == slid(i_, k) == i


@law(windows, strides, st.integers(0, 9))
def test_relationship_12_no_padding_and_strides_transposed(k, s, steps):
    i = k + s * steps
    i_ = slid(i, k, s)
    assert transposed_output(i_, k, s, (0, 0)) == equivalent(i_, k, s) == i
    assert s * (i_ - 1) + k == i


@law(windows, strides, paddings, st.integers(0, 9))
def test_relationship_13_padding_and_strides_transposed(k, s, p, steps):
    i = k + s * steps - 2 * p
    assume(i > 0)
    i_ = slid(i, k, s, p)
    assert transposed_output(i_, k, s, (p, p)) == equivalent(i_, k, s, p) == i
    assert s * (i_ - 1) + k - 2 * p == i


@law(sizes, windows, strides, paddings)
def test_relationship_14_output_padding_tells_apart_what_strides_made_equal(i, k, s, p):
    assume(k <= i + 2 * p)
    cells = axis(i, p, p)
    places = slide(cells, k, s)
    i_, a = len(places), left_over(cells, places)
    assert a == (i + 2 * p - k) % s
    assert transposed_output(i_, k, s, (p, p), a) == equivalent(i_, k, s, p, a) == i
    assert s * (i_ - 1) + a + k - 2 * p == i


# as published, and as Keras computes


@pytest.mark.parametrize(
    ("figure", "i", "k", "s", "p", "o"),
    [
        ("2.1", 4, 3, 1, 0, 2),
        ("2.2", 5, 4, 1, 2, 6),
        ("2.3", 5, 3, 1, 1, 5),
        ("2.4", 5, 3, 1, 2, 7),
        ("2.5", 5, 3, 2, 0, 2),
        ("2.6", 5, 3, 2, 1, 3),
        ("2.7", 6, 3, 2, 1, 3),
    ],
)
def test_the_figures_of_the_paper_show_these_sizes_and_their_transposes(figure, i, k, s, p, o):
    assert window_output(i, k, s, (p, p)) == o
    a = {"2.7": 1}.get(figure, 0)  # figure 4.7: one row and one column of zeros more
    assert transposed_output(o, k, s, (p, p), a) == i


def test_the_figure_of_a_dilated_window_shows_this_size():
    assert window_output(7, 3, dilation=2) == 3  # figure 5.1


@given(sizes, windows, strides, paddings, dilations)
@settings(max_examples=50, deadline=None)
def test_a_padding_and_a_convolution_in_keras_give_these_sizes(i, k, s, p, d):
    assume((k - 1) * d < i + 2 * p and 1 in (s, d))
    conv = layers.Conv1D(1, k, strides=s, dilation_rate=d)
    padded = layers.ZeroPadding1D(p).compute_output_shape((None, i, 1))
    assert conv.compute_output_shape(padded) == (None, window_output(i, k, s, (p, p), d), 1)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), halves)
@settings(max_examples=25, deadline=None)
def test_a_transposed_convolution_in_keras_is_the_transpose_of_the_slid_windows(i, k, s, p):
    assume(k <= i + 2 * p)
    cells = axis(i, p, p)
    places = slide(cells, k, s)
    kernel, values = 2.0 ** np.arange(k), np.arange(1.0, len(places) + 1)
    expected = np.zeros(len(cells))
    for value, under in zip(values, places, strict=True):
        expected[[cells.index(cell) for cell in under]] += value * kernel
    a = left_over(cells, places)
    layer = layers.Conv1DTranspose(1, k, strides=s, output_padding=a, use_bias=False)
    layer.build((None, len(values), 1))
    layer.set_weights([kernel[:, None, None]])
    found = keras.ops.convert_to_numpy(layer(values[None, :, None].astype("float32"))).ravel()
    np.testing.assert_allclose(found, expected)
    assert transposed_output(len(values), k, s, (p, p), a) == len(found) - 2 * p == i
