"""Transposed convolutions and the way back: against cells that are counted, and sizes tried out."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from allconv.errors import ShapeError
from allconv.layers import transposed_shapes
from allconv.layers.transposed_shapes import input_sizes, transposed_output
from allconv.shapes import padding_cells, window_output
from tests.helpers.slid_windows import sizes_that_give

sizes = st.integers(1, 30)
windows = st.integers(1, 7)
strides = st.integers(1, 5)
dilations = st.integers(1, 4)
names = st.sampled_from(["valid", "same", "causal", "full"])
margins = st.tuples(st.integers(-3, 6), st.integers(-3, 6))


# sizes of results


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


@given(sizes, windows, strides, dilations)
@settings(deadline=None)
def test_a_transposed_same_convolution_multiplies_the_size(size, window, stride, dilation):
    grown = transposed_output(size, window, stride, "same", dilation=dilation)
    assert grown == size * stride


@given(sizes, windows, strides, st.sampled_from(["valid", "same"]), dilations)
@settings(deadline=None)
def test_a_transposed_window_undoes_the_size_of_a_window(size, window, stride, padding, dilation):
    grown = transposed_output(size, window, stride, padding, dilation=dilation)
    assert window_output(grown, window, stride, padding, dilation) == size


@given(windows, strides, names, dilations)
@settings(deadline=None)
def test_an_unknown_size_stays_unknown(window, stride, padding, dilation):
    assert transposed_output(None, window, stride, padding, dilation=dilation) is None


# the way back


@given(st.integers(1, 9), windows, strides, names | margins, dilations)
@settings(deadline=None)
def test_the_input_sizes_are_all_that_give_the_size(size, window, stride, padding, dilation):
    def added(tried):
        return padding_cells(tried, window, stride, padding, dilation)

    found = list(input_sizes(size, window, stride, padding, dilation))
    assert found == sizes_that_give(size, window, stride, added, dilation)


@given(st.integers(1, 9), windows, strides, names | margins, dilations)
@settings(deadline=None)
def test_output_padding_tells_the_input_sizes_apart(size, window, stride, padding, dilation):
    assume(padding != "same" or window % 2 or dilation % 2 == 0)
    candidates = input_sizes(size, window, stride, padding, dilation)
    assume(len(candidates) == stride)
    grown = [
        transposed_output(size, window, stride, padding, extra, dilation) for extra in range(stride)
    ]
    assert grown == list(candidates)


@given(st.integers(2, 9), st.sampled_from([2, 4, 6]), strides)
@settings(deadline=None)
def test_an_even_window_with_same_comes_back_one_cell_short(size, window, stride):
    first = transposed_output(size, window, stride, "same", 0)
    assert first == input_sizes(size, window, stride, "same")[0] - 1
    assert window_output(first, window, stride, "same") == size - 1


def test_a_padding_with_room_for_more_windows_leaves_no_size():
    assert not input_sizes(1, window=5, padding="full")
    assert window_output(1, window=5, padding="full") == 5


# errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (1, 2, 2, "same", 0),
            "a transposed window of 2 with stride 2 and output padding 0 leaves nothing of a map "
            "of 1",
        ),
        (
            (3, 5, 1, "full"),
            "a transposed window of 5 with stride 1 and output padding 0 leaves nothing of a map "
            "of 3",
        ),
        (
            (4, 3, 2, "half"),
            "the padding is 'half', expected 'valid', 'same', 'causal', 'full' or a pair (before, "
            "after)",
        ),
    ],
)
def test_a_transposed_convolution_that_cannot_be_is_an_error(arguments, message):
    with pytest.raises(ShapeError) as error:
        transposed_output(*arguments)
    assert str(error.value) == message


def test_an_unknown_padding_has_no_way_back():
    with pytest.raises(ShapeError, match="the padding is 'half', expected 'valid'"):
        input_sizes(4, 3, 2, "half")


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(transposed_shapes).failed == 0
