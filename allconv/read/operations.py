"""Operations of `keras.ops` that are word for word a layer of Keras, read as that layer.

`keras.ops.mean(x, axis=(1, 2))` is a GlobalAveragePooling2D, and what is known of that layer holds
for it: rules, shapes, costs. `keras.activations.softmax(x)` on a tensor is such an operation, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from allconv.dtypes import policy_of
from allconv.graph import Node, Slot, Spec
from allconv.layout import carries_mask
from allconv.read.layers_of_operations import LAYER_OF, Found, relu


def as_layer(
    spec: Spec, inputs: Sequence[Node], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Found:
    """Find the class and the settings of the layer that a call of an operation is; None for none.

    A mask that Keras hands down would reach a layer, and does not reach an operation.
    """
    is_activation = spec.kind == "ReLU" and ".activations" in spec.module
    read = relu if is_activation else LAYER_OF.get(spec.kind)
    given = args[0] if spec.kind == "ops.Concatenate" and len(args) == 1 else args
    if read is None or not _are_slots(given, len(inputs)) or any(map(_is_other, inputs)):
        return None
    if any(key != "constant_values" or not _is_zero(value) for key, value in kwargs.items()):
        return None
    policies = [policy_of(node) for node in inputs]
    found = read(spec.config, inputs[0])
    if found is None or any(policy != policies[0] for policy in policies):
        return None
    return found[0], {"name": spec.name, "dtype": policies[0], **found[1]}


def _are_slots(given: Any, count: int) -> bool:
    """Tell whether a call is given its tensors, in their order, and nothing else."""
    if not isinstance(given, (list, tuple)) or not all(isinstance(x, Slot) for x in given):
        return False
    return [slot.index for slot in given] == list(range(count))


def _is_other(node: Node) -> bool:
    """Tell whether a tensor is none of which a layer would make the same as an operation."""
    return node.shape is None or len(node.shape) < 2 or carries_mask(node)


def _is_zero(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == 0
