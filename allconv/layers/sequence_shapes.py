"""The shapes that layers over sequences give, whose weights and costs are not known here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from allconv.shapes import Shape

Config = Mapping[str, Any]
PLAIN = ("LSTM", "GRU", "SimpleRNN")


def recurrent(config: Config, shape: Shape) -> Shape | None:
    """Return the last state, or the state at every step; None where several tensors are given."""
    units = config.get("units")
    if len(shape) != 3 or not isinstance(units, int) or config.get("return_state"):
        return None
    return (shape[0], shape[1], units) if config.get("return_sequences") else (shape[0], units)


def bidirectional(config: Config, shape: Shape) -> Shape | None:
    """Return what the layer inside gives, from both ends."""
    layer, mode = config.get("layer"), config.get("merge_mode", "concat")
    if not isinstance(layer, Mapping) or layer.get("class_name") not in PLAIN or mode is None:
        return None
    inner = recurrent(layer.get("config") or {}, shape)
    if inner is None or mode != "concat":
        return inner
    *others, units = inner
    return (*others, None if units is None else 2 * units)


def embedding(config: Config, shape: Shape) -> Shape | None:
    """Return a vector for each number."""
    size = config.get("output_dim")
    return (*shape, size) if isinstance(size, int) else None


OF_SEQUENCES: Mapping[str, Callable[[Config, Shape], Shape | None]] = {
    **dict.fromkeys(PLAIN, recurrent),
    "Bidirectional": bidirectional,
    "Embedding": embedding,
}
