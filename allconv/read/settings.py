"""The settings of layers, checked before anything is worked out from them.

A table says for each class of `keras.layers` what its settings must be. Those that nobody here
looks at are left to Keras, and layers of unknown classes are not looked into.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from allconv.errors import ModelError
from allconv.layers import kinds
from allconv.layers.layer_shapes import KNOWN_KINDS
from allconv.read import setting_values as values
from allconv.read.setting_values import LEFT_OUT, MOST_AXES, NEEDED, Setting


def checked_settings(kind: str, config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Write the settings of a layer as Keras 3 does, checked, with those that it would fill in.

    Keras itself checks little: it makes layers, and saves them, of flags written as numbers, of
    NumPy's numbers and arrays, and of settings of which no layer can be built.

    Args:
        kind: The layer's class.
        config: Its configuration, as a file, a live layer or a rule has it; of an unknown class it
            comes back as it is.
        where: Names the layer in errors.

    Raises:
        ModelError: A setting is missing, of another type, or beyond all bounds.

    Example:
        >>> checked_settings("UpSampling2D", {"size": 2}, "layer 'up'")["size"]
        [2, 2]
    """
    if kind not in KNOWN_KINDS:
        return dict(config)
    rank, own = int((re.findall(r"\d(?=D)", kind) or [1])[0]), SETTINGS_OF.get(kind, {})
    defaults = {
        key: setting.default for key, setting in own.items() if setting.default is not LEFT_OUT
    }
    checked = {
        key: _read(key, values.plain(value), own.get(key) or _setting(key), rank, where)
        for key, value in {**defaults, **config}.items()
    }
    if "pool_size" in own and checked["strides"] is None:
        checked["strides"] = checked["pool_size"]
    return checked


def checked_shape(shape: Any, where: str) -> tuple[int | None, ...]:
    """Check the shape of a tensor that a file tells, batch first, None for free sizes.

    Raises:
        ModelError: It is none.
    """
    return tuple(_read("shape", shape, SHAPE, 1, where))


def _setting(key: str) -> Setting:
    is_object = key.endswith(("_initializer", "_regularizer", "_constraint"))
    return OBJECT if is_object else OF_ALL.get(key, ANYTHING)


def _read(key: str, value: Any, setting: Setting, rank: int, where: str) -> Any:
    try:
        if value is not NEEDED:
            return setting.read(value, rank)
    except ValueError:
        pass
    found = f"it has no {key}" if value is NEEDED else f"its {key} is {_in_json(value)}"
    raise ModelError(f"{where}: {found}; expected {setting.words.format(rank=rank)}")


def _in_json(value: Any) -> str:
    """Write a value in the words of the file, cut where it is long."""
    words = reprlib.repr(value)
    return {"None": "null", "True": "true", "False": "false"}.get(words, words)


ANYTHING = Setting("anything", lambda value, rank: value)
AXIS = Setting("the number of an axis", values.whole(-MOST_AXES), -1)
AXES = Setting(
    f"{AXIS.words}, or a list of them", values.either(AXIS.read, values.few(AXIS.read)), -1
)
COUNT = Setting("a whole number >= 1", values.whole(1))
EACH = Setting("a whole number >= 1, or {rank} of them", values.each_axis(COUNT.read))
FLAG = Setting("true or false", values.flag, LEFT_OUT)
FORMAT = Setting(
    "'channels_last' or 'channels_first'",
    values.one_of("channels_last", "channels_first"),
    "channels_last",
)
FUNCTION = Setting(
    "the name of an activation, or an object", values.of_type(str, Mapping)
).or_null()
MARGINS = Setting("whole numbers >= 0, a pair of them for each axis", values.margins)
NAME = Setting("a name", values.of_type(str))
NUMBER = Setting("a number", values.number)
NUMBERS = Setting(
    "a number, or lists of numbers of equal lengths",
    values.either(values.numbers, values.of_type(Mapping)),
)
OBJECT = Setting("a name, or an object with a 'config'", values.described).or_null()
PADDING = Setting("'valid' or 'same'", values.one_of("valid", "same"), "valid")
CAUSAL = Setting("'valid', 'same' or 'causal'", values.one_of("valid", "same", "causal"), "valid")
SHAPE = Setting(
    f"at most {MOST_AXES} sizes, each a whole number >= 1 or null",
    values.few(values.either(values.one_of(None), COUNT.read)),
)
SMALL = Setting("a number >= 0", values.not_negative)

OF_ALL = {
    "activation": FUNCTION,
    "data_format": FORMAT.or_null(),
    "dilation_rate": EACH,
    "dtype": Setting("the name of a dtype, or a policy", values.of_type(str, Mapping)).or_null(),
    "groups": COUNT,
    "noise_shape": SHAPE.or_null(),
    "trainable": FLAG,
    "use_bias": FLAG,
}
"""Settings that mean the same wherever they stand, and that are needed nowhere."""

_WINDOW = {"strides": EACH.otherwise(1), "padding": PADDING, "data_format": FORMAT}
_LINEAR = {"activation": FUNCTION.otherwise("linear")}
_KERNEL = {**_WINDOW, **_LINEAR, "kernel_size": EACH, "dilation_rate": EACH.otherwise(1)}
_CONV = {**_KERNEL, "filters": COUNT}
_DEPTHWISE = {**_KERNEL, "depth_multiplier": COUNT.otherwise(1)}
_EXTRA = Setting("a whole number >= 0, or {rank} of them", values.each_axis(values.whole(0)))
_POOL = {**_WINDOW, "pool_size": EACH, "strides": EACH.or_null(default=None)}
_MAX_POOL = {**_POOL, "pool_size": EACH.otherwise(2)}
_GLOBAL_POOL = {"data_format": FORMAT, "keepdims": FLAG.otherwise(False)}
_AFFINE = {"axis": AXIS, "epsilon": SMALL.otherwise(1e-3), "scale": FLAG, "center": FLAG}

SETTINGS_OF: Mapping[str, Mapping[str, Setting]] = {
    **dict.fromkeys(kinds.CONVOLUTIONS, _CONV),
    **{f"DepthwiseConv{rank}D": _DEPTHWISE for rank in (1, 2)},
    **{f"SeparableConv{rank}D": {**_DEPTHWISE, "filters": COUNT} for rank in (1, 2)},
    **{
        f"Conv{rank}DTranspose": {**_CONV, "output_padding": _EXTRA.or_null()} for rank in (1, 2, 3)
    },
    "Conv1D": {**_CONV, "padding": CAUSAL},
    **dict.fromkeys(kinds.AVERAGE_POOLS, _POOL),
    **dict.fromkeys(kinds.MAX_POOLS, _MAX_POOL),
    **dict.fromkeys(kinds.GLOBAL_MAX_POOLS | kinds.GLOBAL_AVERAGE_POOLS, _GLOBAL_POOL),
    **{f"ZeroPadding{rank}D": {"padding": MARGINS.otherwise(1)} for rank in (1, 2, 3)},
    "Cropping1D": {"cropping": MARGINS.otherwise(1)},
    "Cropping2D": {"cropping": MARGINS.otherwise(0)},
    "Cropping3D": {"cropping": MARGINS.otherwise(1)},
    "UpSampling1D": {"size": COUNT.otherwise(2)},
    "UpSampling2D": {"size": EACH.otherwise(2), "interpolation": NAME.otherwise("nearest")},
    "UpSampling3D": {"size": EACH.otherwise(2)},
    "Activation": {"activation": replace(FUNCTION, default=NEEDED)},
    "BatchNormalization": _AFFINE,
    "Concatenate": {"axis": AXIS},
    "Dense": {**_LINEAR, "units": COUNT},
    "ELU": {"alpha": NUMBER.otherwise(1.0)},
    "Flatten": {"data_format": FORMAT},
    "GroupNormalization": {
        **_AFFINE,
        "groups": Setting(
            "a whole number >= 1, or -1", values.either(COUNT.read, values.one_of(-1)), 32
        ),
    },
    "InputLayer": {"batch_shape": SHAPE},
    "LayerNormalization": {**_AFFINE, "axis": AXES},
    "LayerScale": {"projection_dim": COUNT},
    "LeakyReLU": {"negative_slope": NUMBER.otherwise(0.3)},
    "Normalization": {"axis": AXES.or_null(default=-1), "mean": NUMBERS.or_null()},
    "PReLU": {
        "shared_axes": Setting("a list of axes from 1 on", values.few(values.whole(1))).or_null(),
    },
    "Permute": {"dims": Setting("the numbers of all axes from 1 on, in some order", values.order)},
    "RMSNormalization": {"axis": AXES},
    "ReLU": dict.fromkeys(("max_value", "negative_slope", "threshold"), NUMBER.or_null()),
    "RepeatVector": {"n": COUNT},
    "Rescaling": {"scale": NUMBERS, "offset": NUMBERS.otherwise(0.0)},
    "Reshape": {
        "target_shape": Setting(f"at most {MOST_AXES} sizes, one may be -1", values.target)
    },
    "Resizing": {"height": COUNT, "width": COUNT, "data_format": FORMAT},
    "Softmax": {"axis": AXES},
    "UnitNormalization": {"axis": AXES},
    "ops.Celu": {"alpha": NUMBER.otherwise(1.0)},
    "ops.Elu": {"alpha": NUMBER.otherwise(1.0)},
}
"""What the classes take, beside `OF_ALL`. Defaults are those of Keras 3."""
