"""`freeze_fixed`: the fixed kernels of a converted model frozen again, by what they are.

Keras hands `model.trainable = True` down to every layer. A layer does not remember that a
conversion made it, so its kernel tells: the nested list in its configuration, or else its values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from allconv.errors import ModelError
from allconv.kernels import share_weights, shortfall_kernel
from allconv.weights import Array

if TYPE_CHECKING:
    import keras

CLASSES = (
    *("DepthwiseConv1D", "DepthwiseConv2D", "Conv1D", "Conv2D", "Conv3D"),
    *("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
)
"""Layers that may have a fixed kernel."""


def freeze_fixed(model: keras.Model) -> tuple[str, ...]:
    """Freeze the layers of a converted model that have fixed kernels, above all those of pools.

    `convert` freezes these layers, but Keras' `model.trainable = True` unfreezes them. Call this
    function after it, and before `compile`. It works on a model that `convert` made, on a model
    loaded from a file, on a clone, and on a model that contains one of these.

    A layer counts as fixed if its configuration holds its kernel as a nested list. It also counts
    as fixed if its kernel is exactly the mean of a window, one cell of it, or the difference of two
    cells, alike for all channels, or if it picks one value of its window for each channel. So a
    layer of your own that starts with such a kernel, and is not trained yet, is frozen, too.

    Args:
        model: A converted Keras model, or a model that contains one.

    Returns:
        The names of the fixed layers.

    Raises:
        ModelError: It is not a Keras model, or training has already changed a fixed kernel.

    Example:
        >>> import allconv, keras
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.AveragePooling2D(2)])
        >>> converted = allconv.convert(model)
        >>> converted.trainable = True
        >>> allconv.freeze_fixed(converted)
        ('average_pooling2d',)
    """
    if not hasattr(model, "layers"):
        raise ModelError(f"expected a keras.Model, got {type(model).__name__}")
    found = [layer for layer in _layers_of(model) if _is_fixed(layer)]
    if changed := [f"'{layer.name}'" for layer in found if _is_changed(layer)]:
        raise ModelError(
            f"training has changed the fixed kernels of {', '.join(changed)}; convert the model "
            "again, and call allconv.freeze_fixed before compile and fit"
        )
    for layer in found:
        layer.trainable = False
    return tuple(layer.name for layer in found)


def _layers_of(model: Any) -> Iterator[Any]:
    """Yield each layer of a model once, those of models inside it, too."""
    seen, stack = set(), [model]
    while stack:
        layer = stack.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if hasattr(layer, "layers"):
            stack.extend(reversed(layer.layers))
        else:
            yield layer


def exact_kernel(layer: Any) -> np.ndarray | None:
    """Find what the kernel of a mean in 16 bits was rounded from: one over a whole number, or zero.

    The whole number is that of the cells that count, or else, where a rule divides by another one,
    the nearest. None where a kernel is no rounding of that.
    """
    kernel = _values(layer.kernel) if _may_be_fixed(layer) else np.zeros(1)
    if kernel.max() <= 0 or not _is_made_up(layer):
        return None
    cells = np.count_nonzero(kernel) // kernel.shape[-2]
    for whole in (cells, round(1 / kernel.max())):
        exact = np.where(kernel == 0, 0, 1 / max(whole, 1)).astype("float32")
        if np.array_equal(_rounded(exact, layer.kernel.dtype), kernel):
            return exact
    return None


def _rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Round values as a variable of that dtype does."""
    import keras

    return _values(keras.ops.cast(values, dtype))


def _is_fixed(layer: Any) -> bool:
    return _may_be_fixed(layer) and (_written(layer) is not None or _is_made_up(layer))


def _may_be_fixed(layer: Any) -> bool:
    """Tell whether a layer is of a class that has fixed kernels, and has weights."""
    import keras

    return layer.built and type(layer) in [getattr(keras.layers, name) for name in CLASSES]


def _written(layer: Any) -> Any:
    """Find the initializer that holds a layer's kernel as a nested list; None if there is none."""
    names = ("depthwise_initializer", "kernel_initializer")
    initializer = next(getattr(layer, name) for name in names if hasattr(layer, name))
    return initializer if isinstance(getattr(initializer, "value", None), list) else None


def _is_changed(layer: Any) -> bool:
    """Tell whether a kernel differs from its configuration by more than rounding to float32."""
    initializer = _written(layer)
    if initializer is None:
        return False
    written = initializer(layer.kernel.shape, layer.kernel.dtype)
    return not np.allclose(_values(layer.kernel), _values(written), rtol=1e-6, atol=1e-9)


def _is_made_up(layer: Any) -> bool:
    """Tell whether only a rule makes up weights like a layer's, whatever the layer says of them."""
    kernel = _values(layer.kernel)
    if type(layer).__name__.startswith("Depthwise"):
        plain = not layer.use_bias and layer.depth_multiplier == 1
        return plain and math.prod(kernel.shape[:-2]) > 1 and _is_alike(kernel[..., 0])
    matrix = kernel.reshape(-1, kernel.shape[-1])
    if not layer.use_bias:
        return _picks(matrix) or _is_diagonal(kernel) or _is_shortfall(kernel)
    bias = _values(layer.bias)
    if layer.filters == 1:
        return bool(bias[0] == 1) and (not kernel.any() or _is_share(matrix[:, 0]))
    return _keeps_and_adds_one(matrix, bias)


def _is_alike(kernels: np.ndarray, part: bool = False) -> bool:
    """Tell whether the last axis has one kernel: a mean, a cell, or the difference of two cells.

    Args:
        kernels: Shape `(*window, channels)`.
        part: A sum divided by any whole number counts as well.
    """
    first = kernels[..., 0].ravel()
    if not np.array_equal(kernels, np.broadcast_to(kernels[..., :1], kernels.shape)):
        return False
    taps = sorted(first[first != 0].tolist())
    if len(set(taps)) != 1:
        return taps == [-1, 1]
    # A mean in 16 bits is off by 0.4 per cent, but training leaves no two factors alike.
    whole = max(round(1 / abs(taps[0])), 1) if part else len(taps)
    is_mean = bool(np.isclose(taps[0], 1 / whole, rtol=4e-3))
    return is_mean and len(taps) in (1, first.size)


def _is_diagonal(kernel: np.ndarray) -> bool:
    """Tell whether a full convolution treats every channel by itself, and all alike."""
    if kernel.shape[-2] != kernel.shape[-1]:
        return False
    each = np.diagonal(kernel, axis1=-2, axis2=-1)
    return np.count_nonzero(kernel) == np.count_nonzero(each) and _is_alike(each, part=True)


def _picks(matrix: np.ndarray) -> bool:
    """Tell whether each channel that a kernel gives is one value of its window."""
    ones = np.count_nonzero(matrix == 1, axis=0)
    return bool((ones == 1).all() and np.count_nonzero(matrix) == matrix.shape[1])


def _keeps_and_adds_one(matrix: np.ndarray, bias: np.ndarray) -> bool:
    """Tell whether the channels of a cell are kept, and one is added that is always one."""
    keeps = matrix.shape[1] == matrix.shape[0] + 1 and np.array_equal(matrix, np.eye(*matrix.shape))
    return keeps and np.array_equal(bias, np.eye(len(bias))[-1])


def _is_shortfall(kernel: np.ndarray) -> bool:
    """Tell whether a kernel counts what a window lacks, along an axis."""
    *window, inputs, filters = kernel.shape
    if inputs > 2 or filters != math.prod(window) - 1 or max(window) != filters + 1:
        return False
    return _is(kernel, shortfall_kernel(window, window.index(filters + 1), inputs))


def _is_share(factors: np.ndarray) -> bool:
    """Tell whether a kernel makes shares of such counts."""
    return _is(factors, share_weights([len(factors) + 1], 0)["kernel"].reshape(len(factors)))


def _is(values: np.ndarray, array: Array) -> bool:
    return np.allclose(values, array.read(), rtol=4e-3, atol=0)


def _values(tensor: Any) -> np.ndarray:
    """Return a variable's values in float64."""
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor)).astype("float64")
