"""Configurations written in other ways that Keras takes: numbers for flags, lists for tuples, ...

layer = respelled(data.draw, keras.layers.Conv2D(2, 3))
"""

from __future__ import annotations

import keras
import numpy as np
from hypothesis import strategies as st

OBJECTS = {
    "_initializer": keras.initializers,
    "_regularizer": keras.regularizers,
    "_constraint": keras.constraints,
}


def respelled(draw, layer):
    """A layer of the same class from the same settings in other words; None where Keras refuses."""
    config = layer.get_config()
    keys = draw(st.lists(st.sampled_from(sorted(config)), min_size=1, max_size=4, unique=True))
    written = {**config, **{key: _respelled(draw, key, config[key]) for key in keys}}
    try:
        return type(layer)(**written)
    except Exception:
        return None


def _respelled(draw, key, value):
    for ending, module in OBJECTS.items():
        if key.endswith(ending) and value is not None:
            made = module.deserialize(value) if isinstance(value, dict) else module.get(value)
            return draw(st.sampled_from([made, value]))
    if key == "dtype":
        return draw(st.sampled_from(["float32", keras.DTypePolicy("float32"), value, None]))
    if key == "activation":
        return draw(st.sampled_from(_activations(value)))
    if isinstance(value, str):
        return draw(st.sampled_from([value, value, value.upper()])) if key == "padding" else value
    return _number(draw, value)


def _activations(name):
    """A name, the function, a layer that computes it; and none, where that is the same."""
    if not isinstance(name, str):
        return [name]
    known = keras.activations.get(name)
    return [name, known, keras.layers.Activation(name), *([None] if name == "linear" else [])]


def _number(draw, value):
    """A number, a flag or a list of them, of Python's types or NumPy's."""
    if isinstance(value, (list, tuple)):
        items = [_number(draw, item) for item in value]
        plain = all(isinstance(item, (int, float, np.generic)) for item in items)
        alone = items if len(items) == 1 else []
        return draw(
            st.sampled_from([items, tuple(items), *alone, *([np.array(items)] if plain else [])])
        )
    if isinstance(value, bool):
        return draw(
            st.sampled_from([value, int(value), float(value), np.bool_(value), value or None])
        )
    if isinstance(value, int):
        return draw(st.sampled_from([value, np.int64(value), np.int32(value), float(value)]))
    if isinstance(value, float):
        whole = [int(value)] if value.is_integer() else []
        return draw(st.sampled_from([value, np.float32(value), np.float64(value), *whole]))
    return value
