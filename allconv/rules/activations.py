"""A layer object that is given as an activation stands behind the layer that it is given to."""

from __future__ import annotations

from collections.abc import Mapping

from allconv.graph import Spec
from allconv.layers.kinds import CONVOLUTIONS, activation_layer
from allconv.rule import Match, Outcome, rule


@rule(layer=CONVOLUTIONS | {"Dense", "Activation"}, keeps="function")
def activation_layer_to_layer(match: Match) -> Outcome:
    """Conv2D(activation=LeakyReLU(0.1))  ->  Conv2D, LeakyReLU(0.1).

    `Activation(LeakyReLU(0.1))` is the layer itself.
    """
    node, given = match.node, match.node.config.get("activation")
    if not isinstance(given, Mapping):
        return match.absent("")  # nothing to tell of a layer as most are
    kind = activation_layer(given)
    if not kind:
        return match.absent("its activation is no layer of Keras that is an activation")
    if kind == "PReLU":
        return match.skip(
            "its activation 'PReLU' is a layer with weights of its own; call it as a layer behind "
            "this one"
        )
    dtype = {"dtype": node.config.get("dtype", "float32")}
    name = node.name if node.kind == "Activation" else f"{node.name}_activation"
    layer = Spec(kind, name, {**given["config"], **dtype, "name": name}, part_of=node.name)
    if node.kind == "Activation":
        return match.again(node, match.before(node), spec=layer)
    linear = node.spec.with_config(activation="linear")
    return layer(match.again(node, *node.inputs, spec=linear))
