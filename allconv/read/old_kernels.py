"""Kernels of older files, put in the order of axes in which Keras 3 has them.

Sources: `preprocess_weights_for_loading` of Keras 2.2, which reads files of Keras 1 in this way,
and Theano's convolution, which turns its kernels by 180 degrees before it slides them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from allconv.graph import Spec
from allconv.read.archive import SavedModel
from allconv.weights import Array, derive

Shapes = Mapping[str, tuple[int, ...]]

TURNED = {"Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"}
"""Layers that Keras computes on Theano by a convolution that turns the kernel."""

FROM_KERAS_1 = {
    ("Conv1D", "channels_last"): (0, 1, 2, 3),
    ("Conv1D", "channels_first"): (2, 3, 1, 0),
    ("Conv2D", "channels_first"): (2, 3, 1, 0),
    ("Conv3D", "channels_first"): (2, 3, 4, 1, 0),
    ("Conv2DTranspose", "channels_last"): (0, 1, 3, 2),
    ("Conv2DTranspose", "channels_first"): (2, 3, 0, 1),
}
"""The axes of a kernel of Keras 1 in the order of Keras 3; of Conv1D the second is 1 and falls."""


def in_keras_3_order(
    arrays: Sequence[Array], spec: Spec, wanted: Shapes | None, saved: SavedModel
) -> tuple[Sequence[Array], str]:
    """Put a layer's weights into Keras 3's order of axes, with a remark on that or "".

    Args:
        arrays: As they are in the file.
        spec: The layer.
        wanted: The shapes that it needs.
        saved: The file, which says the Keras and the backend that wrote it.
    """
    if not arrays or not wanted or next(iter(wanted)) != "kernel":
        return arrays, ""
    kernel, *others = arrays
    if saved.order == "by layer" and saved.keras_version.partition(".")[0] in ("", "1"):
        kernel, note = _from_keras_1(kernel, spec, wanted["kernel"])
        return [kernel, *others], note
    if saved.backend == "theano" and spec.kind in TURNED:
        return [turned(kernel), *others], "saved by Keras on Theano, its kernel is turned by 180°"
    return arrays, ""


def _from_keras_1(kernel: Array, spec: Spec, wanted: tuple[int, ...]) -> tuple[Array, str]:
    axes = FROM_KERAS_1.get((spec.kind, str(spec.config.get("data_format", "channels_last"))))
    if axes is None or len(axes) != len(kernel.shape):
        return kernel, ""
    moved = kernel.transpose(*axes)
    if moved.shape != wanted and moved.shape == (wanted[0], 1, *wanted[1:]):
        moved = moved.reshape(*wanted)
    if moved.shape != wanted:
        return kernel, ""
    if spec.config.get("data_format") != "channels_first":
        return moved, ""
    return moved, (
        "saved by Keras 1 in Theano's order, its kernel is transposed; had Keras run on Theano, it "
        "would have to be turned by 180° too, but the file does not say so"
    )


def turned(kernel: Array) -> Array:
    """Turn a kernel by 180 degrees in all of its window's axes."""
    return derive(turn, kernel, shape=kernel.shape)


def turn(values: np.ndarray) -> np.ndarray:
    """Turn the values of a kernel: the last two axes are channels and filters."""
    return np.flip(values, axis=tuple(range(values.ndim - 2)))
