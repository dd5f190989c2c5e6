"""What a cell of the class map sees is what `geometry` says, against images with changed rows.

A network whose weights are positive passes on whatever grows: then the first and the last row of
the receptive field move the cell, too. Others may have rows in it that move nothing.
"""

from __future__ import annotations

import re

import keras
import numpy as np

import allconv
from allconv.errors import ConversionError
from allconv.export.comparison.keras_differences import known_difference
from allconv.read import read
from allconv.verification.precision import operations_of
from tests.helpers.closeness import comparable
from tests.helpers.keras_comparison import outputs

MOST_CELLS = 40
SCALES = (1.0, 10.0, 100.0)

PASSING = re.compile(
    r"InputLayer|(Depthwise|Separable)?Conv\dD|(Global)?(Max|Average)Pooling\dD|Dense|Flatten"
    r"|BatchNormalization|ZeroPadding\dD|Cropping\dD|Add|Average|Concatenate|ReLU|Identity"
    r"|(Spatial)?Dropout.*|Gaussian.*"
)
"""Layers that let any cell through that their windows have."""


def sees_what_geometry_says(model, converted, case):
    """No cell outside the receptive field moves the middle cell; the field's own borders do."""
    if case.is_first or len(model.inputs) != 1 or len(model.outputs) != 1:
        return
    if known_difference(read(model)):
        # Without oneDNN TensorFlow leaves out the first cells of a map.
        return
    passes = all(PASSING.fullmatch(type(each).__name__) for each in operations_of(model))
    model = positive(model) if passes else model
    try:
        geometry = allconv.geometry(model)
        anywhere = allconv.convert(model, input_size="any")
    except ConversionError:
        return
    # In 16 bits, sums that are taken in another order move a cell, too.
    assert_fields(comparable(anywhere), geometry, model.inputs[0].shape, passes)


def positive(model):
    """A copy of a network in which nothing is subtracted, and nothing is saturated."""
    text = re.sub(r'"activation": "(?!linear")\w+"', '"activation": "relu"', model.to_json())
    copy = keras.models.model_from_json(text)
    for old, new in zip(model.weights, copy.weights, strict=True):
        value = np.abs(np.asarray(old))
        new.assign(-value if old.name == "moving_mean" else value)
    return copy


def assert_fields(anywhere, geometry, shape, passes):
    pairs = zip(shape[1:-1], geometry.period, strict=True)
    # By whole periods, so that nothing inside is shifted.
    sizes = [n + 4 * period for n, period in pairs]
    if max(sizes) > MOST_CELLS:
        return
    for axis, field in enumerate(geometry.receptive_field):
        seen, cell = seen_by_the_middle(anywhere, (*sizes, shape[-1]), axis)
        centre = geometry.field_offset[axis] + cell * geometry.output_stride[axis]
        first, last = 0, sizes[axis] - 1
        if field is not None:
            first, last = centre - (field - 1) / 2, centre + (field - 1) / 2
        words = f"axis {axis}: sees {seen}, geometry says {first:g} to {last:g}"
        assert all(first - 0.5 <= row <= last + 0.5 for row in seen), words
        box = geometry.box((cell,) * len(sizes))[axis]
        assert set(seen) <= set(range(sizes[axis])[box]), f"{words}; the box is {box}"
        if passes and field is not None:
            # A field of an even number of cells is told up to half a cell.
            ends = {int(np.ceil(first)), int(np.floor(last))} & set(range(sizes[axis]))
            assert ends <= set(seen), words


def seen_by_the_middle(anywhere, shape, axis):
    """The rows of an axis that move the middle cell of the map, and that cell's number."""
    rng, rows = np.random.default_rng(0), shape[axis]
    seen: set[int] = set()
    for scale in SCALES:
        images = np.repeat(rng.uniform(0, 1, (1, *shape)), rows + 1, axis=0)
        for row in range(rows):
            images[row].swapaxes(0, axis)[row] += scale * rng.uniform(0.5, 1)
        (values,) = outputs(anywhere, [images.astype("float32")])
        cells = tuple(n // 2 for n in values.shape[1:-1])
        middle = values[(slice(None), *cells)].astype("float64")
        moved = np.abs(middle[:-1] - middle[-1]).max(axis=-1)
        seen |= set(np.flatnonzero(moved > 1e-5 * (np.abs(middle[-1]).max() + 1e-6)).tolist())
    return sorted(seen), cells[axis]
