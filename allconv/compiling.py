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
    as they are. Settings given by output name follow the outputs to their new names. Where a part
    cannot be copied the conversion stays uncompiled, and a warning is logged.
    """
    settings = getattr(original, "_compile_config", None)
    if not original.compiled or settings is None:
        return
    renamed = _renamed_outputs(original, converted)
    try:
        arguments = {
            key: _renamed(_anew(value), renamed) if key in KEYED_BY_OUTPUT else _anew(value)
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


def _renamed_outputs(original: keras.Model, converted: keras.Model) -> dict[str, str]:
    """New names by old ones; none where the model returns a dictionary, which keeps its keys."""
    if isinstance(getattr(original, "output", None), Mapping):  # a Sequential may have none
        return {}
    names = [getattr(model, "output_names", []) for model in (original, converted)]
    return dict(zip(*names, strict=False))


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


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(value, Mapping) or not set(value) <= set(names):
        return value
    return {names[key]: item for key, item in value.items()}
