"""Images to train on, and some that are held back to see whether a network becomes better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from allconv.errors import CalibrationError
from allconv.fitting.batches import Batches
from allconv.verification.inputs import slices

HELD_BACK = 0.1
"""The share of the images that are held back, to see whether the network becomes better."""
MOST_HELD_BACK = 1000
"""Images that are held back at most."""


@dataclass(frozen=True)
class Split:
    """Images to train on, and others.

    Attributes:
        data: What `fit` takes: arrays, which it shuffles, or batches in the order they are given.
        held: The images that are held back, an array for each input.
        steps: Batches in an epoch.
        length: Images in a batch.
    """

    data: dict[str, Any]
    held: list[np.ndarray]
    steps: int
    length: int

    def measured(self) -> Iterator[list[np.ndarray]]:
        """Yield the images that are held back, in batches."""
        return slices(self.held, self.length)


def split(batches: Batches) -> Split:
    """Return the images to train on and those held back; all are both where there are very few."""
    length = batches.length
    if not batches.images:
        raise CalibrationError("there are no images; give some")
    if batches.is_whole():
        (arrays,) = batches.given()
        kept = len(arrays[0]) - min(int(HELD_BACK * len(arrays[0])), MOST_HELD_BACK)
        held = [array[kept:] if kept < len(array) else array for array in arrays]
        shown = [array[:kept] for array in arrays]
        return Split({"x": plain(shown), "batch_size": length}, held, -(-kept // length), length)
    total = sum(1 for _ in batches)
    skipped = min(total - 1, 1)
    data = _in_order(batches, skipped, total - skipped)
    return Split({"x": data, "shuffle": False}, next(iter(batches)), total - skipped, length)


def plain(arrays: list[np.ndarray]) -> Any:
    """Return inputs as the networks take them."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def _in_order(batches: Batches, first: int, length: int) -> Any:
    """Return the batches behind the first ones as a PyDataset."""
    import keras

    class InOrder(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.rest: Iterator[list[np.ndarray]] = iter(())

        def __len__(self) -> int:
            return length

        def __getitem__(self, index: int) -> tuple[Any]:
            if index == 0:  # of each epoch, and where Keras looks at the first ones beforehand
                self.rest = islice(batches, first, None)
            return (plain(next(self.rest)),)

    return InOrder()
