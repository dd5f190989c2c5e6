"""One axis at a time: against windows that are really slid, and cells that are really counted."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from allconv import shapes
from allconv.errors import ShapeError
from allconv.shapes import broadcast, product, same_padding, transposed_output, window_output

sizes = st.integers(1, 30)
windows = st.integers(1, 7)
strides = st.integers(1, 5)
dilations = st.integers(1, 4)
margins = st.tuples(st.integers(0, 6), st.integers(0, 6))


def slide(cells: list[int], window: int, stride: int, dilation: int) -> list[list[int]]:
    """The cells under every window that lies on the axis with all of its cells."""
    offsets = [dilation * step for step in range(window)]
    places = ([start + offset for offset in offsets] for start in range(0, len(cells), stride))
    return [[cells[place] for place in under] for under in places if under[-1] < len(cells)]


@given(sizes, windows, strides, margins, dilations)
@settings(deadline=None)
def test_a_window_fits_as_often_as_it_can_be_slid(size, window, stride, margin, dilation):
    before, after = margin
    windows_slid = slide(list(range(before + size + after)), window, stride, dilation)
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
    left = list(range(size))[-crop:]
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
        if len(slide(list(range(size + total)), window, stride, dilation)) >= wanted
    )
    assert before + after == least
    assert after - before in (0, 1)


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


@given(sizes, windows, strides, dilations, st.integers(0, 3))
@settings(deadline=None)
def test_a_transposed_window_reaches_as_far_as_its_last_cell(
    size, window, stride, dilation, output_padding
):
    touched = {cell * stride + dilation * step for cell in range(size) for step in range(window)}
    reached = len(range(min(touched), max(touched) + 1))
    ours = transposed_output(size, window, stride, "valid", output_padding, dilation)
    assert ours == reached + output_padding


@given(sizes, windows, strides, dilations)
@settings(deadline=None)
def test_a_transposed_valid_convolution_fills_its_last_stride(size, window, stride, dilation):
    reached = transposed_output(size, window, stride, "valid", 0, dilation)
    filled = transposed_output(size, window, stride, "valid", dilation=dilation)
    assert filled == max(reached, size * stride)


@given(sizes, windows, strides, st.sampled_from(["valid", "same"]), dilations)
@settings(deadline=None)
def test_a_transposed_window_undoes_the_size_of_a_window(size, window, stride, padding, dilation):
    grown = transposed_output(size, window, stride, padding, dilation=dilation)
    assert window_output(grown, window, stride, padding, dilation) == size


@given(sizes, windows, strides, dilations)
@settings(deadline=None)
def test_a_transposed_same_convolution_multiplies_the_size(size, window, stride, dilation):
    grown = transposed_output(size, window, stride, "same", dilation=dilation)
    assert grown == size * stride


@given(windows, strides, dilations, st.sampled_from(["valid", "same"]))
@settings(deadline=None)
def test_an_unknown_size_stays_unknown(window, stride, dilation, padding):
    assert window_output(None, window, stride, padding, dilation) is None
    assert transposed_output(None, window, stride, padding, dilation=dilation) is None
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
        ((9, 3, 1, "full"), "the padding is 'full', expected 'valid', 'same' or a pair"),
        ((None, 3, 1, "full"), "the padding is 'full', expected 'valid', 'same' or a pair"),
    ],
)
def test_a_vanishing_map_is_an_error_that_names_the_sizes(arguments, message):
    with pytest.raises(ShapeError) as error:
        window_output(*arguments)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (1, 2, 2, "same", 0),
            "a transposed window of 2 with stride 2 and output padding 0 leaves nothing of a map "
            "of 1",
        ),
        ((4, 3, 2, "causal"), "the padding is 'causal', expected 'valid' or 'same'"),
    ],
)
def test_a_transposed_convolution_that_cannot_be_is_an_error(arguments, message):
    with pytest.raises(ShapeError) as error:
        transposed_output(*arguments)
    assert str(error.value) == message


def test_shapes_that_do_not_broadcast_are_an_error_that_names_both():
    with pytest.raises(ShapeError) as error:
        broadcast([(None, 8, 8, 3), (1,), (None, 8, 7, 3)])
    assert str(error.value) == (
        "shapes (None, 8, 8, 3) and (None, 8, 7, 3) do not go together: 8 against 7 cells"
    )


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(shapes).failed == 0
