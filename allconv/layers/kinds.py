"""Keras' layer classes, in the groups that the compiler tells apart.

*Element by element*: each value is made from the value in its place, and all are made alike.
*Cell-wise*: each cell of a map is made from the channels of the cell in its place, so that the
layer means the same on a map of any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]


def _ranks(*names: str) -> frozenset[str]:
    return frozenset(name.format(rank=rank) for name in names for rank in (1, 2, 3))


PLAIN_CONVOLUTIONS = _ranks("Conv{rank}D")
PLAIN_LINEAR = PLAIN_CONVOLUTIONS | {"Dense"}
TRANSPOSED_CONVOLUTIONS = _ranks("Conv{rank}DTranspose")
CONVOLUTIONS = (
    PLAIN_CONVOLUTIONS
    | TRANSPOSED_CONVOLUTIONS
    | {
        "DepthwiseConv1D",
        "DepthwiseConv2D",
        "SeparableConv1D",
        "SeparableConv2D",
    }
)
MAX_POOLS = _ranks("MaxPooling{rank}D")
GLOBAL_MAX_POOLS = _ranks("GlobalMaxPooling{rank}D")
AVERAGE_POOLS = _ranks("AveragePooling{rank}D")
GLOBAL_AVERAGE_POOLS = _ranks("GlobalAveragePooling{rank}D")
GLOBAL_POOLS = GLOBAL_MAX_POOLS | GLOBAL_AVERAGE_POOLS
POOLS = MAX_POOLS | AVERAGE_POOLS | GLOBAL_POOLS
WINDOWS = (CONVOLUTIONS - TRANSPOSED_CONVOLUTIONS) | MAX_POOLS | AVERAGE_POOLS
"""Layers that slide a window over their map, and give no more cells than it has."""

UP_SAMPLINGS = _ranks("UpSampling{rank}D")
ZERO_PADDINGS = _ranks("ZeroPadding{rank}D")
CROPPINGS = _ranks("Cropping{rank}D")

AUGMENTATIONS = frozenset(
    f"Random{what}"
    for what in (
        "Brightness",
        "ColorDegeneration",
        "ColorJitter",
        "Contrast",
        "ElasticTransform",
        "Erasing",
        "Flip",
        "GaussianBlur",
        "Grayscale",
        "Hue",
        "Invert",
        "Perspective",
        "Posterization",
        "Rotation",
        "Saturation",
        "Sharpness",
        "Shear",
        "Translation",
        "Zoom",
    )
)
NOISE = {"Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"}
DROPOUTS_OF_MAPS = _ranks("SpatialDropout{rank}D")
IDENTITY_AT_INFERENCE = (
    NOISE | DROPOUTS_OF_MAPS | AUGMENTATIONS | {"Identity", "ActivityRegularization"}
)

ACTIVATION_LAYERS = frozenset({"Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax"})
CHANNEL_ACTIVATIONS = frozenset({"softmax", "log_softmax", "sparsemax", "glu"})
"""Activations of `keras.activations` that look at all channels of a cell (along the last axis)."""

OF_GROUPS = CHANNEL_ACTIVATIONS - {"glu"}
"""Those that give as many values as they take."""

NORMALIZATIONS = frozenset(
    {
        "BatchNormalization",
        "LayerNormalization",
        "RMSNormalization",
        "UnitNormalization",
        "Normalization",
    }
)
MERGES = frozenset({"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"})
SPATIAL = _ranks("ZeroPadding{rank}D", "Cropping{rank}D", "UpSampling{rank}D")
RELABELS = frozenset({"Flatten", "Reshape", "Permute"})
"""Layers that give the same values other places."""

SCALE_LAYERS = frozenset({"Rescaling", "LayerScale", "CustomScaleLayer"})

UNARY_OPS = frozenset(
    f"ops.{name}"
    for name in (
        "Abs",
        "Absolute",
        "Cast",
        "Celu",
        "Clip",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "HardShrink",
        "HardSigmoid",
        "HardSilu",
        "HardTanh",
        "LeakyRelu",
        "Log",
        "LogSigmoid",
        "Negative",
        "Relu",
        "Relu6",
        "Selu",
        "Sigmoid",
        "Silu",
        "SoftShrink",
        "Softplus",
        "Softsign",
        "SparsePlus",
        "SparseSigmoid",
        "Sqrt",
        "Square",
        "Squareplus",
        "Tanh",
        "TanhShrink",
        "Threshold",
    )
)
BINARY_OPS = frozenset(
    f"ops.{name}"
    for name in (
        "Add",
        "Divide",
        "Maximum",
        "Minimum",
        "Multiply",
        "Power",
        "Subtract",
        "TrueDivide",
    )
)


def is_elementwise(kind: str, config: Config) -> bool:
    """Tell whether a layer acts element by element and alike everywhere, at inference."""
    if kind == "Activation":
        activation = config.get("activation")
        return isinstance(activation, str) and activation not in CHANNEL_ACTIVATIONS
    if kind == "Rescaling":
        return all(isinstance(config.get(key, 0.0), (int, float)) for key in ("scale", "offset"))
    return kind in NOISE | UNARY_OPS | {
        "Identity",
        "ActivityRegularization",
        "ReLU",
        "LeakyReLU",
        "ELU",
    }


def couples_channels(kind: str, config: Config) -> bool:
    """Tell whether a layer is, or ends in, an activation that looks at all channels of a cell."""
    return kind == "Softmax" or str(config.get("activation")) in CHANNEL_ACTIVATIONS


def activation_layer(written: Any) -> str:
    """Return the class of a layer of Keras that is given as an activation, "" for anything else."""
    if not isinstance(written, Mapping) or not isinstance(written.get("config"), Mapping):
        return ""
    module, registered = str(written.get("module") or "keras"), str(written.get("registered_name"))
    is_own = module.partition(".")[0] == "keras" and ">" not in registered
    name = str(written.get("class_name"))
    return name if is_own and name in ACTIVATION_LAYERS - {"Activation"} else ""


def unknown_activation(config: Config) -> str:
    """Say what is wrong with a layer's activation; "" where nothing is."""
    activation = config.get("activation")
    if activation is None or isinstance(activation, str):
        return ""
    written = activation.get("config")
    name = written if isinstance(written, str) else activation.get("class_name", "lambda")
    return f"its activation '{name}' is not one of keras.activations"
