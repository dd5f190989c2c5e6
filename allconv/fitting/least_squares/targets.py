"""What layers of a converted network are fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from allconv.graph import Node, Spec
from allconv.kernels import batchnorm_affine


@dataclass(frozen=True)
class Target:
    """What one call of a layer is to give.

    Attributes:
        place: The number of the call among the nodes of the converted graph.
        values: The tensor of the original to be met; with a `pool`, in the cells that it picks.
        pool: A max pool of the original whose choice is made in what it takes, None for no choice.
    """

    place: int
    values: Node
    pool: Node | None = None


@dataclass(frozen=True)
class Fit:
    """A layer to be fitted.

    Attributes:
        layer: Its name.
        stands_for: The max pool whose place it takes, "" for a layer that was there before.
        targets: One for each of its calls.
        relu: Whether a relu follows: then all results that are not above zero are as good.
        norm: The BatchNormalization between the layer and the relu, None for none.
    """

    layer: str
    stands_for: str
    targets: tuple[Target, ...]
    relu: bool = False
    norm: Spec | None = None

    def affine(self, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Return factor and shift between the layer's results and the relu, per channel or not."""
        if self.norm is None:
            return np.ones((), dtype), np.zeros((), dtype)
        scale, shift = batchnorm_affine(self.norm.weights, self.norm.config["epsilon"])
        return scale.read().astype(dtype), shift.read().astype(dtype)


@dataclass(frozen=True)
class Renorm:
    """A BatchNormalization whose statistics are estimated anew.

    Attributes:
        layer: Its name.
        targets: Its calls; the values are what the original's takes.
    """

    layer: str
    targets: tuple[Target, ...]
