"""Pictures in batches, for what goes through them several times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

LENGTH = 32
"""Pictures of one size that are given at once."""


class PictureBatches:
    """Batches of pictures of one size, read anew each time they are gone through.

    So memory does not depend on their number.

    Args:
        samples: Functions that read one each, as a batch of one.
    """

    def __init__(self, samples: Sequence[Callable[[], list[np.ndarray]]]) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[np.ndarray]:
        batch: list[np.ndarray] = []
        for sample in self.samples:
            (picture,) = sample()
            if batch and (len(batch) == LENGTH or batch[0].shape != picture.shape):
                yield np.concatenate(batch)
                batch = []
            batch.append(picture)
        if batch:
            yield np.concatenate(batch)
