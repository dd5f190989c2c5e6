"""What stands between a network and an all-convolutional one, by cause, with reasons."""

from __future__ import annotations

from collections.abc import Sequence

from allconv.building.untrusted import not_made, remedy
from allconv.errors import ConversionError
from allconv.graph import Graph
from allconv.layers import kinds
from allconv.obstacles.causes import NEEDS_SIZE, by_cause
from allconv.obstacles.found import Obstacle, layers_in_the_way, pools_that_stay
from allconv.obstacles.problems import problem_of
from allconv.rewrite import Plan
from allconv.rules.lists import lists
from allconv.shape_walk import images
from allconv.sizes.image_sizes import Sizes, free_sizes, has_free_sizes


def obstacles(plan: Plan) -> tuple[Obstacle, ...]:
    """List what stands in the way of a plan's result, in order, each cause once."""
    found = layers_in_the_way(plan)
    return by_cause(plan, found) if len(found) > 1 else tuple(found.values())


def refuse_obstacles(plan: Plan, advice: str = "") -> None:
    """Raise a ConversionError that lists by cause what stands in the way, if anything does."""
    found = obstacles(plan)
    if found:
        lines = "\n".join(f"  {obstacle}" for obstacle in found)
        remedies = filter(None, (missing_size(plan, found), advice or _advice(plan)))
        kind = "fully convolutional" if plan.kept else "all-convolutional"
        raise ConversionError(
            f"model '{plan.before.name}' does not become {kind}; "
            f"these layers stand in the way:\n{lines}\n{'; '.join(remedies)}"
        )


def _advice(plan: Plan) -> str:
    """Say what to do about obstacles: they can stay, if they can be made."""
    unmade = not_made(plan.after)
    if not unmade:
        return "strict=False leaves them as they are"
    return f"allconv does not make these from a file: {', '.join(unmade)}; {remedy(plan.after)}"


def missing_size(plan: Plan, found: Sequence[Obstacle]) -> str:
    """Say the way out where layers need a size that the model leaves free; "" for none."""
    if not has_free_sizes(plan.before) or not any(NEEDS_SIZE in o.reason for o in found):
        return ""
    size = _usual_size(plan.before)
    return f"input_size={size} gives the images a size"


def _usual_size(graph: Graph) -> Sizes:
    """Choose 224 cells along each axis, or the first size above that fits."""
    usual = (224,) * max(len(image.sizes) for image in images(graph))
    try:
        return free_sizes(graph).at_least(usual)
    except ConversionError:  # a layer is not known well enough to tell
        return usual


def kept_pools(plan: Plan) -> tuple[str, ...]:
    """List the names of the pools that stay, as the user chose: they are no obstacles."""
    return tuple(dict.fromkeys(plan.origins[node.spec].name for node in pools_that_stay(plan)))


def is_all_convolutional(graph: Graph) -> bool:
    """Tell whether no layer of a graph stands in the way."""
    ends = lists(graph)
    return not graph.own_class and not any(problem_of(node, ends) for node in graph.nodes)


def is_fully_convolutional(graph: Graph) -> bool:
    """Tell whether nothing but pools stands in the way."""
    others = [node for node in graph.nodes if node.kind not in kinds.POOLS]
    ends = lists(graph)
    return not graph.own_class and not any(problem_of(node, ends) for node in others)
