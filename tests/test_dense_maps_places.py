"""Where the cells of a finer class map look: the crop that each speaks for, and what it sees."""

from __future__ import annotations

import numpy as np
import pytest
from keras import layers

import allconv
from tests.helpers.dense_networks import residual, same_padded
from tests.helpers.keras_comparison import assert_close, network, outputs

HEIGHT, WIDTH = 60, 52


def with_rows_left_out(padding="valid"):
    """A classifier of 28x28 whose last pool leaves a row out: 26, 13, 11, 5 or 28, 14, 7, 3."""
    conv, pool = layers.Conv2D, layers.MaxPooling2D
    steps = [conv(2, 3, padding=padding), pool(2), conv(2, 3, padding=padding), pool(2)]
    steps += [pool(2)] if padding == "same" else []
    return network((28, 28, 1), *steps, layers.Flatten(), layers.Dense(3))


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_cell_is_in_the_middle_of_the_crop_that_begins_at_its_pixel(stride):
    model = with_rows_left_out()
    where = allconv.geometry(model, output_stride=stride)
    assert where.offset == (13.5, 13.5)
    image = np.random.default_rng(0).random((1, HEIGHT, WIDTH, 1))
    finer = allconv.convert(model, input_size="any", output_stride=stride)
    (found,) = outputs(finer, image)
    for pixel in ((30, 22), (31, 25), (44, 36)):
        row, column = where.cell(pixel)
        top, left = row * stride, column * stride
        middle = np.array([top + 13.5, left + 13.5])
        assert np.abs(middle - pixel).max() <= stride / 2
        (crop,) = outputs(model, image[:, top : top + 28, left : left + 28])
        assert_close(found[:, row, column], crop)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_box_of_a_cell_holds_what_it_depends_on(stride):
    """Of 28 rows the last two are left out, which the finer map sees from its next cells."""
    model = with_rows_left_out()
    where = allconv.geometry(model, output_stride=stride)
    finer = allconv.convert(model, input_size="any", output_stride=stride)
    cell, image = (9, 5), np.random.default_rng(0).random((1, HEIGHT, WIDTH, 1))
    rows, columns = where.box(cell)
    assert rows.start == 9 * stride and rows.stop - rows.start == where.receptive_field[0] < 28
    found = outputs(finer, image)[0][:, *cell]

    outside = np.full(image.shape, 100.0)
    outside[:, rows, columns] = image[:, rows, columns]
    np.testing.assert_array_equal(outputs(finer, outside)[0][:, *cell], found)
    for edge in (rows.start, rows.stop - 1):
        inside = image.copy()
        inside[:, edge] = 100.0 * (-1) ** np.arange(WIDTH)[:, np.newaxis]
        assert np.abs(outputs(finer, inside)[0][:, *cell] - found).max() > 1e-3


def test_a_map_at_every_pixel_is_drawn_from_half_a_pixel_before_its_first_centre():
    where = allconv.geometry(with_rows_left_out(), output_stride=1)
    assert where.extent((33, 25)) == (13.0, 38.0, 46.0, 13.0)
    np.testing.assert_array_equal(where.centres((33, 25))[0], 13.5 + np.arange(33))


@pytest.mark.parametrize(
    ("build", "cells"), [(with_rows_left_out, 3), (residual, 2), (same_padded, 1)]
)
def test_the_first_cell_of_a_finer_map_is_where_that_of_the_network_s_own_is(build, cells):
    """On images of the model's own size the finer map may have more than one cell."""
    model = build()
    own, finer = (allconv.geometry(model, output_stride=each) for each in (None, 1))
    assert (own.output_size, finer.output_size) == ((1, 1), (cells, cells))
    assert (finer.offset, finer.field_offset) == (own.offset, own.field_offset)
    sized = allconv.report(model, input_size=(HEIGHT, WIDTH), output_stride=1).geometry
    assert sized.offset == own.offset == tuple((size - 1) / 2 for size in own.input_size)


def test_a_cell_of_a_padded_classifier_is_in_the_middle_of_the_moved_image():
    where = allconv.geometry(with_rows_left_out("same"), output_stride=2)
    assert where.output_stride == (2, 2)
    assert where.offset == (13.5, 13.5)
    assert where.field_offset[0] < 13.5


def test_a_cell_of_a_network_that_gives_maps_is_in_the_middle_of_what_it_sees():
    model = network((16, 16, 2), layers.Conv2D(3, 3, strides=2), layers.Conv2D(2, 3, strides=2))
    own, finer = (allconv.geometry(model, output_stride=each) for each in (None, 1))
    assert own.offset == own.field_offset == finer.offset == finer.field_offset == (3.0, 3.0)


def test_with_an_input_size_a_cell_sees_what_it_does_at_that_size():
    """Padding `same` with a stride begins elsewhere on 21 rows than on the model's own 20."""
    steps = [layers.Conv2D(2, 3, strides=2, padding="same"), layers.Conv2D(2, 3)]
    model = network((20, 20, 1), *steps)
    finer = allconv.convert(model, input_size=(21, 21), output_stride=1)
    here = allconv.geometry(model, input_size=(21, 21), output_stride=1)
    assert here.box((3, 3)) == allconv.geometry(finer).box((3, 3)) == (slice(2, 9),) * 2
    assert allconv.geometry(model, output_stride=1).box((3, 3)) == (slice(3, 10),) * 2
