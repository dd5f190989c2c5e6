"""The last step: a network that takes images of other sizes and gives class maps.

The rules leave nothing that depends on the size of the image (`Match.any_size`). Layers that the
model made for one size, such as a slope for every cell, are found by working out the shapes at
another: one that is larger by all strides, so that every map grows by whole cells, and branches
that meet at the model's own size must meet there, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from allconv.errors import ConversionError, OptionError
from allconv.graph import Graph, Node, call
from allconv.layers import kinds
from allconv.layout.made_images import images_made
from allconv.layout.relabels import is_list, map_before
from allconv.rewrite import Plan, named_after_outputs
from allconv.shape_walk import Problem, at_any_size, at_size, images, shapes_at, size_words
from allconv.shapes import Shape
from allconv.sizes.fixed_layers import silent_problems
from allconv.sizes.image_sizes import resized_sizes
from allconv.sizes.receptive_field import common_stride, receptive_fields

InputSize = Literal["any"] | Sequence[int]


def with_own_size(graph: Graph, size: InputSize | None) -> Graph:
    """Fix the model's free sizes, if it has any, to `size`; change nothing for `"any"` and None.

    Raises:
        OptionError: The size is none, or no input of the model has as many axes.
    """
    if isinstance(size, str) and size != "any":
        raise OptionError(f"input_size is {size!r}; expected 'any' or sizes such as (224, 224)")
    if size is None or isinstance(size, str):
        return graph
    fixed = {
        node: tuple(own or new for own, new in zip(node.shape or (), shape, strict=True))
        for node, shape in at_size(graph, size).items()
    }
    if all(node.shape == shape for node, shape in fixed.items()):
        return graph
    _refuse_small(graph, fixed, size)
    return on_inputs(graph, fixed)[0]


def _refuse_small(graph: Graph, fixed: Mapping[Node, Shape], size: Sequence[int]) -> None:
    """Raise a ConversionError where a model whose own size is free does not take this one."""
    problems = shapes_at(graph, fixed)[1]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise ConversionError(
            f"model '{graph.name}' leaves the size of its images free, and these layers do not fit "
            f"{size_words(size)}:\n{lines}\n{_advice(graph, size) or 'choose another input_size'}"
        )


def resized(plan: Plan, size: InputSize) -> Plan:
    """Return the plan with the result on images of another size, giving maps.

    Args:
        plan: Made with `any_size`.
        size: `"any"`, or the sizes of the image.

    Raises:
        ConversionError: Layers fit one size only; the message lists all of them.
        OptionError: The size is none, or no input of the model has as many axes.
    """
    maps = giving_maps(plan.after)
    shapes = _wanted(maps, size)
    _refuse_fixed(plan, maps, shapes, size)
    return _on_inputs(plan, maps, shapes)


def refuse_fixed(plan: Plan, size: InputSize) -> None:
    """Raise a ConversionError where `resized` would: layers fit one size only."""
    maps = giving_maps(plan.after)
    _refuse_fixed(plan, maps, _wanted(maps, size), size)


def at_own_size(plan: Plan) -> Plan:
    """Return the plan at the model's own size, giving maps as it does at others."""
    return _on_inputs(plan, giving_maps(plan.after), {})


def on_any_size(plan: Plan) -> Plan:
    """Return the plan of a result that gives maps, with the sizes of all images free."""
    return _on_inputs(plan, plan.after, at_any_size(plan.after))


def _on_inputs(plan: Plan, maps: Graph, shapes: Mapping[Node, Shape]) -> Plan:
    after, nodes = on_inputs(maps, shapes)
    return named_after_outputs(
        replace(
            plan,
            after=after,
            skips={nodes[old]: skips for old, skips in plan.skips.items() if old in nodes},
            origins={nodes[old].spec: plan.origins[old.spec] for old in nodes},
        )
    )


def _wanted(maps: Graph, size: InputSize) -> dict[Node, Shape]:
    if not isinstance(size, str):
        return at_size(maps, size)
    if not images(maps):
        inputs = ", ".join(f"'{node.name}' {node.shape}" for node in maps.inputs)
        made = images_made(maps)
        raise OptionError(
            f"model '{maps.name}' takes no images, so no size of them can be free; its inputs are "
            f"{inputs}{made and f'; {made}'}"
        )
    return at_any_size(maps)


def giving_maps(graph: Graph) -> Graph:
    """Remove the layers that make vectors of the maps at the network's outputs."""
    outputs = map(_unflattened, graph.outputs)
    return graph.with_outputs(graph.inputs, outputs, graph.output_names)


def _unflattened(node: Node) -> Node:
    """Find the map of which a node gives the values, or the cells, as a list."""
    return map_before(node) if is_list(node) else node


def on_inputs(graph: Graph, shapes: Mapping[Node, Shape]) -> tuple[Graph, dict[Node, Node]]:
    """Call the network on inputs of other shapes; find its nodes by those of `graph`."""
    nodes: dict[Node, Node] = {}
    for node in graph.nodes:
        spec = node.spec
        if node in shapes:
            spec = spec.with_config(batch_shape=shapes[node])
        inputs = [nodes[source] for source in node.inputs]
        same = all(new.shape == old.shape for new, old in zip(inputs, node.inputs, strict=True))
        new = call(spec, inputs, node.args, node.kwargs, node.shape if inputs and same else None)
        nodes[node] = replace(new, lower_bound=node.lower_bound, data_format=node.data_format)
    inputs, outputs = ([nodes[node] for node in side] for side in (graph.inputs, graph.outputs))
    return graph.with_outputs(inputs, outputs, graph.output_names), nodes


def _refuse_fixed(plan: Plan, maps: Graph, wanted: Mapping[Node, Shape], size: InputSize) -> None:
    """Raise a ConversionError that lists the layers that do not fit this size, if any do not."""
    own = " and ".join(dict.fromkeys(size_words(image.sizes) for image in images(maps)))
    try:
        tried = _tried_shapes(maps, wanted)
    except ConversionError as error:
        fits = "inputs of one size" if images_made(maps) else f"images of {own}"
        raise ConversionError(f"model '{maps.name}' fits {fits} only: {error}") from None
    problems = _problems_at(plan, maps, tried)
    if problems:
        at = " and ".join(dict.fromkeys(map(str, tried.values())))
        lines = "\n".join(f"  {problem}" for problem in problems)
        advice = "" if isinstance(size, str) else _advice(maps, size)
        raise ConversionError(
            f"model '{maps.name}' is made for images of {own}, and these layers do not fit "
            f"{at}:\n{lines}\n{advice or 'it takes no other size; leave input_size out'}"
        )


def fixed_layers(plan: Plan, maps: Graph) -> list[Problem]:
    """List the layers of a result, giving maps, that fit images of its own size only."""
    try:
        tried = _tried_shapes(maps, at_any_size(maps))
    except ConversionError:  # a layer has no receptive field, whoever asks will find it
        return []
    return _problems_at(plan, maps, tried)


def _problems_at(plan: Plan, maps: Graph, tried: Mapping[Node, Shape]) -> list[Problem]:
    shapes, problems = shapes_at(maps, tried)
    return [_explained(each, plan, maps) for each in (*problems, *silent_problems(maps, shapes))]


def _advice(graph: Graph, size: Sequence[int]) -> str:
    """Say which sizes a network takes in place of one that does not fit; "" where no other fits."""
    try:
        shapes, problems = shapes_at(graph, _tried_shapes(graph, at_any_size(graph)))
        if problems or any(silent_problems(graph, shapes)):
            return ""
        return resized_sizes(graph).words_for(size)
    except ConversionError:  # a layer is not known well enough to tell
        return ""


def _tried_shapes(maps: Graph, wanted: Mapping[Node, Shape]) -> dict[Node, Shape]:
    """List the shapes to try: those wanted; for a free size, the model's own and all strides."""
    any_size = any(None in shape[1:] for shape in wanted.values())
    step = _common_stride(maps) if any_size else 0
    return {
        node: tuple(
            new or (own and own + step) for new, own in zip(shape, node.shape or (), strict=True)
        )
        for node, shape in wanted.items()
    }


def _common_stride(maps: Graph) -> int:
    found = receptive_fields(maps).values()
    return math.lcm(*(common_stride(found, axis) for axis in range(3)))


def _explained(problem: Problem, plan: Plan, maps: Graph) -> Problem:
    """Add to a problem the layer that looks at the whole map, if one causes it."""
    node = next(node for node in maps.nodes if node.name == problem.layer)
    for source in node.inputs:
        seen = _whole_map(source, plan)
        if len(node.inputs) > 1 and seen:
            return replace(problem, message=f"{problem.message}; {seen}")
    return problem


def _whole_map(node: Node, plan: Plan) -> str:
    """Name the nearest layer above that looks at a whole map; "" for none."""
    while node.inputs:
        origin = plan.origins[node.spec]
        window = node.config.get("kernel_size", (1,))
        if origin.kind in kinds.GLOBAL_POOLS or (origin.kind == "Dense" and max(window) > 1):
            return f"'{origin.name}' ({origin.kind}) looks at the whole map"
        node = node.inputs[0]
    return ""
