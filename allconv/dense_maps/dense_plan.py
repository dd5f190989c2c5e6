"""The plan of a conversion whose class map has a finer stride than the network's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from allconv.dense_maps.finer import Finer
from allconv.dense_maps.meeting import Spacings
from allconv.dense_maps.strides import OutputStride, wanted_strides
from allconv.errors import ConversionError, OptionError
from allconv.graph import Graph, Node
from allconv.names import with_unique_layers
from allconv.obstacles import obstacles
from allconv.resize import (
    InputSize,
    at_own_size,
    fixed_layers,
    giving_maps,
    on_any_size,
    refuse_fixed,
    resized,
)
from allconv.rewrite import Plan, named_after_outputs
from allconv.shape_walk import Problem, size_words


def maps_of(plan: Plan, size: InputSize, output_stride: OutputStride | None) -> Plan:
    """Return the plan with the result on images of another size, giving maps of this stride.

    Args:
        plan: Made with `any_size`.
        size: `"any"`, or the sizes of the image.
        output_stride: Of the maps; None for the network's own.

    Raises:
        ConversionError: Layers fit one size only, or stand in the way of a finer map.
        OptionError: The size or the stride is none.
    """
    if output_stride is None:
        return resized(plan, size)
    refuse_coarse(plan, output_stride)
    if isinstance(size, str):
        refuse_fixed(plan, size)
        return on_any_size(at_output_stride(at_own_size(plan), output_stride, free=True))
    return at_output_stride(resized(plan, size), output_stride)


def refuse_coarse(plan: Plan, output_stride: OutputStride) -> None:
    """Raise a ConversionError that lists all layers that stand in the way of a finer map.

    Args:
        plan: Made with `any_size`, for the model's own size.
        output_stride: Of the map that is wanted.

    Raises:
        ConversionError: There are such layers.
        OptionError: The stride is none, or does not divide the network's.
    """
    maps = giving_maps(plan.after)
    found = obstacles(plan)
    fixed = {each.layer: each.message for each in fixed_layers(plan, maps)}
    finer = Finer(wanted_strides(maps, output_stride), plan.origins, fixed=fixed)
    for node in maps.nodes:
        finer.place(node)
    named = {name for obstacle in found for name in obstacle.layers}
    others = [problem for problem in finer.problems if problem.layer not in named]
    if found or others:
        raise ConversionError(_refusal(plan, output_stride, (*map(str, found), *_lines(others))))
    _own_strides(maps, finer.spacings, output_stride)


def at_output_stride(plan: Plan, output_stride: OutputStride, free: bool = False) -> Plan:
    """Return the plan with maps of a finer stride than its result gives.

    Strides become dilation of the windows behind them; no weight is changed. Where padding `same`
    begins its windows depends on the size of the map: it is spelt out as it is here.

    Args:
        plan: Of a result that gives maps.
        output_stride: Of the maps that are wanted; it divides theirs.
        free: The size of the images is to be free afterwards.

    Raises:
        ConversionError: Layers stand in the way; the message lists all of them.
        OptionError: The stride is none, or does not divide the network's.
    """
    maps = plan.after
    finer = Finer(wanted_strides(maps, output_stride), plan.origins, free)
    for node in maps.nodes:
        finer.place(node)
    if finer.problems:
        raise ConversionError(_refusal(plan, output_stride, _lines(finer.problems)))
    strides = _own_strides(maps, finer.spacings, output_stride)
    if all(own == finer.wanted for own in strides):
        return plan
    return _planned(plan, finer)


def _own_strides(
    maps: Graph, spacings: Mapping[Node, Spacings], output_stride: OutputStride
) -> list[tuple[int, ...]]:
    """Find the strides of the network's own maps.

    Raises:
        ConversionError: An output is made of no image.
        OptionError: The stride that is wanted does not divide them.
    """
    strides = []
    for node in maps.outputs:
        if node not in spacings:
            raise ConversionError(
                f"output '{node.name}' ({node.kind}) of model '{maps.name}' is made of no image, "
                "and has no output stride; leave output_stride out"
            )
        strides.append(tuple(each.own for each in spacings[node]))
    for own in strides:
        wanted = wanted_strides(maps, output_stride)
        if any(stride % each for stride, each in zip(own, wanted, strict=True)):
            raise OptionError(
                f"output_stride is {output_stride!r}, which does not divide the stride of model "
                f"'{maps.name}', {size_words(own)}"
            )
    return strides


def _lines(problems: Sequence[Problem]) -> list[str]:
    """Describe each layer that stands in the way once, by the first reason that was found."""
    first = {problem.layer: problem for problem in reversed(problems)}
    once = [problem for problem in problems if first[problem.layer] is problem]
    return [f"'{each.layer}' ({each.kind}): {each.message}" for each in once]


def _refusal(plan: Plan, output_stride: OutputStride, in_the_way: Sequence[str]) -> str:
    lines = "\n".join(f"  {line}" for line in in_the_way)
    return (
        f"model '{plan.before.name}' gives no map with output_stride={output_stride}; these layers "
        f"stand in the way:\n{lines}\nwithout output_stride it may give one of its own stride"
    )


def _planned(plan: Plan, finer: Finer) -> Plan:
    maps = plan.after
    inputs, outputs = (
        [finer.placed[node] for node in side] for side in (maps.inputs, maps.outputs)
    )
    rough = maps.with_outputs(inputs, outputs, maps.names_of_outputs())
    unique, nodes, specs = with_unique_layers(rough, maps)
    now = {finer.placed[old]: skips for old, skips in plan.skips.items() if old in finer.placed}
    return named_after_outputs(
        replace(
            plan,
            after=replace(unique, sequential=maps.sequential and unique.is_chain()),
            changes=(*plan.changes, *dict.fromkeys(finer.changes)),
            skips={new: now.get(old, ()) for old, new in nodes.items()},
            origins={new: finer.made[old] for new, old in specs.items()},
            output_stride=finer.wanted,
        )
    )
