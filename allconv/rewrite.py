"""The engine: graph and rules in, plan out. Pure data; no weight is touched.

The nodes are placed one after the other, each on what became of its inputs. On every placed node
the rules are tried in order; the first that applies gives an expression, whose new nodes are placed
in the same way. Rules only look up, at nodes that are settled, so one pass reaches the fixpoint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from allconv.errors import AllconvError, RuleError, ShapeError, first_line
from allconv.graph import Graph, Node, Spec, call, topological
from allconv.layers.layer_shapes import weight_shapes
from allconv.names import with_unique_layers
from allconv.output_names import with_output_names
from allconv.rule import Becomes, Keeps, Match, Outcome, Rule, Skip
from allconv.shapes import Shape
from allconv.weights import Array, fresh

MOST_ROUNDS = 40
"""How many rules may fire on one another's results before the engine calls it a loop."""

MOST_VALUES = 1 << 28
"""Values in all kernels that rules make up; a map of a stranger's model may have any size."""

UNKNOWN_INPUT = "the shape of its input is unknown, since allconv does not know a layer before it"


@dataclass(frozen=True)
class Change:
    """A rule that was applied.

    Attributes:
        layer: Name of the layer it was applied to.
        rule: The rule's name.
        keeps: What the change keeps.
        note: The rule's remark.
    """

    layer: str
    rule: str
    keeps: Keeps
    note: str = ""


@dataclass(frozen=True)
class Skipped:
    """A rule that was tried on a layer of the result and did not apply."""

    layer: str
    rule: str
    reason: str
    absent: bool = False


def each_once(reasons: Iterable[str]) -> list[str]:
    """Leave out reasons that are said again, or in more words, by another."""
    told = list(dict.fromkeys(reasons))
    return [one for one in told if not any(one in other and one != other for other in told)]


@dataclass(frozen=True)
class Plan:
    """A conversion, everything but the values of its weights.

    Attributes:
        before: The model.
        after: What it becomes.
        changes: The rules that were applied, in order.
        skips: The rules that did not apply, by node of `after`.
        fresh: Names of the layers, in `after`, whose weights no longer fitted and start fresh.
        origins: For each layer of `after` the layer of `before` that it comes from.
        any_size: The result is to take maps of other sizes, too.
        kept: Names of the pools of `before` that are to stay, as the user chose.
        rules: Those that were tried, in order.
        output_stride: Of the maps that the result gives, along each axis, where that is another
            than the model's own.
    """

    before: Graph
    after: Graph
    changes: tuple[Change, ...]
    skips: Mapping[Node, tuple[Skipped, ...]]
    fresh: tuple[str, ...]
    origins: Mapping[Spec, Spec]
    any_size: bool = False
    kept: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = ()
    output_stride: tuple[int, ...] | None = None

    @property
    def lossless(self) -> bool:
        """Whether the result computes the same numbers, up to rounding."""
        return not self.fresh and all(change.keeps == "function" for change in self.changes)

    @property
    def unshared(self) -> tuple[str, ...]:
        """Names of shared layers with weights whose calls became different layers."""
        before, after = _calls(self.before), _calls(self.after)
        apart = [
            self.origins[spec]
            for spec, count in after.items()
            if spec.weights and count < before[self.origins[spec]]
        ]
        return tuple(dict.fromkeys(spec.name for spec in apart))


def rewrite(graph: Graph, rules: Sequence[Rule], any_size: bool = False) -> Plan:
    """Apply rules to a graph until none applies any more.

    Args:
        graph: The model; it is left as it is.
        rules: Tried in this order at every node.
        any_size: The result is to take maps of other sizes, too.

    Raises:
        RuleError: A rule failed, returned no outcome or changed a shape that it keeps, or rules
            fire on one another without end.
        ShapeError: A map that shrank no longer fits a layer behind it.
    """
    rewriter = _Rewriter(graph, rules, any_size)
    for node in graph.nodes:
        rewriter.place(node)
    return rewriter.plan()


class _Rewriter:
    """What one pass has placed so far."""

    def __init__(self, graph: Graph, rules: Sequence[Rule], any_size: bool) -> None:
        self.graph = graph
        self.rules = rules
        self.any_size = any_size
        self.uses = _uses(graph)
        self.placed: dict[Node, Node] = {}
        self.settled: set[Node] = set()
        self.stands_for: dict[Node, Node] = {}
        self.origins: dict[Spec, Spec] = {spec: spec for spec in graph.specs()}
        self.named = {spec.name: spec for spec in graph.specs()}
        self.own = {id(array) for spec in graph.specs() for array in spec.weights.values()}
        self.made_up = 0
        self.made: dict[tuple[Spec, str], list[list[Spec]]] = {}
        self.refitted: dict[tuple[Spec, object], Spec] = {}
        self.changes: list[Change] = []
        self.skips: dict[Node, tuple[Skipped, ...]] = {}

    def place(self, original: Node) -> None:
        """Put what a node of the graph becomes behind what its inputs became."""
        inputs = [self.placed[node] for node in original.inputs]
        node = self.on_inputs(original, inputs)
        self.placed[original] = self.settle(node, original, ())

    def on_inputs(self, node: Node, inputs: list[Node]) -> Node:
        """Call a node's layer on other tensors; return the node itself where they are the same."""
        if tuple(inputs) == node.inputs:
            return node
        shapes = [source.shape for source in inputs]
        same_shapes = shapes == [source.shape for source in node.inputs]
        try:
            spec = node.spec if same_shapes else self.fitted(node.spec, shapes)
            return call(spec, inputs, node.args, node.kwargs, node.shape if same_shapes else None)
        except ShapeError as error:
            raise ShapeError(
                f"layer '{node.name}' ({node.kind}): {error}; the maps before it became smaller, "
                "choose a strategy that keeps their sizes"
            ) from None

    def fitted(self, spec: Spec, shapes: Sequence[Shape | None]) -> Spec:
        """Give a layer fresh weights in place of those that do not fit its new input."""
        expected = weight_shapes(spec.kind, spec.config, shapes)
        if expected is None or expected == {k: a.shape for k, a in spec.weights.items()}:
            return spec
        key = (spec, tuple(expected.items()))
        if key not in self.refitted:
            weights = {
                name: array if array.shape == shape else fresh(shape, array.dtype)
                for name, array in spec.weights.items()
                for shape in [expected.get(name, array.shape)]
            }
            self.refitted[key] = replace(spec, weights=weights)
            self.origins[self.refitted[key]] = self.origins[spec]
        return self.refitted[key]

    def settle(self, node: Node, original: Node, fired: tuple[str, ...]) -> Node:
        """Try the rules on a node whose inputs are settled, and again on what they give."""
        self.stands_for[node] = original
        skips = []
        for rule in self.rules:
            if rule.concerns(node) and any(source.shape is None for source in node.inputs):
                skips.append(Skipped(node.name, rule.name, UNKNOWN_INPUT))
            elif rule.concerns(node):
                match = Match(node, rule, self.stands_for, self.uses, self.any_size)
                outcome = _outcome(rule, match)
                if not isinstance(outcome, Skip) and (problem := self.too_much(outcome)):
                    outcome = Skip(problem)
                if not isinstance(outcome, Skip):
                    return self.apply(rule, node, outcome, original, (*fired, rule.name))
                skips.append(Skipped(node.name, rule.name, outcome.reason, outcome.absent))
        self.settled.add(node)
        self.skips[node] = tuple(skips)
        return node

    def too_much(self, outcome: Node | Becomes) -> str:
        """Say what is wrong with kernels made up beyond all bounds; "" where nothing is."""
        node = outcome if isinstance(outcome, Node) else outcome.node
        new = _specs(topological([node], self.settled))
        arrays = [array for spec in new for array in spec.weights.values()]
        values = sum(array.size for array in arrays if not self.is_of_model(array))
        if self.made_up + values > MOST_VALUES:
            return f"it would need kernels of {values:,} more values, which is beyond all bounds"
        self.made_up += values
        return ""

    def is_of_model(self, array: Array) -> bool:
        """Tell whether an array is a weight of the model, or made of one."""
        parts = [part for part in array.parts if isinstance(part, Array)]
        return id(array) in self.own or any(map(self.is_of_model, parts))

    def apply(
        self,
        rule: Rule,
        node: Node,
        outcome: Node | Becomes,
        original: Node,
        fired: tuple[str, ...],
    ) -> Node:
        """Put an expression in a node's place."""
        becomes = Becomes(outcome) if isinstance(outcome, Node) else outcome
        keeps = becomes.keeps or rule.keeps
        _check_application(rule, node, becomes, keeps, fired)
        self.changes.append(Change(original.name, rule.name, keeps, becomes.note))
        new = list(topological([becomes.node], self.settled))
        specs = self.shared_specs(rule, node, new)
        results: dict[Node, Node] = {}
        for part in new:
            inputs = [results.get(source, source) for source in part.inputs]
            placed = self.on_inputs(replace(part, spec=specs.get(part.spec, part.spec)), inputs)
            if part is becomes.node and keeps == "function":
                placed = replace(placed, lower_bound=node.lower_bound)
            results[part] = self.settle(placed, original, fired)
        return results.get(becomes.node, becomes.node)

    def shared_specs(self, rule: Rule, node: Node, new: list[Node]) -> dict[Spec, Spec]:
        """Find the new layers to take from an earlier call of the same layer, rewritten alike."""
        specs = [spec for spec in _specs(new) if spec not in self.origins]
        earlier = self.made.setdefault((node.spec, rule.name), [])
        for others in earlier:
            if len(others) == len(specs) and all(map(Spec.same_layer, others, specs)):
                return dict(zip(specs, others, strict=True))
        earlier.append(specs)
        self.origins |= {
            spec: self.named.get(spec.part_of or spec.name, self.origins[node.spec])
            for spec in specs
        }
        return {}

    def plan(self) -> Plan:
        """Return what became of the graph."""
        inputs = [self.placed[node] for node in self.graph.inputs]
        outputs = [self.placed[node] for node in self.graph.outputs]
        rough = self.graph.with_outputs(inputs, outputs, self.graph.names_of_outputs())
        unique, nodes, specs = with_unique_layers(rough, self.graph)
        return named_after_outputs(
            Plan(
                before=self.graph,
                after=unique,
                changes=tuple(self.changes),
                skips={new: self.skips.get(old, ()) for old, new in nodes.items()},
                fresh=(),
                origins={new: self.origins[old] for new, old in specs.items()},
                any_size=self.any_size,
                rules=tuple(self.rules),
            )
        )


def named_after_outputs(plan: Plan) -> Plan:
    """Call the last layers as the outputs that they give."""
    after, nodes = with_output_names(plan.after, plan.before)
    origins = {new.spec: plan.origins[old.spec] for old, new in nodes.items()}
    for old, new in zip(plan.before.outputs, after.outputs, strict=True):
        origins.setdefault(new.spec, old.spec)
    return replace(
        plan,
        after=after,
        skips={nodes[old]: skips for old, skips in plan.skips.items() if old in nodes},
        fresh=tuple(spec.name for spec in after.specs() if _has_fresh_weights(spec)),
        origins=origins,
    )


def _uses(graph: Graph) -> dict[Node, list[Node]]:
    uses = graph.users()
    for node in graph.outputs:
        uses[node].append(node)
    return uses


def _specs(nodes: Iterable[Node]) -> list[Spec]:
    return list(dict.fromkeys(node.spec for node in nodes))


def _has_fresh_weights(spec: Spec) -> bool:
    return any(array.is_fresh for array in spec.weights.values())


def _calls(graph: Graph) -> Counter[Spec]:
    return Counter(node.spec for node in graph.nodes)


def _outcome(rule: Rule, match: Match) -> Outcome:
    """Ask a rule; what it raises, or gives in the place of an outcome, is told as its mistake."""
    place = f"layer '{match.node.name}' ({match.node.kind}): rule '{rule.name}'"
    try:
        outcome = rule.function(match)
    except ShapeError as error:
        raise ShapeError(f"{place} builds what does not fit: {error}") from error
    except AllconvError:
        raise
    except Exception as error:  # a rule is anyone's code
        raise RuleError(
            f"{place} failed: {type(error).__name__}: {first_line(error)}; where it cannot be "
            "applied it should return match.skip(reason)"
        ) from error
    if not isinstance(outcome, Node | Becomes | Skip):
        raise RuleError(
            f"{place} returned {type(outcome).__name__}; a rule returns a tensor, "
            "match.becomes(...), match.skip(reason) or match.absent(reason)"
        )
    return outcome


def _check_application(
    rule: Rule, node: Node, becomes: Becomes, keeps: Keeps, fired: tuple[str, ...]
) -> None:
    if len(fired) > MOST_ROUNDS:
        raise RuleError(
            f"layer '{node.name}' ({node.kind}): these rules fire on one another without end: "
            + ", ".join(dict.fromkeys(fired[-6:]))
        )
    if keeps != "axes" and node.shape not in (None, becomes.node.shape):
        raise RuleError(
            f"layer '{node.name}' ({node.kind}): rule '{rule.name}' keeps the {keeps} but turned "
            f"the shape {node.shape} into {becomes.node.shape}"
        )
