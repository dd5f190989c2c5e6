"""The compile settings of a live model, carried over to its conversion."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

KEYED_BY_OUTPUT = ("loss", "loss_weights", "metrics", "weighted_metrics")

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
        converted.compile(**arguments)
    except Exception as error:
        logger.warning(
            "'%s' is not compiled: its settings cannot be copied (%s: %s); call compile() yourself",
            converted.name,
            type(error).__name__,
            error,
        )


def _plain(value: Any, model: keras.Model) -> Any:
    """A setting by the name of the only output as it is without; others as they are.

    A file does not keep that name, where a layer behind has another.
    """
    names = getattr(model, "output_names", [])
    gives_dictionary = isinstance(getattr(model, "output", None), Mapping)
    if gives_dictionary or not isinstance(value, Mapping):
        return value
    return value[names[0]] if len(names) == 1 and set(value) == set(names) else value


def _anew(value: Any) -> Any:
    """Optimizers and metrics, which hold state, made anew; everything else as it is."""
    import keras

    if isinstance(value, (keras.optimizers.Optimizer, keras.metrics.Metric)):
        return type(value).from_config(value.get_config())
    if isinstance(value, Mapping):
        return {key: _anew(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_anew(item) for item in value]
    return value
