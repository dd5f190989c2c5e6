"""What a cell of the class map sees is what `geometry` says, where one row is changed."""

from __future__ import annotations

import numpy as np

import allconv
from allconv.errors import ConversionError
from tests.agreement import outputs

MOST_CELLS = 40
DRAWS = 4


def sees_what_geometry_says(model, converted, case):
    """No cell outside the receptive field moves the middle cell; the field's own borders do."""
    if case.is_first or len(model.inputs) != 1 or len(model.outputs) != 1:
        return
    try:
        geometry = allconv.geometry(model)
        anywhere = allconv.convert(model, input_size="any")
    except ConversionError:
        return
    assert_fields(anywhere, geometry, model.inputs[0].shape)


def assert_fields(anywhere, geometry, shape):
    sizes = grown(geometry, shape[1:-1])
    if max(sizes) > MOST_CELLS:
        return
    for axis, field in enumerate(geometry.receptive_field):
        seen, cell = seen_by_the_middle(anywhere, (*sizes, shape[-1]), axis)
        centre = geometry.offset[axis] + cell * geometry.output_stride[axis]
        first, last = 0, sizes[axis] - 1
        if field is not None:
            first, last = centre - (field - 1) / 2, centre + (field - 1) / 2
        outside = [row for row in seen if not first - 0.5 <= row <= last + 0.5]
        assert not outside, f"axis {axis}: rows {outside} are outside of {first:g} to {last:g}"


def grown(geometry, sizes):
    """The model's own image, larger by whole periods, so that nothing inside is shifted."""
    return [n + 2 * period for n, period in zip(sizes, geometry.period, strict=True)]


def seen_by_the_middle(anywhere, shape, axis):
    """The rows of an axis that move the middle cell of the map, and that cell's number."""
    rng, rows = np.random.default_rng(0), shape[axis]
    seen: set[int] = set()
    for scale in np.geomspace(1, 100, DRAWS):
        images = np.repeat(rng.normal(size=(1, *shape)), rows + 1, axis=0)
        for row in range(rows):
            images[row].swapaxes(0, axis)[row] = scale * rng.normal(size=())
        (values,) = outputs(anywhere, [images.astype("float32")])
        cells = tuple(n // 2 for n in values.shape[1:-1])
        middle = values[(slice(None), *cells)].astype("float64")
        moved = np.abs(middle[:-1] - middle[-1]).max(axis=-1)
        seen |= set(np.flatnonzero(moved > 1e-4 * (np.abs(middle).max() + 1e-6)).tolist())
    return sorted(seen), cells[axis]
