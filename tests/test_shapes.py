"""One axis at a time: against windows that are really slid, and cells that are really counted."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from allconv import shapes
from allconv.errors import ShapeError
from allconv.shapes import broadcast, padding_cells, product, same_padding, window_output
from tests.helpers.slid_windows import axis, slide

sizes = st.integers(1, 30)
windows = st.integers(1, 7)
strides = st.integers(1, 5)
dilations = st.integers(1, 4)
margins = st.tuples(st.integers(0, 6), st.integers(0, 6))


@given(sizes, windows, strides, margins, dilations)
@settings(deadline=None)
def test_a_window_fits_as_often_as_it_can_be_slid(size, window, stride, margin, dilation):
    before, after = margin
    windows_slid = slide(axis(size, before, after), window, stride, dilation)
    if windows_slid:
        assert window_output(size, window, stride, margin, dilation) == len(windows_slid)
    else:
        with pytest.raises(ShapeError):
            window_output(size, window, stride, margin, dilation)


@given(sizes, windows, strides, dilations)
@settings(deadline=None)
def test_valid_is_padding_by_nothing(size, window, stride, dilation):
    assume((window - 1) * dilation < size)
    valid = window_output(size, window, stride, "valid", dilation)
    assert valid == window_output(size, window, stride, (0, 0), dilation)


@given(sizes, windows, strides, st.integers(-3, -1), dilations)
@settings(deadline=None)
def test_negative_padding_crops(size, window, stride, crop, dilation):
    left = axis(size, crop)
    assume(slide(left, window, stride, dilation))
    cropped = window_output(size, window, stride, (crop, 0), dilation)
    assert cropped == len(slide(left, window, stride, dilation))


@given(sizes, windows, strides, dilations)
@settings(deadline=None)
def test_same_keeps_every_stride_of_the_map(size, window, stride, dilation):
    starts = range(0, size, stride)
    assert window_output(size, window, stride, "same", dilation) == len(starts)


@given(sizes, windows, strides, dilations)
@settings(deadline=None)
def test_same_padding_is_the_least_that_is_enough_and_its_smaller_half_comes_first(
    size, window, stride, dilation
):
    before, after = same_padding(size, window, stride, dilation)
    wanted = len(range(0, size, stride))
    least = next(
        total
        for total in range(100)
        if len(slide(axis(size, 0, total), window, stride, dilation)) >= wanted
    )
    assert before + after == least
    assert after - before in (0, 1)


@given(sizes, windows, dilations)
@settings(deadline=None)
def test_full_padding_makes_room_for_every_window_that_holds_a_cell_of_the_map(
    size, window, dilation
):
    before, after = padding_cells(size, window, padding="full", dilation=dilation)
    reach = (window - 1) * dilation
    everywhere = slide(axis(size, 2 * reach + 1, 2 * reach + 1), window, 1, dilation)
    holding = [under for under in everywhere if under[0] < size and under[-1] >= 0]
    assert slide(axis(size, before, after), window, 1, dilation) == holding


@given(sizes, windows, strides, dilations)
@settings(deadline=None)
def test_causal_padding_lets_no_window_look_ahead(size, window, stride, dilation):
    before, after = padding_cells(size, window, stride, "causal", dilation)
    slid = slide(axis(size, before, after), window, stride, dilation)
    assert [under[-1] for under in slid] == axis(size)[::stride]


@given(st.integers(1, 12), st.integers(1, 5), strides, dilations)
@settings(max_examples=25, deadline=None)
def test_same_padding_is_where_keras_puts_its_zeros(size, window, stride, dilation):
    keras = pytest.importorskip("keras")
    assume(stride == 1 or dilation == 1)  # TensorFlow has no kernels for both at once
    before, after = same_padding(size, window, stride, dilation)
    axis = np.arange(1.0, size + 1)
    padded = list(np.pad(axis, (before, after)))
    kernel = 2.0 ** np.arange(window)
    ours = [float(np.dot(kernel, under)) for under in slide(padded, window, stride, dilation)]
    theirs = keras.ops.conv(
        axis[None, :, None].astype("float32"),
        kernel[:, None, None].astype("float32"),
        strides=stride,
        padding="same",
        dilation_rate=dilation,
        data_format="channels_last",
    )
    np.testing.assert_allclose(keras.ops.convert_to_numpy(theirs).ravel(), ours)


@given(windows, strides, dilations, st.sampled_from(["valid", "same"]))
@settings(deadline=None)
def test_an_unknown_size_stays_unknown(window, stride, dilation, padding):
    assert window_output(None, window, stride, padding, dilation) is None
    assert product([2, None, window]) is None


@given(st.data())
@settings(deadline=None)
def test_known_shapes_broadcast_as_in_numpy(data):
    axis = st.lists(st.sampled_from([1, 2, 3]), max_size=3).map(tuple)
    operands = data.draw(st.lists(axis, min_size=1, max_size=3))
    try:
        expected = np.broadcast_shapes(*operands)
    except ValueError:
        with pytest.raises(ShapeError):
            broadcast(operands)
    else:
        assert broadcast(operands) == expected
        assert broadcast(operands, forget_unknown=True) == expected


@pytest.mark.parametrize(
    ("other", "sharp", "forgetful"), [(None, None, None), (1, None, None), (5, 5, None)]
)
def test_an_unknown_size_broadcasts_to_the_known_one_unless_told_to_forget(other, sharp, forgetful):
    for operands in ([(None,), (other,)], [(other,), (None,)]):
        assert broadcast(operands) == (sharp,)
        assert broadcast(operands, forget_unknown=True) == (forgetful,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 5), "a window of 5 does not fit a map of 3"),
        ((3, 2, 1, "valid", 4), "a window of 2 with dilation 4 (5 cells) does not fit a map of 3"),
        ((2, 5, 1, (0, 1)), "a window of 5 does not fit a map of 2 padded by 0 + 1"),
    ],
)
def test_a_vanishing_map_is_an_error_that_names_the_sizes(arguments, message):
    with pytest.raises(ShapeError) as error:
        window_output(*arguments)
    assert message in str(error.value)


@pytest.mark.parametrize("size", [9, None])
def test_an_unknown_padding_is_an_error_that_lists_the_known_ones(size):
    with pytest.raises(ShapeError) as error:
        window_output(size, 3, 1, "half")
    assert str(error.value) == (
        "the padding is 'half', expected 'valid', 'same', 'causal', 'full' or a pair (before, "
        "after)"
    )


def test_shapes_that_do_not_broadcast_are_an_error_that_names_both():
    with pytest.raises(ShapeError) as error:
        broadcast([(None, 8, 8, 3), (1,), (None, 8, 7, 3)])
    assert str(error.value) == (
        "shapes (None, 8, 8, 3) and (None, 8, 7, 3) do not go together: 8 against 7 cells"
    )


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(shapes).failed == 0
