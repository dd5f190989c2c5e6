"""Class maps at every pixel of VGG16 and ResNet50, against their own maps of moved images."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import allconv
from tests.helpers.keras_comparison import outputs
from tests.helpers.randomized import damp_branches, randomize

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "stride"), [("VGG16", 1), ("ResNet50", 4)])
def test_each_cell_but_for_the_margin_is_that_of_the_map_of_the_moved_image(name, stride):
    build = getattr(keras.applications, name)
    model = build(weights=None, include_top=False, pooling="avg", input_shape=(32, 32, 3))
    damp_branches(randomize(model))
    own, geometry = allconv.geometry(model), allconv.geometry(model, output_stride=stride)
    assert own.output_stride == (32, 32)
    assert own.receptive_field == geometry.receptive_field
    size = ((own.receptive_field[0] + 31) // 32 + 1) * 32
    coarse, finer = (
        allconv.convert(model, input_size=(size, size), output_stride=each)
        for each in (None, stride)
    )
    image = np.random.default_rng(0).normal(size=(1, size, size, 3)).astype("float32")
    (found,) = outputs(finer, [image])
    for move in [(0, 0), (stride, 32 - stride), (16, 8)]:
        (expected,) = outputs(coarse, [np.roll(image, (-move[0], -move[1]), (1, 2))])
        cells = [
            compared(len(expected[0]), each, 32, stride, *margin, count)
            for each, margin, count in zip(move, geometry.margin, found.shape[1:3], strict=True)
        ]
        rows, columns = (
            [32 * i + each for i in axis] for axis, each in zip(cells, move, strict=True)
        )
        assert rows
        assert columns
        np.testing.assert_allclose(
            found[0][np.ix_([n // stride for n in rows], [n // stride for n in columns])],
            expected[0][np.ix_(*cells)],
            rtol=0,
            atol=1e-5 * np.ptp(expected),
        )


def compared(count, move, own, stride, before, behind, finer_count):
    """The cells of a map of moved images that see neither padding nor where the ring is closed."""
    first = -(-before * stride // own)
    return [i for i in range(first, count) if (own * i + move) // stride < finer_count - behind]
