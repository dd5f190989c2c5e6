"""Detached copies of Keras models: as they are, or such that compute in float32."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from allconv.building.adapted import copy_hidden_state
from allconv.building.freezing import exact_kernel
from allconv.layers.layer_shapes import is_adapted
from allconv.verification.precision import HALF

_SETTINGS = (
    ("kernel", "kernel_initializer"),
    ("kernel", "depthwise_initializer"),
    ("bias", "bias_initializer"),
)


def in_float32(model: Any) -> Any:
    """Make a detached copy of a Keras model that computes in float32, with the same weights.

    With 8 or 11 bits to a number, errors of several per cent pass for rounding; in float32 they
    show. What the copy does not show is an overflow of float16, beyond 65504. Fixed kernels of
    frozen layers are exact in the copy: those that the configuration gives, 1/9 of an average pool,
    and those that are, to the number, the rounding of a mean, 1/27 of one in three axes.
    """
    copy = _made_of(model, _without_half(model.get_config()))
    _take_weights(copy, model, but=_said_in_configuration(copy))
    _make_means_exact(copy, model)
    return copy


def copied(model: Any) -> Any:
    """Make a detached copy of a Keras model, with the same weights."""
    copy = _made_of(model, model.get_config())
    _take_weights(copy, model)
    return copy


def _made_of(model: Any, config: Any) -> Any:
    """Make a model of the same class and the same classes of layers.

    Those of the user's own are told to Keras, and no others: operations are found by the same names
    as layers, `keras.ops.multiply` as Multiply, and what is told goes first.
    """
    import keras

    classes = [type(layer) for layer in model._flatten_layers(include_self=False)]
    own = {each.__name__: each for each in classes if not each.__module__.startswith("keras.")}
    with keras.saving.CustomObjectScope(own):
        return type(model).from_config(config)


def _said_in_configuration(model: Any) -> set[int]:
    """Find the frozen weights, by id, whose numbers stand in their layers' configuration."""
    import keras

    return {
        id(getattr(layer, name))
        for layer in model._flatten_layers()
        if not layer.trainable
        for name, setting in _SETTINGS
        if isinstance(getattr(layer, setting, None), keras.initializers.Constant)
        and getattr(layer, name, None) is not None
    }


def _is_rounded(said: Any, stored: Any) -> bool:
    """Tell whether the numbers of 16 bits are the roundings of what a configuration says."""
    from keras import ops

    return bool(ops.all(ops.equal(ops.cast(said, stored.dtype), stored)))


def _take_weights(copy: Any, model: Any, but: Set[int] = frozenset()) -> None:
    """Give a copy the weights of its model, but for those, by id, that it has already."""
    from keras import ops

    for variable, new in _pairs(model, copy):
        if id(new) not in but or not _is_rounded(new, variable):
            new.assign(ops.cast(variable, new.dtype))
    for layer, new in zip(model._flatten_layers(), copy._flatten_layers(), strict=True):
        copy_hidden_state(layer, new)


def _make_means_exact(copy: Any, model: Any) -> None:
    """Give a copy the means that its model has rounded to 16 bits, on the diagonal of a kernel."""
    for layer, new in zip(model._flatten_layers(), copy._flatten_layers(), strict=True):
        if layer.trainable or layer.variable_dtype not in HALF:
            continue
        exact = exact_kernel(layer)
        if exact is not None and not is_adapted(layer.get_config()):
            new.kernel.assign(exact)


def _pairs(model: Any, copy: Any) -> list[tuple[Any, Any]]:
    """Pair the variables of a model and of its copy: by layer, name and shape, else in their order.

    Layers that were quantized, or given LoRA, after they were built have them in another order.
    """
    pairs = list(zip(_by_name(model), _by_name(copy), strict=True))
    alike = all((one.name, one.shape) == (other.name, other.shape) for one, other in pairs)
    return pairs if alike else list(zip(model.weights, copy.weights, strict=True))


def _by_name(model: Any) -> list[Any]:
    """List the variables of a model, layer after layer, those of each by name and shape."""
    places = {
        id(variable): place  # of the innermost layer, which comes last
        for place, layer in enumerate(model._flatten_layers())
        for variable in layer.weights
    }
    return sorted(model.weights, key=lambda v: (places[id(v)], v.name, tuple(v.shape)))


def _without_half(config: Any) -> Any:
    """Copy a configuration with every 16-bit dtype and dtype policy replaced by float32."""
    if isinstance(config, dict):
        return {key: _without_half(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_without_half(value) for value in config)
    if isinstance(config, str) and config.removeprefix("mixed_") in HALF:
        return "float32"
    return config
