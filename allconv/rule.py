"""All that the writer of a rule imports: `rule`, `Match`, `Skip`.

A rule is one function. It is called on the last node of its pattern, walks up with `match.before`,
and returns the tensor of a small expression that takes the node's place, or says why it does not
apply:

    @rule(layer="Dense", keeps="function")
    def dense_on_a_map_to_conv(match):
        \"\"\"Dense on a map  ->  Conv2D(units, 1).\"\"\"
        ...
        return conv(match.before(match.node))      # or match.skip("its input is a vector")

It touches no framework, reads no weight, prints nothing and keeps no state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from allconv.dtypes import policy_of, variable_dtype, with_32_bits
from allconv.errors import ModelError, OptionError, RuleError
from allconv.graph import Node, Spec, call
from allconv.kernels.fixed import initializers
from allconv.layout import Layout, layout
from allconv.read.settings import checked_settings
from allconv.weights import Array

Keeps = Literal["function", "shape", "axes"]


@dataclass(frozen=True)
class Skip:
    """Why a rule does not apply, in words that follow the layer's name.

    Attributes:
        reason: What was found, and where it helps what was expected.
        absent: The rule's pattern is simply not there; other reasons say more.
    """

    reason: str
    absent: bool = False


@dataclass(frozen=True)
class Becomes:
    """What takes a node's place, where there is more to say than the tensor.

    Attributes:
        node: The new tensor.
        keeps: What this application keeps, where it is less than the rule's own promise.
        note: A remark for the report.
    """

    node: Node
    keeps: Keeps | None = None
    note: str = ""


Outcome = Node | Becomes | Skip


@dataclass(frozen=True)
class Rule:
    """A named rewrite of one pattern of nodes.

    Attributes:
        function: Called with a `Match`.
        kinds: Class names of the layers it is called on.
        keeps: `"function"`: same numbers up to rounding; `"shape"`: same shapes, needs training;
            `"axes"`: same axes, whose sizes may change, here and in later maps; needs training.
        options: What the user chose (`ConvPool(...)`), read as `match.options`.
        only: Names of the layers it is called on; None for all.
    """

    function: Callable[[Match], Outcome]
    kinds: frozenset[str]
    keeps: Keeps
    options: Any = None
    only: frozenset[str] | None = None

    @property
    def name(self) -> str:
        """The rule's name, `<from>_to_<to>`."""
        return self.function.__name__

    @property
    def summary(self) -> str:
        """The first line of the rule's docstring: the rule."""
        return (self.function.__doc__ or self.name).strip().splitlines()[0]

    def concerns(self, node: Node) -> bool:
        """Tell whether the rule is called on this node."""
        return node.kind in self.kinds and (self.only is None or node.name in self.only)

    def with_options(self, options: Any, only: Iterable[str] | None = None) -> Rule:
        """Return the same rule with options, for some layers."""
        return replace(self, options=options, only=None if only is None else frozenset(only))


def rule(
    *, layer: str | Iterable[str], keeps: Keeps
) -> Callable[[Callable[[Match], Outcome]], Rule]:
    """Make a rule of a function.

    Args:
        layer: Class name, or names, of the last layer of the pattern. A class that is not Keras'
            own
            is written as it was registered, `"my_package>MyLayer"`.
        keeps: What the rewrite keeps: `"function"`, `"shape"` or `"axes"`.

    Raises:
        OptionError: One of them is none.
    """
    given: Any = {layer} if isinstance(layer, str) else layer
    names = frozenset(given if isinstance(given, Iterable) else ())
    if not names or not all(isinstance(name, str) for name in names):
        raise OptionError(f"rule: layer is {layer!r}; expected class names, such as 'MaxPooling2D'")
    if keeps not in get_args(Keeps):
        raise OptionError(f"rule: keeps is {keeps!r}; expected 'function', 'shape' or 'axes'")
    return lambda function: Rule(function, names, keeps)


@dataclass(frozen=True)
class Match:
    """Where a rule is tried: the last node of its pattern, and what the rule may ask.

    Attributes:
        node: The last node of the pattern.
        rule: The rule itself.
        any_size: The result is to take maps of other sizes than the model's, too: no layer of it
            may depend on the size that a map has here.
    """

    node: Node
    rule: Rule
    origins: Mapping[Node, Node] = field(repr=False)
    uses: Mapping[Node, list[Node]] = field(repr=False)
    any_size: bool = False

    @property
    def options(self) -> Any:
        """What the user chose for this rule."""
        return self.rule.options

    def before(self, node: Node) -> Node:
        """Return the (first) tensor that a node takes."""
        return node.inputs[0]

    def layout(self, tensor: Node) -> Layout:
        """Say how a map lies: as the match's own layer says, else as those before it do."""
        said = self.node.config.get("data_format") if self.node.kind != "Flatten" else None
        return layout(tensor, said)

    def users(self, node: Node) -> list[Node]:
        """List the nodes of the original model that take this tensor, itself where it is an output.

        `node` is the match's own, one reached with `before`, or one of the original model.
        """
        return self.uses.get(self.origins.get(node, node), [])

    def skip(self, reason: str) -> Skip:
        """Say why the rule cannot be applied, though its pattern is here."""
        return Skip(reason)

    def absent(self, reason: str) -> Skip:
        """Say what is missing of the rule's pattern."""
        return Skip(reason, absent=True)

    def becomes(self, node: Node, keeps: Keeps | None = None, note: str = "") -> Becomes:
        """Return the new tensor, with a remark."""
        return Becomes(node, keeps, note)

    def again(self, node: Node, *inputs: Node, spec: Spec | None = None) -> Node:
        """Call a node's layer once more, in the same way, on other tensors."""
        return call(spec or node.spec, inputs, node.args, node.kwargs)

    def flattened_by(self, flatten: Node, tensor: Node) -> Node:
        """Move a Flatten down behind `tensor`, in the precision of the match's own layer."""
        dtype = self.node.config.get("dtype")
        if dtype in (None, flatten.config.get("dtype")):
            return flatten.spec(tensor)
        return flatten.spec.with_config(dtype=dtype)(tensor)

    def layer(
        self,
        kind: str,
        part: str = "",
        weights: Mapping[str, Array] | None = None,
        of: Node | None = None,
        **config: Any,
    ) -> Spec:
        """Make a new layer in the place of a node's, of the match's own unless `of` says otherwise.

        It inherits that node's dtype policy; products of weights, which 16 bits would round, are
        kept in 32, as `mixed_float16` does. It is frozen unless `trainable` says otherwise; then
        its configuration holds its fixed weights too, as far as they are small. Without a `part` it
        carries the node's name, otherwise `<name>_<part>`. Settings that are not given are Keras'
        own, so that rules may look at all of them.

        Raises:
            RuleError: A setting is none that such a layer takes.
        """
        old = of or self.node
        name = f"{old.name}_{part}" if part else old.name
        dtype = policy_of(old)
        if any(array.is_in_32_bits for array in (weights or {}).values()):
            dtype = with_32_bits(dtype)
        settings = {"name": name, "trainable": False, "dtype": dtype, **config}
        try:
            settings = checked_settings(kind, settings, f"layer '{name}' ({kind})")
        except ModelError as error:
            raise RuleError(f"rule '{self.rule.name}' makes a wrong layer: {error}") from None
        stored = variable_dtype(dtype)
        weights = {key: array.in_dtype(stored) for key, array in (weights or {}).items()}
        if not settings["trainable"]:
            settings |= initializers(kind, weights)
        return Spec(kind, name, settings, weights, part_of=old.name)
