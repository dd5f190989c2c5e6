"""The graph: specs, their calls, and a model made of them. Immutable, plain data.

A `Spec` is a layer as data. A `Node` is one call of a spec on other nodes, and stands for the
tensor that the call returns; so a graph is an expression, and a rewrite writes a new one:

    relu = Spec("ReLU", "relu", {})
    maximum = add(relu(difference(x)), pick(x))
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from allconv.layers.layer_shapes import output_shape
from allconv.layers.ranges import lower_bound
from allconv.shapes import Shape
from allconv.weights import Array

ITEM = "item"
"""Kind of the node that stands for one further tensor of a call that returns several."""

OF_ALIKE = frozenset({"ops.Split", "ops.Unstack"})
"""Operations that give several tensors, all of one shape where it is known."""


@dataclass(frozen=True, eq=False)
class Spec:
    """A layer as plain data. A shared layer is one spec with several calls.

    Attributes:
        kind: Keras' class name (`"Conv2D"`), `"ops.<class name>"` for an operation of `keras.ops`.
        name: The layer's name, unique in a finished graph.
        config: The layer's `get_config()`, in Keras 3's words.
        weights: Lazy arrays by Keras' variable names, in the order of `layer.weights`.
        module: Where Keras finds the class; a foreign module makes the layer opaque.
        layer: The live layer that it describes, None where there is only a file or a rule.
        part_of: Name of the layer of the model in whose place a rule put it, "" for others.
        inside: Names of the nested models that it was read from, outermost first.
        note: What is to be known of how its file was read, "" where that is nothing.
    """

    kind: str
    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Array] = field(default_factory=dict)
    module: str = "keras.layers"
    layer: Any = None
    part_of: str = ""
    inside: tuple[str, ...] = ()
    note: str = ""

    def __call__(self, *inputs: Node) -> Node:
        """Call the layer on one tensor, or on several as a merge layer takes them (a list)."""
        return call(self, inputs)

    def with_config(self, **changes: Any) -> Spec:
        """Return the same layer with some entries of its configuration changed."""
        return replace(self, config={**self.config, **changes})

    def same_layer(self, other: Spec) -> bool:
        """Tell whether both describe the same layer but for its name."""
        return (
            (self.kind, self.module, self.layer) == (other.kind, other.module, other.layer)
            and _nameless(self.config) == _nameless(other.config)
            and self.weights == other.weights
        )

    def __repr__(self) -> str:
        return f"{self.kind} {self.name!r}"


@dataclass(frozen=True)
class Slot:
    """The place of input number `index` in the arguments of a call."""

    index: int


@dataclass(frozen=True, eq=False)
class Node:
    """One call of a spec, and the tensor it returns.

    Attributes:
        spec: What is called.
        inputs: The nodes it is called on.
        args: Positional arguments of the call: constants and `Slot`s, nested as in the model.
        kwargs: Keyword arguments likewise (`{"training": False}`).
        shape: Of the tensor, batch first, None where a size is free; None where unknown.
        lower_bound: No value of the tensor is below it; None where there is no such number.
        data_format: `"channels_first"` where the layers say so, else `"channels_last"`.
    """

    spec: Spec
    inputs: tuple[Node, ...] = ()
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    shape: Shape | None = None
    lower_bound: float | None = None
    data_format: str = "channels_last"

    @property
    def kind(self) -> str:
        """Class name of the layer called."""
        return self.spec.kind

    @property
    def name(self) -> str:
        """Name of the layer called."""
        return self.spec.name

    @property
    def config(self) -> Mapping[str, Any]:
        """Configuration of the layer called."""
        return self.spec.config

    def __repr__(self) -> str:
        return f"{self.spec!r} -> {self.shape}"


def call(
    spec: Spec,
    inputs: Sequence[Node],
    args: tuple[Any, ...] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    shape: Shape | None = None,
    data_format: str = "channels_last",
) -> Node:
    """Call `spec` on `inputs` and work out what is known of the result.

    Args:
        spec: The layer to call.
        inputs: The tensors it takes.
        args: Template of the call; by default one input stands alone and several make a list.
        kwargs: Template of the keyword arguments.
        shape: The tensor's shape where the layer's class is unknown to `layer_shapes`.
        data_format: Of a tensor that is made of no other; the layers say it of all others.

    Raises:
        ShapeError: The layer does not take inputs of these shapes.
    """
    if args is None:
        slots = [Slot(i) for i in range(len(inputs))]
        args = tuple(slots) if len(slots) < 2 else (slots,)
    shapes = [node.shape for node in inputs]
    operands = (*args, *(kwargs or {}).values())
    known = output_shape(spec.kind, spec.config, shapes, operands)
    if spec.kind == ITEM and inputs[0].kind in OF_ALIKE:
        known = inputs[0].shape
    bound = lower_bound(spec.kind, spec.config, [node.lower_bound for node in inputs])
    if inputs:
        data_format = inputs[0].data_format
    if spec.kind != "Flatten":
        data_format = spec.config.get("data_format") or data_format
    return Node(spec, tuple(inputs), args, kwargs or {}, known or shape, bound, data_format)


@dataclass(frozen=True, eq=False)
class Graph:
    """A model: nodes in topological order, its inputs and its outputs.

    Attributes:
        name: The model's name.
        nodes: Every node once, each after the nodes it is called on.
        inputs: The `InputLayer` nodes, in the model's order.
        outputs: The nodes that the model returns, in the model's order.
        input_structure: How the model takes its inputs: `Slot`s nested in lists and dictionaries.
        output_structure: How it gives its outputs, likewise.
        output_names: What Keras calls its outputs, in order: a nested model gives them its own
            name, and one layer may give several. Empty where nobody has said.
        sequential: Whether the model is a `Sequential`.
        trainable: The model's own `trainable` flag.
        from_file: Whether it was read from a file, of which no word is trusted.
        own_class: The class that a file gives the model where that is not Keras' own.
        unassigned: The layers whose weights a file holds in an order that is not known.
        compile_settings: How a file says that the model was compiled, as it stands there.
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    input_structure: Any = Slot(0)
    output_structure: Any = Slot(0)
    output_names: tuple[str, ...] = ()
    sequential: bool = False
    trainable: bool = True
    from_file: bool = False
    own_class: str = ""
    unassigned: tuple[str, ...] = ()
    compile_settings: Mapping[str, Any] = field(default_factory=dict)

    def with_outputs(
        self, inputs: Iterable[Node], outputs: Iterable[Node], names: tuple[str, ...] = ()
    ) -> Graph:
        """Return the same model around other tensors; nodes that no output needs are left out.

        Args:
            inputs: The model's inputs.
            outputs: Its outputs.
            names: What these are called.
        """
        inputs, outputs = tuple(inputs), tuple(outputs)
        nodes = tuple(topological([*inputs, *outputs]))
        return replace(self, nodes=nodes, inputs=inputs, outputs=outputs, output_names=names)

    def with_specs(self, specs: Mapping[Spec, Spec]) -> Graph:
        """Return the same model with other layers in the places of some; the shapes stay."""
        nodes: dict[Node, Node] = {}
        for node in self.nodes:
            inputs = tuple(nodes[source] for source in node.inputs)
            nodes[node] = replace(node, spec=specs.get(node.spec, node.spec), inputs=inputs)
        return self.with_nodes(nodes)

    def with_nodes(self, nodes: Mapping[Node, Node]) -> Graph:
        """Return the same model with each of its nodes replaced, in the same order."""
        return replace(
            self,
            nodes=tuple(nodes.values()),
            inputs=tuple(nodes[node] for node in self.inputs),
            outputs=tuple(nodes[node] for node in self.outputs),
        )

    def names_of_outputs(self) -> tuple[str, ...]:
        """Say what the outputs are called; as the layers that give them where nobody has said."""
        return self.output_names or tuple(node.name for node in self.outputs)

    def users(self) -> dict[Node, list[Node]]:
        """Collect for each node the nodes that take its tensor, once per use."""
        users: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for source in node.inputs:
                users[source].append(node)
        return users

    def specs(self) -> list[Spec]:
        """Return every spec once, in the order of its first call."""
        return list({id(node.spec): node.spec for node in self.nodes}.values())

    def is_chain(self) -> bool:
        """Tell whether every node takes the tensor of the node before it, as in a `Sequential`."""
        pairs = zip(self.nodes, self.nodes[1:], strict=False)
        once = len(self.specs()) == len(self.nodes)
        plain = all(
            len(node.args) == 1 and isinstance(node.args[0], Slot) and not node.kwargs
            for node in self.nodes[1:]
        )
        linked = all(after.inputs == (before,) for before, after in pairs)
        return once and plain and linked and self.outputs == self.nodes[-1:]


def topological(ends: Iterable[Node], known: Container[Node] = ()) -> Iterator[Node]:
    """List every node that `ends` need, each after its inputs; `known` ones end the walk."""
    seen: set[Node] = set()
    stack = [(node, False) for node in reversed(list(ends))]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif node not in seen and node not in known:
            seen.add(node)
            stack.append((node, True))
            stack.extend((source, False) for source in reversed(node.inputs))


def map_slots(structure: Any, fill: Callable[[int], Any]) -> Any:
    """Copy nested lists, tuples and dictionaries with `fill(index)` for each `Slot`."""
    if isinstance(structure, Slot):
        return fill(structure.index)
    if isinstance(structure, Mapping):
        return {key: map_slots(value, fill) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(map_slots(item, fill) for item in structure)
    return structure


def _nameless(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "name"}
