"""The facts of a report: for each layer of a model what becomes of it, and what that costs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allconv.graph import ITEM, Graph, Node, Spec
from allconv.kernels.fixed import needs_set_weights
from allconv.layers import costs, kinds
from allconv.layers.layer_shapes import KNOWN_KINDS
from allconv.rewrite import Change, Plan, each_once
from allconv.rule import Keeps
from allconv.shapes import Shape
from allconv.weights import item_bytes

_FALLING: tuple[Keeps, ...] = ("function", "shape", "axes")
"""From the most that a rule can keep to the least."""


@dataclass(frozen=True)
class Row:
    """One layer of the model, and what becomes of it.

    A layer that is called several times has one row: its weights count once, its
    multiply-accumulates for every call, and the shape is that of its last call.

    Attributes:
        position: 1 for the first layer.
        layer: Its name.
        kind: Its class.
        activation: The function of an Activation layer, or that at the end of a layer that gives an
            output; "" for none, or one within the network.
        output_shape: Batch first, None where a size is free; None where unknown.
        parameters: Values in all of its weights.
        multiply_accumulates: For one image; None where a size is free or the class is unknown.
        becomes: The layers in its place, in words: `"Conv2D 3x3/2"` has a window of 3x3 and stride
            2. None where the layer is dropped.
        output_shape_after: Of the last of these.
        parameters_after: Of all of these.
        multiply_accumulates_after: Of all of these.
        changed: Whether these are other than the layer itself.
        rules: The rules that were applied to it, in order.
        keeps: The least that one of them keeps; None where there was none.
        fresh: Weights that start fresh, by name.
        notes: Remarks, in words.
        skips: Why rules that were tried on it do not apply, in words.
    """

    position: int
    layer: str
    kind: str
    activation: str
    output_shape: Shape | None
    parameters: int
    multiply_accumulates: int | None
    becomes: tuple[str, ...]
    output_shape_after: Shape | None
    parameters_after: int
    multiply_accumulates_after: int | None
    changed: bool
    rules: tuple[str, ...]
    keeps: Keeps | None
    fresh: tuple[str, ...]
    notes: tuple[str, ...]
    skips: tuple[str, ...]


def rows_of(plan: Plan) -> tuple[Row, ...]:
    """Return one row for each layer of the model, in the order of the first calls."""
    writer = _RowWriter(plan)
    calls = enumerate(_calls(plan.before).items(), 1)
    return tuple(writer.row(position, spec, nodes) for position, (spec, nodes) in calls)


def total(counts: Iterable[int | None]) -> int | None:
    """Return the sum; None where a count is unknown."""
    known = 0
    for count in counts:
        if count is None:
            return None
        known += count
    return known


def weight_bytes(specs: Iterable[Spec]) -> int:
    """Count the bytes of all weights, in their own element types."""
    arrays = [array for spec in specs for array in spec.weights.values()]
    return sum(array.size * item_bytes(array.dtype) for array in arrays)


class _RowWriter:
    """A plan, looked up by the layers of the model."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.unshared = plan.unshared
        self.order = {node: index for index, node in enumerate(plan.after.nodes)}
        self.placed: dict[Spec, list[Node]] = defaultdict(list)
        for spec, nodes in _calls(plan.after).items():
            self.placed[plan.origins[spec]] += nodes
        self.changes: dict[str, list[Change]] = defaultdict(list)
        for change in plan.changes:
            self.changes[change.layer].append(change)

    def row(self, position: int, spec: Spec, calls: list[Node]) -> Row:
        """Say what becomes of a layer of the model."""
        placed, changes = self.placed[spec], self.changes[spec.name]
        specs = list(dict.fromkeys(node.spec for node in placed))
        return Row(
            position=position,
            layer=spec.name,
            kind=spec.kind,
            activation=self.activation(spec, calls),
            output_shape=calls[-1].shape,
            parameters=_parameters([spec]),
            multiply_accumulates=_multiply_accumulates(calls),
            becomes=tuple(map(layer_words, specs)),
            output_shape_after=self.last_shape(placed),
            parameters_after=_parameters(specs),
            multiply_accumulates_after=_multiply_accumulates(placed),
            changed=len(specs) != 1 or not spec.same_layer(specs[0]),
            rules=tuple(dict.fromkeys(change.rule for change in changes)),
            keeps=max((change.keeps for change in changes), key=_FALLING.index, default=None),
            fresh=tuple(dict.fromkeys(name for part in specs for name in _fresh(part))),
            notes=tuple(self.notes(calls, placed, changes)),
            skips=tuple(self.skips([node for node in placed if spec.same_layer(node.spec)])),
        )

    def activation(self, spec: Spec, calls: list[Node]) -> str:
        """Name the function of an Activation, and what an output was given at its end."""
        gives_output = not set(self.plan.before.outputs).isdisjoint(calls)
        if spec.kind != "Activation" and not (gives_output and spec.kind in KNOWN_KINDS):
            return ""
        name = _function_name(spec.config.get("activation"))
        return "" if name == "linear" and spec.kind != "Activation" else name

    def last_shape(self, placed: list[Node]) -> Shape | None:
        """Find the shape of the last node; not of a Flatten, which may have moved away."""
        nodes = [node for node in placed if node.kind not in kinds.RELABELS] or placed
        return max(nodes, key=self.order.__getitem__).shape if nodes else None

    def notes(self, calls: list[Node], placed: list[Node], changes: list[Change]) -> Iterator[str]:
        """Yield what is to be said of a layer."""
        if calls[0].spec.note:
            yield calls[0].spec.note
        yield from dict.fromkeys(change.note for change in changes if change.note)
        if len(calls) > 1:
            yield f"called {len(calls)} times"
        if calls[0].name in self.unshared:
            yield "no longer shared"
        if any(needs_set_weights(node.spec) for node in placed):
            yield "its fixed kernels are not in the configuration: clones need set_weights"
        if calls[0].kind in kinds.RELABELS and len(placed) == 1:
            source = placed[0].inputs[0]
            if self.plan.origins[source.spec] is not calls[0].inputs[0].spec:
                yield f"moved behind '{source.name}'"

    def skips(self, left: list[Node]) -> list[str]:
        """Say why rules that were tried do not apply to the calls of a layer that stays."""
        skips = [skip for node in left for skip in self.plan.skips.get(node, ())]
        return each_once(skip.reason for skip in skips if not skip.absent)


def layer_words(spec: Spec) -> str:
    """Name a layer's class with its window, strides and dilation, if any: `Conv2D 3x3/2`."""
    window = spec.config.get("kernel_size", spec.config.get("pool_size"))
    if window is None or spec.kind not in KNOWN_KINDS:
        return spec.kind
    axes = int((re.findall(r"\d(?=D)", spec.kind) or [1])[0])
    sizes = "x".join(map(str, _each(window, axes)))
    stride = _in_short(spec.config.get("strides") or 1, axes)
    dilation = _in_short(spec.config.get("dilation_rate") or 1, axes)
    stride = "" if stride == "1" else f"/{stride}"
    return f"{spec.kind} {sizes}{stride}" + ("" if dilation == "1" else f" dilated {dilation}")


def _in_short(setting: Any, axes: int) -> str:
    """Write one number for all axes, or one for each."""
    values = _each(setting, axes)
    return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))


def _function_name(setting: Any) -> str:
    """Name a function of a configuration, which is a dictionary for one of somebody's own."""
    if isinstance(setting, Mapping):
        of_function = setting.get("class_name") == "function"
        setting = setting.get("config" if of_function else "class_name")
    return setting if isinstance(setting, str) else ""


def _each(setting: Any, axes: int) -> tuple[int, ...]:
    return (setting,) * axes if isinstance(setting, int) else tuple(setting)


def _calls(graph: Graph) -> dict[Spec, list[Node]]:
    """Collect the calls of every layer; further tensors of a call are no layers."""
    calls: dict[Spec, list[Node]] = {}
    for node in graph.nodes:
        if node.kind != ITEM:
            calls.setdefault(node.spec, []).append(node)
    return calls


def _parameters(specs: Sequence[Spec]) -> int:
    return sum(array.size for spec in specs for array in spec.weights.values())


def _multiply_accumulates(nodes: Sequence[Node]) -> int | None:
    return total(
        costs.multiply_accumulates(
            node.kind,
            node.config,
            [source.shape for source in node.inputs],
            node.shape,
            {name: array.shape for name, array in node.spec.weights.items()},
        )
        for node in nodes
    )


def _fresh(spec: Spec) -> list[str]:
    return [name for name, array in spec.weights.items() if array.is_fresh]
