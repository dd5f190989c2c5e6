"""Layers as Keras 1 described them, in the words that Keras 2 and 3 share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allconv.read.dialects.class_names import ALIASES

Config = dict[str, Any]

SETTINGS = {
    "W_constraint": "kernel_constraint",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "atrous_rate": "dilation_rate",
    "b_constraint": "bias_constraint",
    "b_regularizer": "bias_regularizer",
    "beta_init": "beta_initializer",
    "bias": "use_bias",
    "border_mode": "padding",
    "depthwise_init": "depthwise_initializer",
    "dim_ordering": "data_format",
    "dropout_U": "recurrent_dropout",
    "dropout_W": "dropout",
    "filter_length": "kernel_size",
    "gamma_init": "gamma_initializer",
    "init": "kernel_initializer",
    "inner_activation": "recurrent_activation",
    "inner_init": "recurrent_initializer",
    "nb_filter": "filters",
    "p": "rate",
    "pointwise_init": "pointwise_initializer",
    "pool_length": "pool_size",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
}
"""What Keras 1 called the settings of its layers, and what they are called since."""

SETTINGS_OF = {
    "Dense": {"output_dim": "units"},
    "GRU": {"output_dim": "units"},
    "GaussianNoise": {"sigma": "stddev"},
    "LSTM": {"output_dim": "units"},
    "SimpleRNN": {"output_dim": "units"},
    "Embedding": {"init": "embeddings_initializer", "W_regularizer": "embeddings_regularizer"},
    "PReLU": {"init": "alpha_initializer"},
    "UpSampling1D": {"length": "size"},
}
"""Those of one class only, or of another meaning there."""

FORMATS = {"th": "channels_first", "tf": "channels_last", "default": "channels_last"}
WINDOW = ("kernel_dim1", "kernel_dim2", "kernel_dim3", "nb_row", "nb_col")
MERGES = {
    "ave": "Average",
    "concat": "Concatenate",
    "max": "Maximum",
    "min": "Minimum",
    "mul": "Multiply",
    "sum": "Add",
}


def in_keras_2_words(class_name: str, config: Mapping[str, Any]) -> tuple[str, Config, str]:
    """Put a layer of Keras 1 in the words of Keras 2; leave one of Keras 2 as it is.

    Args:
        class_name: Of the layer.
        config: Its configuration.

    Returns:
        The class' name, the configuration, and what of it no later Keras does, "" for nothing.
    """
    if class_name == "Merge":
        return _merge(config)
    new_class = ALIASES.get(class_name, class_name)
    names = SETTINGS | SETTINGS_OF.get(new_class, {})
    renamed = {names.get(key, key): value for key, value in config.items() if key not in WINDOW}
    if window := [config[key] for key in WINDOW if key in config]:
        renamed["kernel_size"] = window
    data_format = renamed.get("data_format")
    if isinstance(data_format, str):
        renamed["data_format"] = FORMATS.get(data_format, data_format)
    if new_class.startswith("ZeroPadding") and "padding" in config:
        renamed["padding"] = _margins(config["padding"])
    if "forget_bias_init" in renamed:
        renamed["unit_forget_bias"] = renamed.pop("forget_bias_init") == "one"
    return new_class, renamed, _lost(new_class, renamed)


def _merge(config: Mapping[str, Any]) -> tuple[str, Config, str]:
    """Translate the one layer that Keras 1 had for all merges."""
    mode = config.get("mode") if config.get("mode_type", "raw") == "raw" else "a function"
    kept = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
    if not isinstance(mode, str) or mode not in MERGES:
        return "Merge", dict(config), f"mode={mode}"
    if mode == "concat":
        kept["axis"] = config.get("concat_axis", -1)
    return MERGES[mode], kept, ""


def _margins(padding: Any) -> Any:
    """Write an object of margins, or `[top, bottom, left, right]`, as pairs."""
    if isinstance(padding, Mapping):
        if {"left_pad", "right_pad"} == set(padding) or not padding:
            return [padding.get("left_pad", 0), padding.get("right_pad", 0)]
        sides = ("top_pad", "bottom_pad", "left_pad", "right_pad")
        padding = [padding.get(side, 0) for side in sides]
    if isinstance(padding, (list, tuple)) and len(padding) == 4:
        return [list(padding[:2]), list(padding[2:])]
    return padding


def _lost(class_name: str, config: Config) -> str:
    if class_name == "BatchNormalization" and config.get("mode", 0) != 0:
        return f"mode={config['mode']}"
    if config.get("padding") == "full":
        return "border_mode=full"
    if class_name == "Conv2DTranspose" and not _is_usual_size(config):
        return f"output_shape={config['output_shape']}"
    return ""


def _is_usual_size(config: Config) -> bool:
    """Tell whether a Deconvolution2D of Keras 1 gives the size that Keras 3 works out.

    Its `output_shape` stood in the configuration, and of the sizes from which a convolution makes
    its input's it could be any; Keras 3 gives the others with an output padding only.
    """
    shape = config.get("output_shape")
    if shape is None:
        return True
    sizes = [shape, config.get("kernel_size"), config.get("strides")]
    if not all(isinstance(size, (list, tuple)) for size in sizes):
        return False
    rows = 2 if config.get("data_format") == "channels_first" else 1
    axes = list(zip(sizes[0][rows : rows + 2], sizes[1], sizes[2], strict=False))
    whole = all(type(number) is int and number > 0 for axis in axes for number in axis)
    return whole and len(axes) == 2 and all(_fits(*axis, config.get("padding")) for axis in axes)


def _fits(result: int, window: int, stride: int, padding: Any) -> bool:
    if padding == "same":
        return result % stride == 0
    given = -(-(result - window + 1) // stride)
    return result == given * stride + max(window - stride, 0)
