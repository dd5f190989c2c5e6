"""Statistics of a BatchNormalization, estimated anew on what a converted network feeds it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from allconv.fitting.least_squares.solve import with_weights
from allconv.fitting.least_squares.targets import Renorm
from allconv.fitting.least_squares.tensors import Inputs, channels_last, values_at
from allconv.graph import Graph


class Moments:
    """Mean and variance of each channel, of any number of batches, in float64."""

    def __init__(self) -> None:
        self.cells = 0
        self.sum: np.ndarray | float = 0.0
        self.squares: np.ndarray | float = 0.0

    def add(self, values: np.ndarray) -> None:
        """Take in values, channels last."""
        rows = values.reshape(-1, values.shape[-1]).astype("float64")
        self.cells += len(rows)
        self.sum = self.sum + rows.sum(axis=0)
        self.squares = self.squares + (rows**2).sum(axis=0)

    def mean(self) -> np.ndarray:
        """Return the mean of each channel."""
        return np.asarray(self.sum / self.cells)

    def variance(self) -> np.ndarray:
        """Return the variance of each channel."""
        return np.maximum(self.squares / self.cells - self.mean() ** 2, 0.0)


def match_norm(renorm: Renorm, before: Graph, after: Graph, batches: Iterable[Inputs]) -> Graph:
    """Let a BatchNormalization of the converted network give the mean and variance that it gave.

    Its own statistics come from training and need not be those of these images, so they are not put
    in their place: they are moved as the layer's input has moved.
    """
    places = [after.nodes[target.place] for target in renorm.targets]
    spec = places[0].spec
    old = values_at(before, [target.values for target in renorm.targets], "original")
    new = values_at(after, [node.inputs[0] for node in places], "converted model")
    was, now = Moments(), Moments()
    for batch in batches:
        for moments, run in ((was, old), (now, new)):
            for values, node in zip(run(batch), places, strict=True):
                moments.add(channels_last(values, node.data_format))
    mean, variance = (spec.weights[f"moving_{name}"].read() for name in ("mean", "variance"))
    return with_weights(after, spec, _moved(mean, variance, was, now, spec.config["epsilon"]))


def _moved(
    mean: np.ndarray, variance: np.ndarray, was: Moments, now: Moments, epsilon: float
) -> dict[str, np.ndarray]:
    """Find the statistics after which what comes now has the mean and variance of what came."""
    alive = (was.variance() > 0) & (now.variance() > 0)
    ratio = np.sqrt(np.where(alive, now.variance(), 1) / np.where(alive, was.variance(), 1))
    moved_mean = now.mean() - (was.mean() - mean) * ratio
    moved_variance = np.maximum((variance + epsilon) * ratio**2 - epsilon, 0.0)
    return {
        "moving_mean": moved_mean.astype(mean.dtype),
        "moving_variance": moved_variance.astype(variance.dtype),
    }
