"""The weight algebra: kernels made from other weights, and the small fixed ones.

Every function takes and gives lazy arrays; functions with a leading underscore are the recipes, in
NumPy. Kernels are written as Keras stores them: `(*window, inputs, filters)` for a convolution,
`(*window, channels, 1)` for a depthwise one, `(*window, filters, inputs)` for a transposed one.
"""

from allconv.kernels.affine import (
    batchnorm_affine,
    listed,
    moved_bias,
    scaled_columns,
    scaled_rows,
    shifted_bias,
)
from allconv.kernels.bilinear import (
    bilinear_centre,
    bilinear_kernel,
    bilinear_window,
    usual_part,
)
from allconv.kernels.dense import (
    identity_and_one,
    identity_kernel,
    identity_matrix,
    kernel_of_flattened,
    rows,
    unfolding_kernel,
    with_bias_row,
)
from allconv.kernels.windows import (
    EveryCell,
    Taps,
    average_taps,
    constant,
    depthwise_kernel,
    diagonal_kernel,
    ends_of_taps,
    picking_kernel,
    share_weights,
    shortfall_kernel,
)

__all__ = [
    "EveryCell",
    "Taps",
    "average_taps",
    "batchnorm_affine",
    "bilinear_centre",
    "bilinear_kernel",
    "bilinear_window",
    "constant",
    "depthwise_kernel",
    "diagonal_kernel",
    "ends_of_taps",
    "identity_and_one",
    "identity_kernel",
    "identity_matrix",
    "kernel_of_flattened",
    "listed",
    "moved_bias",
    "picking_kernel",
    "rows",
    "scaled_columns",
    "scaled_rows",
    "share_weights",
    "shifted_bias",
    "shortfall_kernel",
    "unfolding_kernel",
    "usual_part",
    "with_bias_row",
]
