"""How many different integers an input may hold: as many as an Embedding behind it has vectors.

Keras on TensorFlow refuses an index beyond, other backends answer it somehow; nothing is shown by
either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TAKERS = {
    "Embedding": "input_dim",
    "ReversibleEmbedding": "input_dim",
    "CategoryEncoding": "num_tokens",
}
"""Layers that take indices, and the attribute that says how many there are."""

PASSING = frozenset({"Concatenate", "Cropping1D", "Dropout", "Flatten", "Identity", "Permute"})
PASSING |= {"RepeatVector", "Reshape", "ZeroPadding1D"}
PASSING |= {"Cast", "ExpandDims", "GetItem", "Squeeze", "Stack", "Transpose"}
"""Layers, and operations of `keras.ops`, that hand indices on as they are."""

SHIFTING = frozenset({"Add", "Multiply"})
"""Those that make larger ones of them, as `ids + 1` does: half of the room is left to that."""


def vocabulary(model: Any, tensor: Any) -> int | None:
    """Find the number of indices that the layers behind a tensor take; None if none counts."""
    found = []
    waiting, seen = [(model, tensor, 1)], set()
    while waiting:
        inside, source, share = waiting.pop()
        if (id(inside), id(source)) in seen:
            continue
        seen.add((id(inside), id(source)))
        for operation, node, place in _users(inside, source):
            kind = type(operation).__name__
            if kind in TAKERS:
                found.append(max(int(getattr(operation, TAKERS[kind])) // share, 1))
            elif getattr(operation, "layers", None):
                waiting.append((operation, operation.inputs[place], share))
            elif kind in PASSING | SHIFTING:
                less = 2 if kind in SHIFTING else 1
                waiting += [(inside, result, share * less) for result in node.output_tensors]
    return min(found, default=None)


def _users(model: Any, tensor: Any) -> Iterator[tuple[Any, Any, int]]:
    """Yield the calls inside a model that take a tensor, each with its place among the inputs."""
    for operation in getattr(model, "operations", None) or model.layers:
        for node in operation._inbound_nodes:
            for place, source in enumerate(node.input_tensors):
                if source is tensor:
                    yield operation, node, place
