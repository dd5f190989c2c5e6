"""The compile settings of a model, in memory or in a file, carried over to its conversion."""

from __future__ import annotations

import inspect
import logging
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from allconv.graph import Graph
from allconv.read.compile_words import Known, compile_arguments, why_not_compiled

if TYPE_CHECKING:
    import keras

KEYED_BY_OUTPUT = ("loss", "loss_weights", "metrics", "weighted_metrics")

POLICIES = frozenset(
    ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")
)
SCALED = "mixed_float16"
"""The dtype policy of a model whose losses Keras scales."""

logger = logging.getLogger("allconv")


def carry_compile_settings(original: keras.Model, converted: keras.Model) -> None:
    """Compile a conversion as its original was compiled; not where the original was not.

    The optimizer is a fresh one of the same configuration, metrics are made anew, losses are taken
    as they are. Settings given by output name stay, since the outputs keep their names. Where a
    part cannot be copied the conversion stays uncompiled, and a warning is logged.
    """
    settings = getattr(original, "_compile_config", None)
    if not original.compiled or settings is None:
        return
    try:
        arguments = {
            key: _plain(_anew(value), converted) if key in KEYED_BY_OUTPUT else _anew(value)
            for key, value in settings.config.items()
        }
        # The settings hold the optimizer without the loss scaling of mixed precision.
        arguments["optimizer"] = _anew(original.optimizer)
        converted.compile(**arguments, auto_scale_loss=False)  # it is scaled, or is not to be
    except Exception as error:
        _warn(converted, error)


def carry_saved_settings(graph: Graph, converted: keras.Model) -> None:
    """Compile a conversion as the file says that its model was compiled.

    Only where the settings are of Keras' own classes, which are looked up by their names in Keras'
    lists; nothing is imported. The optimizer is a fresh one.
    """
    saved = graph.compile_settings
    if not saved or why_not_compiled(saved):
        return
    try:
        arguments = {key: _made(value) for key, value in compile_arguments(saved).items()}
        for key in KEYED_BY_OUTPUT:
            if key in arguments:
                arguments[key] = _plain(_of_one_output(arguments[key], converted), converted)
        arguments["optimizer"] = _scaled(arguments["optimizer"], converted)
        converted.compile(**arguments, auto_scale_loss=False)
    except Exception as error:
        _warn(converted, error)


def carry_dtype_policy(converted: keras.Model, policy: Any) -> None:
    """Give a conversion its original's own dtype policy, by which Keras scales losses."""
    name = getattr(policy, "name", policy)
    if name in POLICIES and converted.dtype_policy.name in POLICIES - {name}:
        converted.dtype_policy = name


def policy_of_layers(graph: Graph) -> str:
    """Find the dtype policy of a model in a file, which tells those of its layers only.

    It is that of most layers; of some in 16 bits, with weights in 32, that one.
    """
    specs = [spec for spec in graph.specs() if spec.kind != "InputLayer"]
    policies = Counter(str(spec.config.get("dtype")) for spec in specs)
    return SCALED if SCALED in policies else max(policies, key=policies.__getitem__, default="")


def _scaled(optimizer: Any, converted: keras.Model) -> Any:
    """Wrap the optimizer as Keras does in `compile`, so that a file has it wrapped, too."""
    import keras

    if converted.dtype_policy.name != SCALED:
        return optimizer
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def _made(value: Any) -> Any:
    """Copy settings, with Keras' objects in the places of what is known of them."""
    if isinstance(value, Mapping):
        return {key: _made(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_made(item) for item in value]
    return _made_object(value) if isinstance(value, Known) else value


def _made_object(known: Known) -> Any:
    """Make an object of Keras; leave out settings that its class no longer takes."""
    import keras

    home: Any = keras
    for name in known.home.split("."):
        home = getattr(home, name)
    own_class = getattr(home, known.name)
    taken = inspect.signature(own_class.__init__).parameters
    return own_class(**{key: _made(item) for key, item in known.config.items() if key in taken})


def _of_one_output(value: Any, model: keras.Model) -> Any:
    """Take off the list that Keras 2 put around each output's settings, for the only output."""
    is_listed = isinstance(value, list) and len(value) == 1 and isinstance(value[0], list)
    return value[0] if is_listed and len(model.outputs) == 1 else value


def _warn(converted: keras.Model, error: Exception) -> None:
    logger.warning(
        "'%s' is not compiled: its settings cannot be copied (%s: %s); call compile() yourself",
        converted.name,
        type(error).__name__,
        error,
    )


def _plain(value: Any, model: keras.Model) -> Any:
    """Take a setting out of a dictionary that names the only output; leave others as they are.

    A file does not keep that name, where a layer behind has another.
    """
    names = getattr(model, "output_names", [])
    gives_dictionary = isinstance(getattr(model, "output", None), Mapping)
    if gives_dictionary or not isinstance(value, Mapping):
        return value
    return value[names[0]] if len(names) == 1 and set(value) == set(names) else value


def _anew(value: Any) -> Any:
    """Make optimizers and metrics, which hold state, anew; leave everything else as it is."""
    import keras

    if isinstance(value, (keras.optimizers.Optimizer, keras.metrics.Metric)):
        return type(value).from_config(value.get_config())
    if isinstance(value, Mapping):
        return {key: _anew(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_anew(item) for item in value]
    return value
