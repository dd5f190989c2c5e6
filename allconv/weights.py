"""Lazy arrays: shape and dtype known, values made when they are asked for.

Two arrays made by the same recipe from the same parts are equal, which is how the calls of a shared
layer stay shared after a rewrite. The algebra on them is in `kernels/`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Array:
    """Values that are known by shape and dtype, and made when they are asked for.

    Attributes:
        shape: Sizes, all known.
        dtype: NumPy's name of the element type, `"float32"`.
        recipe: Makes the values from `parts`; None stands for fresh values, which the layer's own
            initializer draws when the layer is built.
        parts: Arrays and plain parameters that the recipe takes, in order.
        fixed: No weight of a model is in it: a rule made the values up, and they stay as they are.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    recipe: Callable[..., np.ndarray] | None = None
    parts: tuple[Any, ...] = ()
    fixed: bool = False

    @property
    def is_fresh(self) -> bool:
        """Whether the layer's own initializer draws these values."""
        return self.recipe is None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_in_32_bits(self) -> bool:
        """Whether it has values of a model, and these in 32 bits."""
        return self.dtype == "float32" and not (self.fixed or self.is_fresh)

    def read(self) -> np.ndarray:
        """Make the values.

        Raises:
            ValueError: The array is fresh: only the layer's initializer can draw it.
        """
        if self.recipe is None:
            raise ValueError("fresh weights have no values before the layer is built")
        values = self.recipe(*(p.read() if isinstance(p, Array) else p for p in self.parts))
        # Made up in float64, so that each is the nearest number of its type; 16 bits are Keras'.
        return values.astype(_wide(self.dtype), copy=False) if self.fixed else values

    def in_dtype(self, dtype: str) -> Array:
        """Convert made-up, or fresh, values to another dtype; leave a model's own as they are."""
        if not (self.fixed or self.is_fresh) or dtype == self.dtype:
            return self
        parts = tuple(p.in_dtype(dtype) if isinstance(p, Array) else p for p in self.parts)
        return replace(self, dtype=dtype, parts=parts)

    def in_32_bits(self) -> Array:
        """Convert values of 16 bits to 32, so that no product of them is rounded."""
        if "16" not in self.dtype:
            return self
        return replace(derive(_in_float32, self, shape=self.shape), dtype="float32")

    def reshape(self, *shape: int) -> Array:
        """Give the values, in the same row-major order, another shape."""
        return derive(np.reshape, self, shape, shape=shape)

    def transpose(self, *axes: int) -> Array:
        """Put the axes of the values in another order."""
        if axes == tuple(range(len(self.shape))):
            return self
        return derive(np.transpose, self, axes, shape=[self.shape[axis] for axis in axes])

    def broadcast_to(self, *shape: int) -> Array:
        """Repeat the values along further axes, or along axes of length 1."""
        return derive(broadcast, self, shape, shape=shape)


def fresh(shape: Sequence[int], dtype: str = "float32") -> Array:
    """Make an array whose values the layer's own initializer draws."""
    return Array(tuple(shape), dtype)


def broadcast(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the recipe of `Array.broadcast_to`."""
    return np.array(np.broadcast_to(values, shape))


def derive(recipe: Callable[..., np.ndarray], *parts: Any, shape: Sequence[int]) -> Array:
    """Derive the array `recipe(*parts)`, of the first part's dtype; fresh where a part is fresh.

    It is fixed where no part is an array, or all of them are fixed. `recipe` is a named function,
    so that equal derivations are equal.
    """
    arrays = [part for part in parts if isinstance(part, Array)]
    dtype = arrays[0].dtype if arrays else "float32"
    if any(array.is_fresh for array in arrays):
        return fresh(shape, dtype)
    return Array(tuple(shape), dtype, recipe, parts, all(array.fixed for array in arrays))


def _in_float32(values: np.ndarray) -> np.ndarray:
    return values.astype("float32")


def _wide(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"


def item_bytes(dtype: str) -> int:
    """Count the bytes of one value by the bits in its dtype's name, which NumPy may not know."""
    bits = re.search(r"\d+", dtype)
    return max(int(bits[0]) // 8, 1) if bits else 1
