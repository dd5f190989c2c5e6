"""What was done to make a model, known for as long as the model is in memory."""

from __future__ import annotations

from collections import Counter
from typing import Any
from weakref import WeakKeyDictionary

from allconv.rewrite import Plan

_DONE: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def remember(model: Any, plan: Plan) -> None:
    """Remember which plan a Keras model was made by."""
    _DONE[model] = plan_in_a_line(plan)


def history_of(model: Any) -> str:
    """Say in one line how a model was made; "" for one that `convert` did not make here."""
    try:
        return _DONE.get(model, "")
    except TypeError:  # a path given as text, which has no weak references
        return ""


def plan_in_a_line(plan: Plan) -> str:
    """Say which rules a conversion applied, how often, and whether it keeps the function."""
    counts = Counter(change.rule for change in plan.changes)
    rules = ", ".join(f"{count} {rule}" for rule, count in counts.items()) or "no change"
    return f"{rules}; {'same outputs' if plan.lossless else 'to be trained'}"
