"""Spec to Keras layer: from its configuration, or from the live layer where that has own code."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from allconv.building.untrusted import trusted_config
from allconv.errors import AllconvError, ConversionError, first_line, lack_of_memory
from allconv.graph import Spec


def is_foreign(spec: Spec) -> bool:
    """Tell whether a layer runs code that is not Keras' own."""
    return ">" in spec.kind or spec.kind == "Lambda"


def new_layer(spec: Spec, trusted: bool = True) -> Any:
    """Make a new layer, not yet built; one that is not trusted runs no code that its file names."""
    import keras

    if not trusted:
        spec = replace(spec, config=trusted_config(spec))
    if spec.kind == "Lambda":
        return _lambda(spec)
    if is_foreign(spec):
        return _foreign(spec)
    config = {**copy.deepcopy(dict(spec.config)), "name": spec.name}
    if spec.kind.startswith("ops."):
        class_name = spec.kind.removeprefix("ops.")
        data = {"module": spec.module, "class_name": class_name, "config": config}
        return keras.saving.deserialize_keras_object(data, safe_mode=True)
    layer_class = getattr(keras.layers, spec.kind, None) or type(spec.layer)
    return _made_again(spec, lambda: layer_class.from_config(_with_own_code(config, spec.layer)))


def _with_own_code(config: dict[str, Any], layer: Any) -> dict[str, Any]:
    """Return a configuration with the live layer's own functions, or with its defaults."""
    code = [key for key, value in config.items() if _is_code(key, value)]
    own = {key: _own(getattr(layer, key)) for key in code if hasattr(layer, key)}
    return {key: value for key, value in config.items() if key not in code} | own


def _own(setting: Any) -> Any:
    """Return a function as it is, and a layer, which may have weights, made anew."""
    import keras

    is_layer = isinstance(setting, keras.Layer)
    return type(setting).from_config(setting.get_config()) if is_layer else setting


def _is_code(key: str, value: Any) -> bool:
    """Tell whether Keras' safe mode does not make a setting of what is written of it."""
    written = isinstance(value, Mapping)
    return written and (
        key == "activation" or value.get("class_name") in ("function", "__lambda__")
    )


def _foreign(spec: Spec) -> Any:
    """Make a live layer of the user's own class again from its configuration."""
    layer = _made_again(spec, lambda: type(spec.layer).from_config(spec.layer.get_config()))
    layer.name = spec.name
    return layer


@contextmanager
def by_keras(what: str) -> Iterator[None]:
    """Raise what Keras refuses to do as a ConversionError that names a layer or a model."""
    try:
        yield
    except AllconvError:
        raise
    except Exception as error:
        if lack_of_memory(error):
            raise
        raise ConversionError(
            f"{what}: Keras refuses it ({type(error).__name__}: {first_line(error)})"
        ) from error


def _made_again(spec: Spec, make: Callable[[], Any]) -> Any:
    """Return what `make` makes; name the layer where it fails in code that is not ours."""
    try:
        return make()
    except Exception as error:
        if lack_of_memory(error):
            raise
        raise ConversionError(
            f"layer '{spec.name}' ({spec.kind}) cannot be made again from its get_config() "
            f"({type(error).__name__}: {first_line(error)}); give it a get_config() that "
            "its constructor takes"
        ) from error


def _lambda(spec: Spec) -> Any:
    """Put a live Lambda's own function into a new Lambda; without a live layer there is none."""
    import keras

    old = spec.layer
    return keras.layers.Lambda(
        old.function,
        output_shape=old._output_shape,
        arguments=old.arguments,
        dtype=old.dtype_policy,
        name=spec.name,
    )
