"""One layer of a description, of any age, in Keras 3's words.

Of Keras' own classes the names, the modules and the settings are put right. What no longer exists,
or means something that Keras 3 cannot do, and what is not Keras' own, becomes a layer of a class
outside Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allconv.errors import ModelError
from allconv.layers import kinds
from allconv.read.description import name_of, object_in, text_in, text_or_nothing_in
from allconv.read.dialects.class_names import (
    ALIASES,
    LAYERS,
    OPERATIONS,
    REMOVED,
    module_of_operation,
)
from allconv.read.dialects.keras_1 import in_keras_2_words
from allconv.read.dialects.setting_objects import objects_in_keras_3_words

Config = dict[str, Any]

PACKAGES = ("keras", "tf_keras", "tensorflow")
"""Those whose layers are Keras'."""
OLDER = "older_keras"
"""Stands for the module of what Keras had once."""

FORMATTED = (
    kinds.CONVOLUTIONS
    | kinds.MAX_POOLS
    | kinds.GLOBAL_MAX_POOLS
    | kinds.AVERAGE_POOLS
    | kinds.GLOBAL_AVERAGE_POOLS
    | kinds.SPATIAL
    | {"Flatten", "Resizing", "SpatialDropout2D", "SpatialDropout3D"}
) - {"Cropping1D", "UpSampling1D"}
"""Layers with a data format. Where an old file says none, there was none but channels last.

A Flatten without one takes the values as they lie, and so it does with channels last.
"""

OF_THE_INPUT = {"batch_input_shape", "batch_shape", "input_shape", "input_dtype", "input_length"}
"""What the first layer of a Sequential model said of its input, and others kept."""
LEFTOVERS = {
    "adjustment",
    "consume_less",
    "dynamic",
    "implementation",
    "input_spec",
    "rng_type",
    "time_major",
}
LEFTOVERS_OF: dict[str, set[str]] = {
    "BatchNormalization": {"fused", "mode", "virtual_batch_size"},
    "Conv2DTranspose": {"output_shape"},
    "DepthwiseConv1D": {"filters"},
    "DepthwiseConv2D": {"filters"},
    "MultiHeadAttention": {"key_shape", "query_shape", "value_shape"},
    "RandomRotation": {"value_range"},
    **{f"SpatialDropout{rank}D": {"noise_shape", "trainable"} for rank in (1, 2, 3)},
}
"""Settings that Keras 3 does not take, and that changed nothing (`_lost` tells the others)."""
UNGROUPED = kinds.CONVOLUTIONS - {"Conv1D", "Conv2D", "Conv3D"}
WITHOUT_KERNEL = {kind for kind in UNGROUPED if not kind.endswith("Transpose")}
"""Their kernels have other names; some files tell how a `kernel` would begin."""

WRAPPED = {"backward_layer", "cell", "layer"}
"""Settings that are layers."""
DEEPEST = 16
"""Wrappers around a layer."""

RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}, "ThresholdedReLU": {"theta": "threshold"}}
NULLS: dict[str, Config] = {
    "LeakyReLU": {"negative_slope": 0.3},
    "ReLU": {"negative_slope": 0.0, "threshold": 0.0},
    "Softmax": {"axis": -1},
}
"""What a null meant."""


def layer_in_keras_3_words(
    data: Mapping[str, Any], name: str, where: str, old: bool, depth: int = 0
) -> dict[str, Any]:
    """Translate a layer that is no model.

    Args:
        data: What the description says of it.
        name: Its name.
        where: Names it in errors.
        old: Whether Keras 1 or 2 wrote it.
        depth: How many wrappers are around it.

    Returns:
        `{"module", "class_name", "config", "registered_name"}`.

    Raises:
        ModelError: The description is damaged.
    """
    class_name = text_in(data, "class_name", where)
    config = object_in(data, "config", where) | {"name": name}
    module = text_or_nothing_in(data, "module", where)
    registered = text_or_nothing_in(data, "registered_name", where)
    if module and ".ops" in module:
        return _described(module, class_name, config, registered)
    if "module" not in data and not old and _is_operation(class_name, config):
        return _described(module_of_operation(class_name), class_name, config)
    package = module.partition(".")[0]
    if package in PACKAGES or ("module" not in data and ">" not in class_name):
        own = _of_keras(class_name, config, where, old, depth)
        if own is not None:
            return own
        if package == "keras" and not old:
            return _described(module, class_name, config, registered)
        module = OLDER if package else ""
    first, _, last = class_name.rpartition(">")
    return _described(module or first or "Custom", last, config, registered or class_name)


def _is_operation(class_name: str, config: Config) -> bool:
    """Tell whether an `Add` is that of `x + 1`: Keras 3 writes its bare name into HDF5.

    Other than a layer it does not say whether it trains.
    """
    return f"ops.{class_name}" in OPERATIONS and not {"trainable", "dtype"} & set(config)


def _described(module: str, class_name: str, config: Config, registered: str = "") -> Config:
    described = {"module": module, "class_name": class_name, "config": config}
    return {**described, "registered_name": registered or None}


def _of_keras(class_name: str, config: Config, where: str, old: bool, depth: int) -> Config | None:
    """Translate a layer of one of Keras' classes; None where it is of no such class."""
    kind, settings, lost = ALIASES.get(class_name, class_name), config, ""
    if old:
        kind, settings, lost = in_keras_2_words(class_name, config)
    lost = lost or _lost(kind, settings, old)
    if kind in REMOVED or lost:
        return _described(OLDER, f"{class_name}({lost})" if lost else class_name, config)
    if class_name == "SyncBatchNormalization":
        settings = settings | {"synchronized": True}
    if kind == "InputLayer":
        return _described("keras.layers", kind, _input_settings(settings, where))
    if kind not in LAYERS | {"ThresholdedReLU"}:
        return None
    settings = objects_in_keras_3_words(_settings(kind, settings, old), old)
    for key in WRAPPED & set(settings):
        settings[key] = _wrapped(settings[key], where, old, depth + 1)
    # Both give x where it is above the threshold, and 0 elsewhere.
    return _described("keras.layers", "ReLU" if kind == "ThresholdedReLU" else kind, settings)


def _wrapped(data: Any, where: str, old: bool, depth: int) -> Any:
    """Translate the layer in a TimeDistributed, a Bidirectional or an RNN."""
    if not isinstance(data, Mapping) or "class_name" not in data:
        return data
    if depth > DEEPEST:
        raise ModelError(f"{where}: layers are wrapped more than {DEEPEST} deep")
    name = name_of(data, where) or str(data["class_name"]).lower()
    return layer_in_keras_3_words(data, name, where, old, depth)


def _lost(kind: str, config: Config, old: bool) -> str:
    """Say what of a layer Keras 3 cannot do; "" for nothing."""
    if kind == "BatchNormalization" and old and config.get("renorm"):
        return "renorm=True"
    if kind in UNGROUPED and config.get("groups") not in (None, 1):
        return f"groups={config['groups']}"
    theta = config.get("theta", 0)
    if kind == "ThresholdedReLU" and not (isinstance(theta, (int, float)) and theta >= 0):
        return f"theta={theta}"
    return ""


def _settings(kind: str, config: Config, old: bool) -> Config:
    """Translate the settings of a layer that Keras 3 takes, to their names there."""
    names = RENAMED.get(kind, {})
    left_out = OF_THE_INPUT | LEFTOVERS | LEFTOVERS_OF.get(kind, set())
    if kind != "Embedding":
        left_out = left_out | {"input_dim"}
    if kind in UNGROUPED:
        left_out = left_out | {"groups"}
    if kind in WITHOUT_KERNEL:
        left_out |= {f"kernel_{what}" for what in ("initializer", "regularizer", "constraint")}
    settings: Config = {
        names.get(key, key): value
        for key, value in config.items()
        if key in names or key not in left_out
    }
    for key, value in NULLS.get(kind, {}).items():
        if settings.get(key, value) is None:
            settings[key] = value
    if kind in FORMATTED and (old or "data_format" in settings):
        settings["data_format"] = settings.get("data_format") or "channels_last"
    if kind == "BatchNormalization" and isinstance(settings.get("axis"), list):
        # tf.keras wrote the axis in a list.
        settings["axis"] = settings["axis"][0] if len(settings["axis"]) == 1 else settings["axis"]
    if kind == "GRU" and old:
        settings.setdefault("reset_after", False)
    return settings


def _input_settings(config: Config, where: str) -> Config:
    """Translate an InputLayer's settings; its shape had three names, once without the batch."""
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    if shape is None:
        own = config.get("input_shape") or config.get("shape")
        shape = [config.get("batch_size"), *own] if isinstance(own, (list, tuple)) else None
    if not isinstance(shape, (list, tuple)):
        raise ModelError(f"{where}: an InputLayer without a shape; the description is damaged")
    kept = {key: config[key] for key in ("sparse", "ragged", "optional") if key in config}
    dtype = config.get("dtype") or config.get("input_dtype")
    settings = {"batch_shape": shape, "dtype": dtype or "float32", "name": config["name"]} | kept
    return objects_in_keras_3_words(settings, old=False)
