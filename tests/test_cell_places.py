"""Where the cells of a map lie in the image: `cell`, `box`, `centres`, `extent` of a geometry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv import Geometry
from allconv.errors import AllconvError
from tests.helpers.keras_comparison import network, outputs


def made_geometry(
    axes: int = 2, stride: float = 2, field: int | None = 28, offset: float = 13.5
) -> Geometry:
    """The same along each axis."""
    alike = {
        "output_stride": stride,
        "receptive_field": field,
        "offset": offset,
        "field_offset": offset,
    }
    others = {"minimum_input_size": 28, "input_size_step": 1, "period": 2}
    sizes = {"input_size": 28, "output_size": 1}
    numbers = {name: (value,) * axes for name, value in {**alike, **others, **sizes}.items()}
    return Geometry(**numbers, padded=())


WHERE = made_geometry()


def message_of(call, *args, **options) -> str:
    with pytest.raises(AllconvError) as caught:
        call(*args, **options)
    return str(caught.value)


def sliding_classifier():
    return network(
        (10, 8, 1), layers.Conv2D(4, 3), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3)
    )


# cell

fractions = st.sampled_from([1 / 3, 0.5, 1, 2, 3, 8, 32])
quarters = st.integers(-40, 160).map(lambda number: number / 4)


@given(stride=fractions, offset=quarters, pixel=quarters)
def test_no_other_cell_is_nearer_to_a_pixel_than_the_one_that_speaks_for_it(stride, offset, pixel):
    where = made_geometry(1, stride, 5, offset)
    distances = [abs(centre - pixel) for centre in where.centres((700,))[0]]
    nearest = min(distances)
    ties = [cell for cell, distance in enumerate(distances) if distance <= nearest + 1e-7]
    if pixel < offset - stride / 2 - 1e-9:
        assert "no cell speaks for pixel" in message_of(where.cell, (pixel,))
    else:
        assert where.cell((pixel,)) == (ties[-1],)  # midway the later one


def test_a_cell_may_be_asked_for_pixel_by_pixel_or_for_arrays_of_them():
    rows, columns = np.arange(13, 33).reshape(4, 5), np.arange(20, 40).reshape(4, 5)
    class_map = np.random.default_rng(0).random((17, 20, 3))
    found = class_map[WHERE.cell((rows, columns))]
    assert found.shape == (4, 5, 3)
    for place in np.ndindex(4, 5):
        cell = WHERE.cell((rows[place], columns[place]))
        assert all(type(number) is int for number in cell)
        np.testing.assert_array_equal(found[place], class_map[cell])


def test_a_pixel_before_the_first_cell_is_an_error_that_says_where_it_begins():
    expected = "no cell speaks for pixel {}: the first cell's place begins at (12.5, 12.5)"
    assert message_of(WHERE.cell, (20, 12)) == expected.format("(20, 12)")
    assert message_of(WHERE.cell, (np.arange(9), 20)) == expected.format("(array, 20)")
    assert WHERE.cell((12.5, 20)) == (0, 3)


# box


def test_a_cell_is_what_the_original_says_of_its_box():
    model = sliding_classifier()
    where = allconv.geometry(model)
    image = np.random.default_rng(0).random((23, 19, 1), dtype="float32")
    class_map = outputs(allconv.convert(model, input_size="any"), image[None])[0][0]
    for cell in np.ndindex(class_map.shape[:2]):
        crop = image[where.box(cell)]
        assert crop.shape == (10, 8, 1)
        np.testing.assert_allclose(class_map[cell], outputs(model, crop[None])[0][0], atol=1e-5)


def test_a_box_is_cut_to_the_image_and_padding_may_be_counted():
    where = allconv.geometry(network((8, 8, 1), layers.Conv2D(2, 5, padding="same")))
    image = np.zeros((8, 8))
    assert where.box((0, 3)) == (slice(0, 3), slice(1, 6))
    assert where.box((0, 3), padding=True) == (slice(-2, 3), slice(1, 6))
    assert image[where.box((7, 7))].shape == (3, 3)  # its end lies beyond the image


def test_a_cell_that_sees_nothing_but_padding_has_an_empty_box():
    where = allconv.geometry(network((8, 8, 1), layers.ZeroPadding2D(3), layers.Conv2D(2, 2)))
    assert where.box((0, 4)) == (slice(0, 0), slice(1, 3))
    assert np.zeros((8, 8))[where.box((0, 4))].size == 0


@pytest.mark.parametrize("axes", [1, 2, 3])
@given(
    cell=st.integers(0, 50), stride=st.integers(1, 9), field=st.integers(1, 99), first=st.integers()
)
def test_the_middle_of_a_box_is_the_centre_of_its_cell(axes, cell, stride, field, first):
    first %= 1000
    where = made_geometry(axes, stride, field, first - 500 + (field - 1) / 2)
    box = where.box((cell,) * axes, padding=True)
    assert [(each.start + each.stop - 1) / 2 for each in box] == [
        centres[cell] for centres in where.centres((51,) * axes)
    ]
    assert all(each.stop - each.start == field for each in box)
    assert box[0].start == first - 500 + stride * cell


def test_a_cell_that_depends_on_the_whole_image_has_all_of_it_as_its_box():
    where = replace(WHERE, receptive_field=(None, 28))
    assert where.box((2, 1)) == (slice(None), slice(2, 30))


def test_a_cell_with_a_number_below_0_is_none_of_the_map():
    assert message_of(WHERE.box, (0, -1)) == (
        "cell is (0, -1); the map's cells are numbered from 0"
    )


TWO = np.array([1, 2])

ODD = {
    "arrays": ("box", (TWO, TWO), "cell is (array, array); box takes one cell at a time, a whole"),
    "a fraction": ("box", (1.5, 0), "cell is (1.5, 0); expected a whole number for each axis, of"),
    "text": ("box", ("a", 1), "cell is ('a', 1); expected a whole number for each axis, of cells"),
    "nothing": ("box", (None, 1), "cell is (None, 1); expected a whole number for each axis, of"),
    "no pixel": ("cell", (float("nan"), 14), "pixel is (nan, 14); expected numbers, or arrays of"),
    "infinite": ("cell", (20, float("inf")), "pixel is (20, inf); expected numbers, or arrays of"),
    "named": ("cell", ("a", "b"), "pixel is ('a', 'b'); expected numbers, or arrays of numbers"),
    "half": ("cell", (13, None), "pixel is (13, None); expected numbers, or arrays of numbers"),
    "in a list": ("cell", ([13, None], 14), "pixel is (array, 14); expected numbers, or arrays"),
    "uneven": ("cell", ([1, [2]], 14), "pixel is (array, 14); expected numbers, or arrays"),
    "a list": ("box", ([1], 14), "cell is (array, 14); box takes one cell at a time"),
    "a word": ("cell", "ab", "pixel is 'ab'; this map has 2 axes"),
    "below 0": ("centres", (-2, 3), "size is (-2, 3); expected the map's cells along each axis"),
    "half a cell": ("extent", (2.5, 3), "size is (2.5, 3); expected the map's cells along each"),
    "free": ("centres", (None, 3), "size is (None, 3); expected the map's cells along each axis"),
    "no size": ("extent", ("a", 3), "size is ('a', 3); expected the map's cells along each axis"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_number_of_a_cell_or_pixel_is_an_error_that_says_what_is_expected(name):
    method, given_, expected = ODD[name]
    assert message_of(getattr(WHERE, method), given_).startswith(expected)


# centres and extent


def test_centres_are_the_places_of_all_cells():
    rows, columns = WHERE.centres((3, 2))
    assert rows.tolist() == [13.5, 15.5, 17.5]
    assert columns.tolist() == [13.5, 15.5]


@pytest.mark.parametrize(("stride", "offset"), [(2, 13.5), (1, 0), (0.5, -0.25), (32, 15.5)])
def test_matplotlib_draws_each_cell_around_its_centre(stride, offset):
    """Where matplotlib itself finds each cell, asked at its centre and beside its edges."""
    from matplotlib.backend_bases import MouseEvent
    from matplotlib.figure import Figure

    where = made_geometry(2, stride, 28, offset)
    class_map = np.arange(12.0).reshape(3, 4)
    figure = Figure()
    axes = figure.add_subplot()
    axes.imshow(np.zeros((90, 120)))
    drawn = axes.imshow(class_map, extent=where.extent(class_map.shape))
    rows, columns = where.centres(class_map.shape)
    for (row, column), value in np.ndenumerate(class_map):
        for aside in (0, -0.49 * stride, 0.49 * stride):
            place = axes.transData.transform((columns[column] + aside, rows[row] + aside))
            event = MouseEvent("motion_notify_event", figure.canvas, *place)
            assert drawn.get_cursor_data(event) == value


def test_a_map_of_the_image_s_own_cells_has_the_extent_of_the_image():
    from matplotlib.figure import Figure

    image = np.zeros((5, 7))
    drawn = Figure().add_subplot().imshow(image)
    where = allconv.geometry(network((5, 7, 1), layers.Conv2D(2, 3, padding="same")))
    assert where.extent(image.shape) == tuple(drawn.get_extent())


def test_extent_is_for_pictures():
    assert message_of(made_geometry(1).extent, (17,)) == (
        "extent is that of a picture, of 2 axes; this map has 1: centres(size) says where its "
        "cells look"
    )
    assert "this map has 3" in message_of(made_geometry(3).extent, (17, 9, 5))


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        ("extent", (17, 9, 10), "size is (17, 9, 10); this map has 2 axes"),
        ("centres", 17, "size is 17; this map has 2 axes"),
        ("box", 3, "cell is 3; this map has 2 axes"),
        ("cell", (3,), "pixel is (3); this map has 2 axes"),
    ],
)
def test_another_count_of_axes_is_refused(method, given, words):
    assert message_of(getattr(WHERE, method), given) == words


def test_a_map_of_one_axis_is_named_as_such():
    assert message_of(made_geometry(1).centres, (3, 4)) == "size is (3, 4); this map has 1 axis"
