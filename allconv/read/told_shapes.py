"""The shapes that the description of a Sequential tells of the tensors between its layers.

Those of a Functional model stand at the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from allconv.errors import ModelError
from allconv.read.layer_tree import kind_of
from allconv.read.settings import checked_shape
from allconv.shapes import Shape


def told_shapes(
    layers: Sequence[Mapping[str, Any]], first: Shape | None, where: str
) -> list[Shape | None]:
    """List what each layer of a Sequential gives, as itself or the next one says.

    A model that is called on images of another size says nothing of these.
    """
    built = [_told(data.get("build_config"), "input_shape", where) for data in layers]
    if built[0] != first or not first:
        return [None] * len(layers)
    own = [
        _told(data["config"], "output_shape", where) if kind_of(data) == "Lambda" else None
        for data in layers
    ]
    pairs = zip(own, [*built[1:], None], strict=True)
    return [after or (mine and (first[0], *mine)) for mine, after in pairs]


def _told(config: Any, key: str, where: str) -> Shape | None:
    """Read a shape that a layer tells, None where that is not the shape of one tensor."""
    shape = config.get(key) if isinstance(config, Mapping) else None
    try:
        return None if shape is None else checked_shape(shape, where)
    except ModelError:  # such as a function, or several shapes: it says nothing here
        return None
