"""What Keras' `.h5` files do not carry, known before one is written.

Keras reads them as it read those of its first versions: an axis is one number there, and a call is
one of a layer, on tensors. It leaves out what else it finds, without a word or with an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from allconv.errors import FileError
from allconv.graph import Graph, Spec

SAME_AS_LAYERS = {"ops.Concatenate", "ops.Softmax"}
"""Operations of `keras.ops` that Keras' layers of the same names take the place of."""


def refuse_loss(graph: Graph, path: Path) -> None:
    """Find what would be lost of a model in a file of this name.

    Raises:
        FileError: It is an `.h5` file, and there are layers that it does not carry.
    """
    lost = list(lost_in_h5(graph)) if path.suffix == ".h5" else []
    if lost:
        raise FileError(
            f"{path}: Keras' .h5 files do not carry {', '.join(lost)}; give a name that ends in "
            ".keras"
        )


def lost_in_h5(graph: Graph) -> Iterator[str]:
    """Yield the layers of a model that Keras does not make again from an `.h5` file, in words."""
    for spec in graph.specs():
        axis = spec.config.get("axis")
        if spec.kind.startswith("ops.") and spec.kind not in SAME_AS_LAYERS:
            yield f"'{spec.name}' ({_words(spec)})"
        elif isinstance(axis, (list, tuple)) and (len(axis) > 1 or (not axis and spec.weights)):
            yield f"'{spec.name}' ({_words(spec)}: its axis is {list(axis)})"


def _words(spec: Spec) -> str:
    kind = spec.kind.removeprefix("ops.")
    return kind if kind == spec.kind else f"keras.ops, {kind}"
