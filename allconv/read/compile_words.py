"""The compile settings that a file holds, checked: only what is Keras' own, in Keras 3's words.

`.keras` files have them under `compile_config`, `.h5` files of all ages under `training_config`.
Nothing is made of them here, and Keras is not needed: an object becomes a `Known`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from allconv.read.dialects.setting_objects import dtype_name

_OPTIMIZERS = """
Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer Muon Nadam RMSprop
SGD
"""
_SCHEDULES = """
CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay
PolynomialDecay
"""
_LOSSES = """
BinaryCrossentropy BinaryFocalCrossentropy CTC CategoricalCrossentropy CategoricalFocalCrossentropy
CategoricalGeneralizedCrossEntropy CategoricalHinge Circle CosineSimilarity Dice Hinge Huber
KLDivergence LogCosh MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError
MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy SquaredHinge Tversky
"""
_LOSS_NAMES = """
binary_crossentropy binary_focal_crossentropy categorical_crossentropy categorical_hinge
categorical_focal_crossentropy categorical_generalized_cross_entropy circle cosine_similarity ctc
dice hinge huber kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error
mean_squared_error mean_squared_logarithmic_error poisson sparse_categorical_crossentropy
squared_hinge tversky
"""
_METRICS = """
AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy CategoricalHinge
CategoricalCrossentropy ConcordanceCorrelation CosineSimilarity F1Score FBetaScore FalseNegatives
FalsePositives Hinge IoU KLDivergence LogCoshError MeanAbsoluteError MeanAbsolutePercentageError
MeanIoU MeanSquaredError MeanSquaredLogarithmicError OneHotIoU OneHotMeanIoU PearsonCorrelation
Poisson Precision PrecisionAtRecall R2Score Recall RecallAtPrecision RootMeanSquaredError
SensitivityAtSpecificity SparseCategoricalAccuracy SparseCategoricalCrossentropy
SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge TopKCategoricalAccuracy
TrueNegatives TruePositives
"""
_METRIC_NAMES = """
accuracy acc crossentropy ce auc precision recall binary_accuracy categorical_accuracy
sparse_categorical_accuracy sparse_top_k_categorical_accuracy top_k_categorical_accuracy
root_mean_squared_error
"""
SHORT = {
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "mse": "mean_squared_error",
    "msle": "mean_squared_logarithmic_error",
}
"""Keras' short names; its `.h5` files do not bring those of losses back."""

CLASSES = {
    "optimizers": frozenset(_OPTIMIZERS.split()),
    "optimizers.schedules": frozenset(_SCHEDULES.split()),
    "losses": frozenset(_LOSSES.split()),
    "metrics": frozenset(_METRICS.split()),
}
NAMES = {
    "losses": frozenset(_LOSS_NAMES.split()),
    "metrics": frozenset((_LOSS_NAMES + _METRIC_NAMES).split()) | SHORT.keys(),
}
WRAPPERS = ("MeanMetricWrapper", "LossFunctionWrapper")
"""Classes in which Keras 2 put a function that it knew by name."""
HOMES = {
    "optimizer": "optimizers",
    "loss": "losses",
    "metrics": "metrics",
    "weighted_metrics": "metrics",
}
PLAIN = ("loss_weights", "run_eagerly", "steps_per_execution", "jit_compile")
WITHIN = {"learning_rate": "optimizers.schedules", "inner_optimizer": "optimizers"}
"""Settings of objects that may be objects themselves."""
MOST_COUNTED = 10_000
"""Classes or thresholds that a metric may count: it keeps their square."""


class Refused(ValueError):
    """A part of the settings that is not made from a file; the message says which."""


@dataclass(frozen=True)
class Known:
    """An object of a class of Keras: the list that has it, its name and settings."""

    home: str
    name: str
    config: Mapping[str, Any]


def compile_arguments(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Read the arguments of `compile` that a file's settings stand for, objects as `Known`.

    Raises:
        Refused: A part of them is not Keras' own, or not told by its name.
    """
    saved = {**saved, "optimizer": saved.get("optimizer", saved.get("optimizer_config"))}
    if saved["optimizer"] is None:
        raise Refused("the optimizer is missing")
    found = {key: _checked(saved.get(key), home, key) for key, home in HOMES.items()}
    return found | {key: _plain(saved[key], key) for key in PLAIN if saved.get(key) is not None}


def why_not_compiled(saved: Mapping[str, Any]) -> str:
    """Say what of a file's settings is not Keras' own; "" where they come along."""
    if not saved:
        return ""
    try:
        compile_arguments(saved)
    except (Refused, RecursionError) as error:
        return str(error)
    return ""


def _checked(value: Any, home: str, what: str) -> Any:
    """Check a loss, metric or optimizer, or lists and dictionaries of them."""
    if isinstance(value, Mapping) and "class_name" in value:
        return _object(value, home, what)
    if isinstance(value, Mapping):
        return {str(key): _checked(item, home, what) for key, item in value.items()}
    if isinstance(value, list):
        return [_checked(item, home, what) for item in value]
    if isinstance(value, str):
        return _named(value, home, what)
    if value is None:
        return None
    raise Refused(f"the {what} {value!r} is neither a name nor an object")


def _named(name: str, home: str, what: str) -> Any:
    """Look up a function or class by its name."""
    plain = SHORT.get(name.lower(), name) if home == "losses" else name
    if plain in NAMES.get(home, ()) or (home == "metrics" and plain.lower() in SHORT):
        return plain
    if home == "optimizers":
        for known in CLASSES[home]:
            if known.lower() == name.lower():
                return Known(home, known, {})
    return _object({"class_name": name, "config": {}}, home, what)


def _object(value: Mapping[str, Any], home: str, what: str) -> Any:
    name, config = str(value["class_name"]), value.get("config")
    if name == "function" and isinstance(config, str):
        return _named(config, home, what)
    is_own = str(value.get("module") or "keras").partition(".")[0] in ("keras", "tf_keras")
    settings = config if isinstance(config, Mapping) else {}
    if name in WRAPPERS and is_own and isinstance(settings.get("fn"), str):
        name = str(settings.get("name"))
        return _named(name if name in ("accuracy", "acc") else settings["fn"], home, what)
    if not is_own or name not in CLASSES[home] or ">" in str(value.get("registered_name")):
        raise Refused(f"the {what.replace('_', ' ')} '{name}' is no class of Keras")
    return Known(home, name, _settings(settings, name))


def _settings(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Read the settings of an object, those of Keras 1 and 2 in the words of Keras 3."""
    found = {}
    for key, value in config.items():
        key = "learning_rate" if key == "lr" else str(key)
        if key == "dtype":
            found[key] = dtype_name(value)
        elif key in WITHIN and isinstance(value, Mapping):
            found[key] = _checked(value, WITHIN[key], key.replace("_", " "))
        else:
            found[key] = "sum_over_batch_size" if value == "auto" else _plain(value, key)
        if key.startswith("num_") and isinstance(value, int) and value > MOST_COUNTED:
            raise Refused(f"'{name}' counts {value:,} classes or thresholds")
    if isinstance(found.get("name"), str) and not re.fullmatch(r"[\w.-]{1,255}", found["name"]):
        raise Refused(f"'{name}' has a name with other characters than letters, digits and . _ -")
    if decay := found.pop("decay", None):  # of every optimizer of Keras 2
        rate = {"initial_learning_rate": found.get("learning_rate"), "decay_steps": 1}
        settings = {**rate, "decay_rate": decay}
        found["learning_rate"] = Known("optimizers.schedules", "InverseTimeDecay", settings)
    return found


def _plain(value: Any, what: str) -> Any:
    """Check a setting that holds no objects."""
    if isinstance(value, Mapping):
        if "class_name" in value:
            raise Refused(f"the {what.replace('_', ' ')} {value['class_name']!r} is an object")
        return {str(key): _plain(item, what) for key, item in value.items()}
    return [_plain(item, what) for item in value] if isinstance(value, list) else value
