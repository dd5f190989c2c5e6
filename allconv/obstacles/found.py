"""The layers of a plan's result that no all-convolutional network has in their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from allconv.graph import Graph, Node
from allconv.layers import kinds
from allconv.obstacles.problems import reason_of
from allconv.rewrite import Plan
from allconv.rules.lists import lists

NAMED = 3
"""Of more layers only so many are named in a sentence."""


@dataclass(frozen=True)
class Obstacle:
    """A layer that no all-convolutional network has in its place, and why it is still there.

    Attributes:
        layer: Its name.
        kind: Its class.
        reason: Why it is still there, in words.
        alike: Names of other layers of this class that are there for the same reason.
        held: Names of the layers that would be converted if it were not for these.
    """

    layer: str
    kind: str
    reason: str
    alike: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers that stay because of this."""
        return (self.layer, *self.alike, *self.held)

    def __str__(self) -> str:
        alike = f"; likewise {_named(self.alike)}" if self.alike else ""
        stay = "stays" if len(self.held) == 1 else "stay"
        held = f"; so {_named(self.held)} {stay}, too" if self.held else ""
        return f"'{self.layer}' ({self.kind}): {self.reason}{alike}{held}"


def layers_in_the_way(plan: Plan) -> dict[str, Obstacle]:
    """List an obstacle for each layer that stays, by its name in the model, in order."""
    found = {obstacle.layer: obstacle for obstacle in _own_class(plan.after)}
    ends = lists(plan.after)
    stay = set(pools_that_stay(plan))
    for node in plan.after.nodes:
        if node in stay:
            continue
        if reason := reason_of(node, ends, plan.skips.get(node, ())):
            layer = plan.origins.get(node.spec, node.spec)  # the user knows the model's own layers
            found.setdefault(layer.name, Obstacle(layer.name, layer.kind, reason))
    return found


def pools_that_stay(plan: Plan) -> Iterator[Node]:
    """Find the pools of a result that may stay; where maps grow, a global one would not slide."""
    may_stay = kinds.POOLS - kinds.GLOBAL_POOLS if plan.any_size else kinds.POOLS
    for node in plan.after.nodes:
        if node.kind in may_stay and plan.origins[node.spec].name in plan.kept:
            yield node


def _own_class(graph: Graph) -> Iterator[Obstacle]:
    if graph.own_class:
        reason = "its class is not Keras' own, and what that computes is not in the file"
        yield Obstacle(graph.name, graph.own_class, reason)


def _named(names: tuple[str, ...]) -> str:
    """Write `'a'`, `'a' and 'b'`, `'a', 'b', 'c' and 4 more`."""
    shown = [f"'{name}'" for name in names[:NAMED]]
    if len(names) > NAMED:
        shown.append(f"{len(names) - NAMED} more")
    *first, last = shown
    return f"{', '.join(first)} and {last}" if first else last
