"""Parameters, bytes and multiply-accumulates of a layer, from shapes alone.

A *value* is one number of a map, a *cell* is one place of it with all its channels. Counted are
multiplications for one image:

| layer | multiply-accumulates |
| --- | --- |
| every convolution, Dense | all numbers of its kernels, once for each cell of the output |
| transposed convolution | all numbers of its kernel, once for each cell of the input |
| normalizations, Rescaling, LayerScale | one for each value |
| Multiply, the operations `*` and `/` | one for each value and each operand after the first |
| all others: pools, activations, sums, reshapes | none |

Zeros of the padding are multiplied like any other number. Biases, comparisons, and the statistics
that LayerNormalization and its kin take of their input are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from allconv.layers.kinds import NORMALIZATIONS, SCALE_LAYERS
from allconv.layers.layer_shapes import KNOWN_KINDS
from allconv.shapes import Shape, Size, product

WeightShapes = Mapping[str, Sequence[int]]

_SCALING = NORMALIZATIONS | SCALE_LAYERS | {"GroupNormalization"}
_MULTIPLYING = frozenset({"Multiply", "ops.Multiply", "ops.Divide", "ops.TrueDivide"})


def parameters(weights: WeightShapes) -> int:
    """Count the values in all weights of a layer, as Keras' `count_params` does."""
    return sum(math.prod(shape) for shape in weights.values())


def weight_bytes(weights: WeightShapes, itemsize: int = 4) -> int:
    """Count the bytes of a layer's weights, `itemsize` for each value (4 for float32)."""
    return parameters(weights) * itemsize


def multiply_accumulates(
    kind: str,
    config: Mapping[str, Any],
    inputs: Sequence[Shape | None],
    output: Shape | None,
    weights: WeightShapes | None,
) -> int | None:
    """Count the multiply-accumulates of one call on one image, as the table above says.

    Args:
        kind: class name of the layer, "ops.<ClassName>" for an operation of `keras.ops`.
        config: what the layer's `get_config()` gives.
        inputs: shapes of the inputs; batch sizes do not count.
        output: shape of the output.
        weights: shapes of the layer's weights by name, None where unknown.

    Returns:
        The number, None where the kind is not known here or a size that it takes is unknown.

    Example:
        >>> kernel = {"kernel": (3, 3, 16, 32)}
        >>> multiply_accumulates("Conv2D", {}, [(None, 8, 8, 16)], (None, 8, 8, 32), kernel)
        294912
    """
    if kind not in KNOWN_KINDS or weights is None:
        return None
    kernels = {name: shape for name, shape in weights.items() if name.endswith("kernel")}
    if kernels:
        swept = inputs[0] if kind.endswith("Transpose") else output
        return _times(_cells(config, swept), parameters(kernels))
    if kind in _MULTIPLYING:
        return _times(_values(output), max(len(inputs) - 1, 1))
    return _values(output) if kind in _SCALING else 0


def _values(shape: Shape | None) -> Size:
    """Return the numbers in the map of one image."""
    return None if shape is None else product(shape[1:])


def _cells(config: Mapping[str, Any], shape: Shape | None) -> Size:
    """Return the places of the map of one image, each with all its channels."""
    if shape is None:
        return None
    return product(shape[2:] if config.get("data_format") == "channels_first" else shape[1:-1])


def _times(count: Size, each: int) -> Size:
    return None if count is None else count * each
