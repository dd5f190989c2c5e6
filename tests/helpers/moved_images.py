"""An oracle for finer class maps: the map at a network's own stride, of images that are moved."""

from __future__ import annotations

import itertools

import numpy as np

from tests.helpers.keras_comparison import outputs


def assert_holds_the_maps_of_moved_images(coarse, finer, image, strides, geometry, margin=None):
    """Each cell of a finer map, but for its margin, is one of a map of moved images.

    They are moved in a ring, back and forth, by less than a stride; so every cell that sees the
    image alone is one of such a map that does not see the place where the ring is closed.
    """
    margin, output_stride = margin or geometry.margin, geometry.output_stride
    fields = zip(geometry.field_offset, geometry.receptive_field, strict=True)
    first = [int(centre - (field - 1) / 2) for centre, field in fields]
    last = [start + field - 1 for start, field in zip(first, geometry.receptive_field, strict=True)]
    (found,) = outputs(finer, [image])
    rank, sizes = len(strides), image.shape[1:-1]
    held = np.zeros(found.shape[1:-1], bool)
    steps = [
        range(-own + each, own, each) for own, each in zip(strides, output_stride, strict=True)
    ]
    moves = list(itertools.product(*steps))
    axes = tuple(range(1, rank + 1))
    moved = [np.roll(image, [-cells for cells in move], axes) for move in moves]
    (expected,) = outputs(coarse, [np.concatenate(moved)])
    for number, move in enumerate(moves):
        each_axis = zip(
            *(expected.shape[1:-1], found.shape[1:-1], strides, output_stride),
            *(move, sizes, margin, first, last),
            strict=True,
        )
        pairs = [_cells(*axis) for axis in each_axis]
        own, finer_cells = (np.ix_(*(pair[side] for pair in pairs)) for side in (0, 1))
        np.testing.assert_array_less(
            np.abs(
                found[(slice(None), *finer_cells)] - expected[(slice(number, number + 1), *own)]
            ),
            1e-6 * np.ptp(found) + 1e-9,
        )
        held[finer_cells] = True
    inside = held[tuple(slice(a, n - b) for (a, b), n in zip(margin, held.shape, strict=True))]
    assert inside.size
    assert inside.all()


def _cells(count, finer_count, own, each, move, size, margin, first, last):
    """Cells of one axis: of the map of moved images, and the same of the finer map.

    Those that do not see the place where the ring is closed.
    """
    found = []
    for cell in range(count):
        finer = (own * cell + move) // each
        begins, ends = first + each * finer, last + each * finer
        whole = begins >= move if move > 0 else ends < size + move
        if margin[0] <= finer < finer_count - margin[1] and (whole or move == 0):
            found.append((cell, finer))
    return [cell for cell, _ in found], [finer for _, finer in found]
