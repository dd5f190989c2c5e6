"""Images as batches, however they are given: an array, several, or something that gives batches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from allconv.errors import OptionError
from allconv.verification.batches import batches_of, is_whole
from allconv.verification.inputs import arrange, batch_size, samples_of, slices
from allconv.verification.sizes import refuse_sizes


class Batches:
    """Images in batches, as often as they are asked for.

    Args:
        images: One array, a dictionary of arrays by the inputs' names, or for a model of several
            inputs a list of arrays, samples along the first axis; or what gives batches of these
            each time it is gone through: a list of arrays, a `keras.utils.PyDataset`, a
            `tf.data.Dataset`. A batch that is a tuple is (images, labels): labels are not used.
        model: The model that takes them.
        length: Images in a batch.
    """

    def __init__(self, images: Any, model: Any, length: int) -> None:
        self.source = images
        self.model = model
        self.length = batch_size(model) or length
        self.fitting: set[tuple[tuple[int, ...], ...]] = set()
        if length < 1:
            raise OptionError(f"batch_size is a number >= 1, got {length}")
        if isinstance(images, Iterator):
            raise OptionError(
                f"images: got a {type(images).__name__}, which can be read only once, but each "
                "layer needs the images again; give an array, a list of batches, a PyDataset or a "
                "tf.data.Dataset"
            )

    @cached_property
    def images(self) -> int:
        """How many there are."""
        return sum(samples_of(batch) for batch in self)

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        for arrays in self.given():
            yield from slices(arrays, self.length)

    def given(self) -> Iterator[list[np.ndarray]]:
        """Yield the images as they were given, batch by batch or all at once, checked.

        Raises:
            OptionError: They do not fit the model, or are not finite.
        """
        for part in self._parts():
            arrays = arrange(part, self.model, "original")
            self._refuse_sizes(arrays)
            for array in arrays:
                _check_finite(array)
            yield arrays

    def _refuse_sizes(self, arrays: list[np.ndarray]) -> None:
        """Raise an OptionError where a model of free sizes takes no images of these; once each."""
        shapes = tuple(array.shape[1:] for array in arrays)
        if shapes not in self.fitting:
            refuse_sizes(self.model, [array.shape for array in arrays], "images")
            self.fitting.add(shapes)

    def _parts(self) -> Iterator[Any]:
        """Yield what the model takes at once, batch by batch or all of it."""
        if self.is_whole():
            yield self.source
        else:
            yield from batches_of(self.source, "images")

    def is_whole(self) -> bool:
        """Tell whether all images are there as arrays."""
        return is_whole(self.source, self.model)


def _check_finite(array: np.ndarray) -> None:
    if array.dtype.kind != "f":
        return
    lost = array.size - int(np.isfinite(array).sum())
    if lost:
        raise OptionError(f"images: {lost:,} of {array.size:,} values are NaN or infinite")
