"""Bilinear kernels in Keras' transposed convolutions, against NumPy's interpolation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from keras import layers

from allconv.kernels import bilinear_centre, bilinear_kernel, bilinear_window, usual_part


def upsampled(maps, factors, parts=None):
    """Upsample maps `(batch, *sizes, channels)` by one of Keras' layers."""
    kernel = bilinear_kernel(factors, maps.shape[-1], parts).read()
    make = {1: layers.Conv1DTranspose, 2: layers.Conv2DTranspose}[len(factors)]
    layer = make(maps.shape[-1], kernel.shape[:-2], strides=factors, use_bias=False)
    layer.build(maps.shape)
    layer.set_weights([kernel])
    return np.asarray(layer(maps))


def inside(values, factor, axis):
    """Leave out what lies before the first cell of the map, or behind its last."""
    return np.take(values, range(factor, values.shape[axis] - factor), axis)


@pytest.mark.parametrize("factor", range(1, 6))
@pytest.mark.parametrize("part", [None, Fraction(0), Fraction(1, 4), Fraction(1, 2)])
def test_values_between_cells_lie_on_straight_lines(factor, part):
    values = np.random.default_rng(factor).normal(size=7)
    part = usual_part(factor) if part is None else part
    found = upsampled(values[None, :, None].astype("float32"), (factor,), (part,))[0, :, 0]
    places = (np.arange(len(found)) - float(bilinear_centre(factor, part))) / factor
    expected = np.interp(places, np.arange(7), values)
    np.testing.assert_allclose(inside(found, factor, 0), inside(expected, factor, 0), atol=1e-5)


def test_a_ramp_stays_a_ramp_in_each_channel_by_itself():
    rows, columns = np.mgrid[:5, :6].astype("float32")
    maps = np.stack([rows, columns], -1)[None]
    found = inside(inside(upsampled(maps, (2, 3)), 2, 1), 3, 2)[0]
    np.testing.assert_allclose(np.diff(found[..., 0], axis=0), 1 / 2, atol=1e-5)
    np.testing.assert_allclose(np.diff(found[..., 0], axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(np.diff(found[..., 1], axis=1), 1 / 3, atol=1e-5)
    np.testing.assert_allclose(np.diff(found[..., 1], axis=0), 0, atol=1e-5)


def test_the_usual_windows_are_those_of_fcn():
    windows = [bilinear_window(factor, usual_part(factor)) for factor in (2, 3, 8, 16, 32)]
    assert windows == [4, 5, 16, 32, 64]
    centres = [bilinear_centre(factor, usual_part(factor)) for factor in (2, 3, 32)]
    assert centres == [Fraction(3, 2), 2, Fraction(63, 2)]
