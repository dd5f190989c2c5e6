"""How long networks take for an image, in turns, so that what else the machine does meets all."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import keras
import numpy as np


def milliseconds_per_image(
    models: Mapping[str, keras.Model], images: np.ndarray, batch_sizes: Sequence[int], rounds: int
) -> dict[str, dict[int, list[float]]]:
    """Times of `predict_on_batch` by name and batch size, one for each of `rounds` rounds.

    A first round that is not counted compiles and warms up.
    """
    times: dict[str, dict[int, list[float]]] = {name: {} for name in models}
    for size in batch_sizes:
        batch = images[:size]
        for count in range(rounds + 1):
            for name, model in models.items():
                start = time.perf_counter()
                model.predict_on_batch(batch)
                taken = 1000 * (time.perf_counter() - start) / len(batch)
                times[name].setdefault(size, []).extend([taken] if count else [])
    return times


def ratio(times: Sequence[float], reference: Sequence[float]) -> tuple[float, float, float]:
    """Median and quartiles of the ratios of neighbouring runs."""
    ratios = np.divide(times, reference)
    return float(np.median(ratios)), *map(float, np.quantile(ratios, (0.25, 0.75)))
