"""Settings that are objects of their own: dtypes, activations, initializers and their like.

Keras 1 wrote `{"name": "L1L2Regularizer", "l2": 0.01}` or a bare name, Keras 2 an object of class
name and configuration, Keras 3 such an object with its module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

_ACTIVATIONS = """
celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear
log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign
sparse_plus sparse_sigmoid sparsemax squareplus tanh tanh_shrink threshold
"""
ACTIVATIONS = frozenset(_ACTIVATIONS.split())
"""The functions of `keras.activations`."""

OTHER_NAMES = {"swish": "silu", "hard_swish": "hard_silu", "softmax_v2": "softmax"}
"""More names by which `keras.activations.get` knows them, and tf.keras' of softmax."""

ACTIVATION_MODULES = ("keras.activations", "tf_keras.activations", "tensorflow.keras.activations")
PLAIN_POLICIES = ("Policy", "PolicyV1", "DTypePolicy", "FloatDTypePolicy")

_SCALED = {"input_axes", "output_axes", "seed"}
INITIALIZERS = {
    "Constant": {"value"},
    "GlorotNormal": _SCALED,
    "GlorotUniform": _SCALED,
    "HeNormal": _SCALED,
    "HeUniform": _SCALED,
    "Identity": {"gain"},
    "LecunNormal": _SCALED,
    "LecunUniform": _SCALED,
    "Ones": set[str](),
    "Orthogonal": {"gain", "seed"},
    "RandomNormal": {"mean", "stddev", "seed"},
    "RandomUniform": {"minval", "maxval", "seed"},
    "TruncatedNormal": {"mean", "stddev", "seed"},
    "VarianceScaling": {"scale", "mode", "distribution"} | _SCALED,
    "Zeros": set[str](),
}
"""Keras' classes and the settings that they take; what else a file has there was dropped since."""

REGULARIZERS = {
    "L1": {"l1"},
    "L2": {"l2"},
    "L1L2": {"l1", "l2"},
    "OrthogonalRegularizer": {"factor", "mode"},
}
CONSTRAINTS = {
    "MaxNorm": {"max_value", "axis"},
    "MinMaxNorm": {"min_value", "max_value", "rate", "axis"},
    "NonNeg": set[str](),
    "UnitNorm": {"axis"},
}
CLASS_NAMES = {
    "Normal": "RandomNormal",
    "Uniform": "RandomUniform",
    "One": "Ones",
    "Zero": "Zeros",
    "IdentityInitializer": "Identity",
    "OrthogonalInitializer": "Orthogonal",
    "L1L2Regularizer": "L1L2",
    "WeightRegularizer": "L1L2",
    "ActivityRegularizer": "L1L2",
    "Maxnorm": "MaxNorm",
    "Nonneg": "NonNeg",
    "Unitnorm": "UnitNorm",
    "L1l2": "L1L2",
    "L1L2": "L1L2",
}
"""Other names of these classes, once each word begins with a capital."""

SETTING_NAMES = {"m": "max_value"}


def dtype_name(policy: Any) -> Any:
    """Name a dtype policy plainly; None where it was left open; leave others as they are."""
    if isinstance(policy, Mapping) and policy.get("class_name") in PLAIN_POLICIES:
        config = policy.get("config")
        policy = config.get("name") if isinstance(config, Mapping) else None
    return None if policy in ("infer", "_infer") else policy


def activation(setting: Any, old: bool = False) -> Any:
    """Name an activation plainly where it is one of Keras'.

    A name that Keras does not know is that of a function of the user's own. So is `hard_sigmoid`
    in a file of Keras 1 or 2: it was `0.2 x + 0.5` between 0 and 1 there, and is `x / 6 + 0.5` now.
    """
    name = setting
    if isinstance(setting, Mapping) and setting.get("module") in ACTIVATION_MODULES:
        name = setting.get("config")
    if name is None:
        return "linear"
    if not isinstance(name, str):
        return setting
    if old and name == "hard_sigmoid":
        return {"class_name": "function", "config": "hard_sigmoid of Keras 2"}
    name = OTHER_NAMES.get(name, name)
    return name if name in ACTIVATIONS else {"class_name": "function", "config": name}


def _known(classes: Mapping[str, set[str]], module: str, setting: Any) -> dict[str, Any] | None:
    """Put an object of one of the classes in Keras 3's words; None for any other."""
    if isinstance(setting, Mapping):
        name = setting.get("class_name") or setting.get("name")
        config = setting.get("config", setting)
    else:
        name, config = setting, {}
    class_name = _class_name(name) if isinstance(name, str) else ""
    if class_name not in classes or not isinstance(config, Mapping):
        return None
    config = {SETTING_NAMES.get(key, key): value for key, value in config.items()}
    taken = {key: value for key, value in config.items() if key in classes[class_name]}
    return {
        "module": module,
        "class_name": class_name,
        "config": taken,
        "registered_name": None,
    }


def _class_name(name: str) -> str:
    """Read `glorot_uniform`, `GlorotUniform` and `GlorotUniformV2` as `GlorotUniform`."""
    name = name.removesuffix("V1").removesuffix("V2")
    name = "".join(word[:1].upper() + word[1:] for word in name.split("_"))
    return CLASS_NAMES.get(name, name)


initializer = partial(_known, INITIALIZERS, "keras.initializers")
regularizer = partial(_known, REGULARIZERS, "keras.regularizers")
constraint = partial(_known, CONSTRAINTS, "keras.constraints")

_BY_SUFFIX: dict[str, Callable[[Any], dict[str, Any] | None]] = {
    "_initializer": initializer,
    "_regularizer": regularizer,
    "_constraint": constraint,
}


def objects_in_keras_3_words(config: Mapping[str, Any], old: bool) -> dict[str, Any]:
    """Write every such object in a layer's configuration as Keras 3 does.

    What matters for training only, and is not Keras' own, is left to the layer's default: the
    weights themselves are given.
    """
    found = {}
    for key, setting in config.items():
        known = next((read for end, read in _BY_SUFFIX.items() if key.endswith(end)), None)
        if known is not None and setting is not None:
            setting = known(setting)
            if setting is None:
                continue
        elif key == "dtype":
            setting = dtype_name(setting)
            if setting is None:
                continue
        elif key.endswith("activation"):
            setting = activation(setting, old)
        found[key] = setting
    return found
