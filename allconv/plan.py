"""A conversion as a plan: worked out, built, compared with its original.

`convert`, `report`, `geometry` and the command line act on one plan; nothing is worked out twice.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from allconv.building.build import build
from allconv.building.compiling import (
    carry_dtype_policy,
    carry_saved_settings,
    policy_of_layers,
)
from allconv.building.provenance import remember
from allconv.dense_maps.moved_images import with_moved_images
from allconv.dense_maps.strides import OutputStride, pools_to_refine, refuse_stride_alone
from allconv.errors import OptionError, VerificationError
from allconv.graph import Graph
from allconv.read import read
from allconv.read.file import ModelFile
from allconv.resize import InputSize, with_own_size
from allconv.rewrite import Plan, rewrite
from allconv.rule import Rule
from allconv.rules import Head, pools_to_keep, rules_for
from allconv.rules.installed import installed_rules
from allconv.rules.unstrided import rules_for_finer_maps
from allconv.strategies import Pooling
from allconv.verify import Verification, verify

if TYPE_CHECKING:
    import keras


def plan_conversion(
    model: keras.Model | str | os.PathLike[str] | ModelFile | Graph,
    *,
    pooling: Pooling = "exact",
    head: Head = "dense",
    rules: Sequence[Rule] = (),
    fold_batchnorm: bool = False,
    input_size: InputSize | None = None,
    output_stride: OutputStride | None = None,
) -> Plan:
    """Work out a conversion; no weight is read and no layer is made. Arguments as of `convert`.

    The plan is for the model's own size; with an `input_size` nothing in it depends on that, and
    `maps_of` is the step that is left.
    """
    refuse_stride_alone(input_size, output_stride)
    graph = with_own_size(read(model), input_size)
    finer = rules_for_finer_maps(graph, pooling, pools_to_refine(graph, output_stride))
    others = (*_checked_rules(rules), *installed_rules(), *finer)
    chosen = rules_for(graph, pooling, head, others, fold_batchnorm)
    plan = rewrite(graph, chosen, any_size=input_size is not None)
    return replace(plan, kept=pools_to_keep(graph, pooling))


def _checked_rules(rules: Any) -> tuple[Rule, ...]:
    """Return the user's rules; raise an OptionError where something else is given."""
    if not isinstance(rules, Sequence):
        raise OptionError(f"rules is {rules!r}; expected a list of rules")
    for each in rules:
        if not isinstance(each, Rule):
            raise OptionError(
                f"rules holds {each!r}; a rule is a function with @rule(...) above it"
            )
    return tuple(rules)


def build_plan(plan: Plan) -> keras.Model:
    """Build the result of a plan, and remember what was done to make it.

    It is compiled as a file says, where the model comes from one and the result gives the same.
    """
    converted = build(plan.after)
    remember(converted, plan)
    if plan.before.from_file:
        carry_dtype_policy(converted, policy_of_layers(plan.before))
    if plan.before.compile_settings and not plan.any_size:
        carry_saved_settings(plan.before, converted)
    return converted


def verify_plan(
    plan: Plan,
    result: Plan | None = None,
    original: keras.Model | None = None,
    converted: keras.Model | None = None,
) -> Verification:
    """Compare a conversion with its original, at the original's own size.

    A map of a finer stride is compared with moved images, too.

    Args:
        plan: The conversion, for the model's own size.
        result: What becomes of it on images of other sizes; by default the plan itself.
        original: The model, where it is in memory; else it is built.
        converted: The model of the result, where it is built.
    """
    result = plan if result is None else result
    at_own_size = converted if _is_like_own(plan.after, result) else None
    found = verify(
        plan.before if original is None else original,
        plan.after if at_own_size is None else at_own_size,
    )
    return with_moved_images(found, plan, result, converted)


def _is_like_own(own: Graph, result: Plan) -> bool:
    """Tell whether a result takes images of the model's own size, and gives maps of its stride."""
    pairs = zip(own.inputs, result.after.inputs, strict=True)
    sizes = (zip(old.shape or (), new.shape or (), strict=True) for old, new in pairs)
    fits = all(new in (None, old) for axes in sizes for old, new in axes)
    return fits and result.output_stride is None


def refuse_wrong_numbers(plan: Plan, verification: Verification, consequence: str = "") -> None:
    """Raise a VerificationError where a conversion failed its comparison with the original."""
    if verification.passed is False:
        what = f"model '{plan.before.name}' and its conversion: {verification}"
        raise VerificationError("; ".join(filter(None, (what, consequence))))
