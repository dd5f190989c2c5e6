"""A model's shapes worked out again for other inputs, past every layer that does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from allconv.errors import OptionError, ShapeError
from allconv.graph import ITEM, OF_ALIKE, Graph, Node
from allconv.layers.kinds import BINARY_OPS
from allconv.layers.layer_shapes import output_shape, weight_shapes
from allconv.layers.map_shapes import join, split
from allconv.layout.made_images import images_made
from allconv.shapes import Shape

Sizes = tuple[int | None, ...]

OF_ANY_LENGTH = frozenset(
    {"LSTM", "GRU", "SimpleRNN", "Bidirectional", "Embedding"}
    | {"Attention", "AdditiveAttention", "MultiHeadAttention", "GroupQueryAttention"}
)
"""Layers of sequences, which take any and keep their lengths; nothing else is known of them."""


@dataclass(frozen=True)
class Problem:
    """A layer that does not fit its input, and why."""

    layer: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.layer} ({self.kind}): {self.message}"


@dataclass(frozen=True)
class Image:
    """An input that is a map: where its sizes are, and what they are.

    Attributes:
        node: The input.
        data_format: Whether its channels come first or last.
    """

    node: Node
    data_format: str

    @property
    def sizes(self) -> Sizes:
        """The model's own sizes, None where they are free."""
        return self._parts()[1]

    def shape(self, sizes: Sequence[int | None]) -> Shape:
        """Return the shape of the input with other sizes."""
        batch, _, channels = self._parts()
        return join({"data_format": self.data_format}, batch, sizes, channels)

    def _parts(self) -> tuple[int | None, Sizes, int | None]:
        shape = self.node.shape or ()
        return split(len(shape) - 2, {"data_format": self.data_format}, shape)


def images(graph: Graph) -> tuple[Image, ...]:
    """List the inputs of a model that are maps of one, two or three axes."""
    users = graph.users()
    maps = [node for node in graph.inputs if node.shape and len(node.shape) in (3, 4, 5)]
    return tuple(Image(node, _data_format(node, users)) for node in maps)


def at_size(graph: Graph, size: Sequence[int]) -> dict[Node, Shape]:
    """Return the shapes of a model's inputs at an image size; leave out inputs of other axes.

    Raises:
        OptionError: The size is none, or no input of the model has as many axes.
    """
    if not isinstance(size, (tuple, list)) or not size or not all(map(is_count, size)):
        raise OptionError(
            f"input_size is {size!r}; expected a tuple with one number >= 1 for each axis, such as "
            "(224, 224)"
        )
    taking = [image for image in images(graph) if len(image.sizes) == len(size)]
    if not taking:
        axes = "1 axis" if len(size) == 1 else f"{len(size)} axes"
        inputs = ", ".join(f"'{node.name}' {node.shape}" for node in graph.inputs)
        made = images_made(graph)
        raise OptionError(
            f"input size {size_words(size)} is for maps of {axes}, and no input of model "
            f"'{graph.name}' is one; its inputs are {inputs}{made and f'; {made}'}"
        )
    return {image.node: image.shape([int(n) for n in size]) for image in taking}


def at_any_size(graph: Graph) -> dict[Node, Shape]:
    """Return the shapes of a model's inputs with the sizes of all images free."""
    return {image.node: image.shape([None] * len(image.sizes)) for image in images(graph)}


def is_count(size: object) -> bool:
    """Tell whether this is a whole number from 1 on, of Python's or NumPy's."""
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
        return False
    return bool(size >= 1)


def shapes_at(
    graph: Graph, inputs: Mapping[Node, Shape]
) -> tuple[dict[Node, Shape | None], tuple[Problem, ...]]:
    """Work out every shape of a model.

    Args:
        graph: The model.
        inputs: Shapes of its inputs where they are not the model's own.

    Returns:
        The shape of every node, None where it is unknown: after a layer that does not fit, and of
        layers of unknown classes on other shapes than the model's. And the layers that do not fit.
    """
    own_sizes = " and ".join(dict.fromkeys(size_words(image.sizes) for image in images(graph)))
    shapes: dict[Node, Shape | None] = {}
    problems: dict[str, Problem] = {}
    for node in graph.nodes:
        given = [shapes[source] for source in node.inputs]
        shapes[node] = None
        try:
            shapes[node] = inputs.get(node) or call_shape(node, given, own_sizes)
        except ShapeError as error:
            problems.setdefault(node.name, Problem(node.name, node.kind, str(error)))
    return shapes, tuple(problems.values())


def call_shape(node: Node, inputs: list[Shape | None], own_sizes: str = "") -> Shape | None:
    """Work out what a call gives on inputs of these shapes; None where that is unknown.

    Raises:
        ShapeError: The layer does not fit; `own_sizes` are the model's own, for the message.
    """
    shape = _shape(node, inputs)
    _check_weights(node, inputs, own_sizes)
    return shape


def size_words(sizes: Sequence[int | None]) -> str:
    """Write sizes in words, `28x28`; `?` where one is free."""
    return "x".join("?" if size is None else str(size) for size in sizes)


def _shape(node: Node, inputs: list[Shape | None]) -> Shape | None:
    """Work out what a call gives; of an unknown class what the model's own shapes tell."""
    # A constant that fits the model's own size only is found, and named, by `sizes.fixed_layers`.
    operands = () if node.kind in BINARY_OPS else (*node.args, *node.kwargs.values())
    shape, own = output_shape(node.kind, node.config, inputs, operands), node.shape
    if node.kind == ITEM and node.inputs[0].kind in OF_ALIKE:
        shape = inputs[0]
    if shape is not None or own is None:
        return shape
    own_inputs = [source.shape for source in node.inputs]
    if inputs == own_inputs or (_are_free(own_inputs) and None not in own[1:]):
        return own
    if node.kind in OF_ANY_LENGTH and inputs and inputs[0] is not None:
        return tuple(a or b for a, b in zip_longest(own, inputs[0][: len(own)]))
    return None


def _are_free(shapes: list[Shape | None]) -> bool:
    """Tell whether shapes leave a size open: what all of them make alike does not depend on it."""
    return any(shape is not None and None in shape[1:] for shape in shapes)


def _check_weights(node: Node, inputs: list[Shape | None], own_sizes: str) -> None:
    """Raise a ShapeError where a layer's weights are not those that its input asks for."""
    wanted = weight_shapes(node.kind, node.config, inputs) or {}
    for name, array in node.spec.weights.items():
        if wanted.get(name, array.shape) != array.shape:
            misfit = _misfit(node, name, array.shape, wanted[name])
            raise ShapeError(f"{misfit}: the model is frozen to {own_sizes} inputs{_remedy(node)}")


def _misfit(node: Node, name: str, own: Sequence[int], wanted: Sequence[int]) -> str:
    before = f"the {node.inputs[0].kind} before it"
    if node.kind == "Dense":
        return f"its kernel takes {own[0]} values, {before} gives {wanted[0]}"
    return f"its {name} has the shape {tuple(own)}, {before} asks for {tuple(wanted)}"


def _remedy(node: Node) -> str:
    return "; allconv.convert makes the Dense a convolution" if node.kind == "Dense" else ""


def _data_format(source: Node, users: Mapping[Node, list[Node]]) -> str:
    """Say where an input's channels are: the nearest layer behind it that says so knows."""
    behind, seen = [source], {source}
    for node in behind:
        # Flatten's data format is a wish for the order of its output, not a fact about its input.
        if "data_format" in node.config and node.kind != "Flatten":
            return str(node.config["data_format"])
        behind += [user for user in dict.fromkeys(users[node]) if user not in seen]
        seen.update(users[node])
    return "channels_last"
