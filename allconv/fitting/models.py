"""An original and its conversion: held against each other, and given new weights."""

from __future__ import annotations

from typing import Any, Literal

from allconv.errors import CalibrationError, ModelError
from allconv.graph import Graph, Node
from allconv.output_names import with_old_names
from allconv.read import is_live, read

Verbose = Literal["auto", 0, 1, 2]
"""How much is shown, as of Keras' `fit`."""


def read_pair(original: Any, converted: Any) -> tuple[Graph, Graph]:
    """Read an original and its conversion; layers that became one another have one name.

    Raises:
        CalibrationError: They do not belong together.
        ModelError: The conversion is not in memory.
    """
    if not is_live(converted):
        raise ModelError(
            f"converted: expected a model in memory, whose weights can be changed, got "
            f"{type(converted).__name__}; open a file with keras.saving.load_model first"
        )
    before, after = read(original), read(converted)
    problem = _difference(before, after)
    if problem:
        raise CalibrationError(
            f"'{after.name}' is no conversion of '{before.name}': {problem}; give the model that "
            "it was converted from"
        )
    return before, with_old_names(after, before)


def _difference(before: Graph, after: Graph) -> str:
    """Say what shows that two models do not belong together; "" where nothing does."""
    for what in ("inputs", "outputs"):
        of_both = [getattr(graph, what) for graph in (before, after)]
        if len(of_both[0]) != len(of_both[1]):
            return f"it has {len(of_both[1])} {what} where the original has {len(of_both[0])}"
    for old, new in zip(before.inputs, after.inputs, strict=True):
        if not _takes(new, old):
            return f"its input '{new.name}' is {new.shape} where the original's is {old.shape}"
    names = {spec.name for spec in before.specs() if spec.kind != "InputLayer"}
    if names.isdisjoint(spec.name for spec in after.specs()):
        return "none of its layers has the name of one of the original's"
    return ""


def _takes(new: Node, old: Node) -> bool:
    if new.shape is None or old.shape is None or len(new.shape) != len(old.shape):
        return False
    return all(a == b or None in (a, b) for a, b in zip(new.shape, old.shape, strict=True))


def put_in_place(after: Graph, fitted: Graph) -> None:
    """Give the layers of a model in memory the weights that differ in another graph of it."""
    new = {spec.name: spec for spec in fitted.specs()}
    for spec in after.specs():
        if not spec.weights:
            continue
        other = new.get(spec.name) or new[spec.name.replace("/", "_")]  # as `build` names it
        if other is not spec:
            for variable, array in zip(spec.layer.weights, other.weights.values(), strict=True):
                variable.assign(array.read())
