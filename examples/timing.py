"""How long networks take for an image, in turns, so that what else the machine does meets all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np


def milliseconds_per_image(
    models: Mapping[str, keras.Model],
    work: Callable[[keras.Model], object],
    images: int,
    rounds: int,
) -> dict[str, list[float]]:
    """Time `work`, which is on so many images, by name, once for each of `rounds` rounds.

    A first round that is not counted compiles and warms up.
    """
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds + 1):
        for name, model in models.items():
            start = time.perf_counter()
            work(model)
            times[name].append(1000 * (time.perf_counter() - start) / images)
    return {name: taken[1:] for name, taken in times.items()}


def ratio(times: Sequence[float], reference: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and quartiles of the ratios of neighbouring runs."""
    ratios = np.divide(times, reference)
    return float(np.median(ratios)), *map(float, np.quantile(ratios, (0.25, 0.75)))
