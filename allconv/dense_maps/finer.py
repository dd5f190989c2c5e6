"""The network with its class map at a finer stride: a graph in, a graph out, problems named.

The nodes are placed one after the other, each on what became of its inputs. Beside each stands how
its cells lie along each axis: the stride that is kept, and how far the network's own cells lie
apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from allconv.dense_maps.meeting import Spacings, excess, meeting_problem
from allconv.dense_maps.strides import Spacing
from allconv.dense_maps.window import Moves, moved, moves, pool_problem, settings
from allconv.graph import Node, Spec, call, topological
from allconv.layers.kinds import (
    CROPPINGS,
    POOLS,
    TRANSPOSED_CONVOLUTIONS,
    UP_SAMPLINGS,
    WINDOWS,
    ZERO_PADDINGS,
)
from allconv.layers.map_shapes import margins
from allconv.layout import layout
from allconv.rewrite import Change
from allconv.rule import Match, Rule, Skip
from allconv.rules.windows import cropped, is_identity
from allconv.shape_walk import Problem
from allconv.sizes.margins import Extents, extents_of
from allconv.sizes.receptive_field import CELLWISE, joins_places
from allconv.sizes.windows import window_axes

_BORDERS = ZERO_PADDINGS | CROPPINGS
_MADE_FINER = TRANSPOSED_CONVOLUTIONS | UP_SAMPLINGS | {"Resizing"}


def stride_to_dilation(match: Match) -> Skip:
    """Strides  ->  dilation of all windows behind."""
    return match.skip("a network is made finer as a whole")


RULE = Rule(stride_to_dilation, frozenset(), "function")
"""What the report calls it; new layers are named as a rule's are."""


@dataclass
class Finer:
    """What became of a network so far.

    Attributes:
        wanted: The stride of the map that is wanted, along each axis.
        origins: For each layer the layer of the model that it comes from.
        free: The size of the images is to be free, whatever it is in these nodes.
        fixed: By name, why layers fit one size only.
        placed: What became of each node; nodes that stand in the way, and those behind, are not in.
        spacings: How the cells of each node lie; nodes that no image goes into are not in.
        extents: The numbers of the cells of what became of them.
        problems: The layers that stand in the way.
        made: The layers of the result with the layer of the model that each comes from.
        changes: What was done to layers.
        specs: Layers with new settings, by the layer and these: one for all calls that need them.
    """

    wanted: tuple[int, ...]
    origins: Mapping[Spec, Spec]
    free: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)
    placed: dict[Node, Node] = field(default_factory=dict)
    spacings: dict[Node, Spacings] = field(default_factory=dict)
    extents: dict[Node, Extents] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    made: dict[Spec, Spec] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    specs: dict[tuple[Spec, str], Spec] = field(default_factory=dict)
    known: set[Node] = field(default_factory=set)

    def place(self, node: Node) -> None:
        """Put a node on what became of its inputs, or say why it cannot be."""
        if not node.inputs:
            self._begin(node)
        elif problem := self._kind_problem(node):
            self._refuse(node, problem)
        elif all(source in self.placed for source in node.inputs):
            self._on_inputs(node)

    def _begin(self, node: Node) -> None:
        image = node.kind == "InputLayer" and len(node.shape or ()) > 2
        self._put(node, node, (Spacing(),) * layout(node).rank if image else None)

    def _kind_problem(self, node: Node) -> str:
        """Say why no finer map goes through a layer of this kind, "" where one does."""
        sees = [source in self.spacings or source not in self.placed for source in node.inputs]
        if not any(sees):
            return ""  # it is made of no image
        if node.kind in _MADE_FINER:
            return (
                "it makes its map finer, and no layer puts the cells of moved images between those "
                "that it makes; convert the part of the model before it"
            )
        if node.name in self.fixed:
            return f"it fits one size of the image only: {self.fixed[node.name]}"
        axes = len(node.shape or ()) - 2
        if axes != len(self.wanted):
            return f"it gives no map of {len(self.wanted)} axes, but {node.shape}"
        if joins_places(node):
            return "it joins maps side by side"
        if node.kind not in WINDOWS | CELLWISE | _BORDERS:
            return "it does not work cell by cell, and no window of known cells moves over its map"
        return ""

    def _on_inputs(self, node: Node) -> None:
        if not any(source in self.spacings for source in node.inputs):
            self._put(node, self._again(node, node.spec))
        elif node.kind in WINDOWS:
            self._window(node)
        elif node.kind in _BORDERS:
            self._border(node)
        else:
            self._meet(node)

    def _window(self, node: Node) -> None:
        (source,) = node.inputs
        before = self.spacings[source]
        axes = zip(before, window_axes(node), self.wanted, strict=True)
        after = tuple(spacing.behind(stride, wanted) for spacing, (_, _, stride, _), wanted in axes)
        channels = layout(source, node.config.get("data_format")).channels
        stays = all(new.stride == old.stride for old, new in zip(before, after, strict=True))
        if all(spacing.apart == 1 for spacing in (*before, *after)):
            self._put(node, self._again(node, node.spec), after)
        elif stays and is_identity(node, channels):  # which picked the cells of a stride
            self._put(node, self.placed[source], after)
        else:
            self._move(node, moves(node, before, after), after, channels)

    def _move(self, node: Node, how: Moves, after: Spacings, channels: int) -> None:
        problem = pool_problem(node, how) if node.kind in POOLS else ""
        if problem:
            self._refuse(node, problem)
            return
        spec = self._spec(node, settings(node, how, channels))
        self._put(node, moved(_match(node), self.placed[node.inputs[0]], spec, how), after)
        self._note(node, how)

    def _spec(self, node: Node, new: Mapping[str, object]) -> Spec:
        changed = node.spec.with_config(**new) if new else node.spec
        return self.specs.setdefault((node.spec, repr(new)), changed)

    def _border(self, node: Node) -> None:
        """Place a ZeroPadding or Cropping, of as many cells of the network's own."""
        before = self.spacings[node.inputs[0]]
        setting = "padding" if node.kind in ZERO_PADDINGS else "cropping"
        amounts = zip(margins(node.config[setting], len(before)), before, strict=True)
        spread = tuple((first * each.apart, last * each.apart) for (first, last), each in amounts)
        alike = all(spacing.apart == 1 for spacing in before)
        value = spread if len(spread) > 1 else spread[0]
        spec = self._spec(node, {} if alike else {setting: value})
        self._put(node, self._again(node, spec), before)

    def _meet(self, node: Node) -> None:
        """Place a layer that works cell by cell, on one tensor or on several."""
        if problem := meeting_problem(node, self.spacings):
            self._refuse(node, problem)
            return
        sources = [source for source in node.inputs if source in self.spacings]
        spacings = self.spacings[sources[0]]
        tensors = [self.placed[source] for source in sources]
        cells = excess(tensors, spacings, self.extents, self.free) if len(sources) > 1 else [[]]
        if cells is None:
            self._refuse(
                node,
                f"by how many cells {_who_meet(self.origins[node.spec])} differ depends on the "
                "size of the image; give it: input_size=(height, width), or take output_stride=1",
            )
            return
        lengths = dict(zip(sources, cells, strict=True))
        inputs = [
            self._cropped(node, number, source, lengths.get(source, []))
            for number, source in enumerate(node.inputs, 1)
        ]
        self._put(node, self._again(node, node.spec, inputs), spacings)

    def _cropped(self, node: Node, number: int, source: Node, cells: Sequence[int]) -> Node:
        """Crop what became of an input of a node by so many cells at its end along each axis."""
        amounts = [(0, each) for each in cells]
        return cropped(_match(node), self.placed[source], f"cropped{number}", amounts)

    def _again(self, node: Node, spec: Spec, inputs: Sequence[Node] | None = None) -> Node:
        """Call a node's layer in the same way."""
        inputs = [self.placed[source] for source in node.inputs] if inputs is None else inputs
        same = all(new.shape == old.shape for new, old in zip(inputs, node.inputs, strict=True))
        new = call(spec, inputs, node.args, node.kwargs, node.shape if same else None)
        return replace(new, lower_bound=node.lower_bound, data_format=node.data_format)

    def _put(self, node: Node, new: Node, spacings: Spacings | None = None) -> None:
        """Note what became of a node, and of which layer of the model all of it comes."""
        self.placed[node] = new
        if spacings is not None:
            self.spacings[node] = spacings
        for each in topological([new], self.known):
            self.known.add(each)
            self.made.setdefault(each.spec, self.origins[node.spec])
            if (found := extents_of(each, self.extents)) is not None:
                self.extents[each] = found

    def _note(self, node: Node, how: Moves) -> None:
        """Note for the report what a layer's window does now."""
        _, _, strides, dilation = zip(*window_axes(node), strict=True)
        notes = []
        if how.strides != strides:
            notes.append(f"stride {_each(strides)} becomes {_each(how.strides)}")
        if how.dilation != dilation and max(how.dilation) > 1:
            notes.append(f"dilation {_each(how.dilation)}")
        if notes:
            name = self.origins[node.spec].name
            self.changes.append(Change(name, RULE.name, "function", ", ".join(notes)))

    def _refuse(self, node: Node, reason: str) -> None:
        origin = self.origins[node.spec]
        self.problems.append(Problem(origin.name, origin.kind, reason))


def _who_meet(origin: Spec) -> str:
    """Say which maps meet in a layer of the model, or in what a rule put in its place."""
    if "AveragePooling" in origin.kind:
        return "the map of its sums and that of its counts of cells"
    return "the maps in its place" if origin.kind in POOLS else "its inputs"


def _match(node: Node) -> Match:
    return Match(node, RULE, {}, {}, any_size=True)


def _each(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else "x".join(map(str, numbers))
