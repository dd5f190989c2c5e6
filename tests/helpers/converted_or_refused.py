"""The promise about any network: converted with the same numbers, or refused by name.

    outcome = promise(model, input_size="any")

An AssertionError says where it is broken.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

import allconv
from allconv.errors import AllconvError
from allconv.obstacles import is_all_convolutional
from allconv.plan import plan_conversion
from allconv.verification.arranged import arranged
from tests.helpers.closeness import comparable, finite_images, relative_error, tolerance
from tests.helpers.drawn_compiling import structure
from tests.helpers.honest_reasons import honest_reasons
from tests.helpers.keras_comparison import outputs
from tests.helpers.one_answer import one_answer
from tests.helpers.randomized import leaves

EQUAL, REFUSED, LEAN = "equal", "refused", "lean, as asked for"
CHAOTIC = "chaotic, moved as far by roundings of its own"


@dataclass(frozen=True)
class Outcome:
    """What became of a network, and how far its numbers moved in units of their spread."""

    word: str
    reason: str = ""
    error: float = 0.0
    converted: keras.Model | None = None


def promise(model, families=frozenset(), **options):
    """Hold allconv to its word on a model of some families; `options` are those of `convert`."""
    assert_shapes_are_those_of_keras(model)
    converted = one_answer(model, **options)
    if isinstance(converted, AllconvError):
        # Another size than a network's own may be refused without obstacles, too.
        assert options.get("strict", True) or "input_size" in options, converted
        reasons = honest_reasons(model, options, families)
        said = [reason for reason in reasons if reason in str(converted)]
        assert said, converted
        return Outcome(REFUSED, said[0])
    plan = plan_conversion(model, **without_strict(options))
    assert_nothing_is_left_to_convert(converted, options)
    if "input_size" in options:
        assert_larger_images_give_the_shapes_that_check_says(model, converted)
    else:
        assert_interface_is_the_same(model, converted)
    if not plan.lossless:
        assert {"pooling", "head"} & set(options), "not lossless, and nobody asked for that"
        return Outcome(LEAN, converted=converted)
    try:
        return Outcome(EQUAL, error=largest_error(model, converted), converted=converted)
    except AssertionError:
        if not is_chaotic(model, converted):
            raise
        return Outcome(CHAOTIC, converted=converted)


def is_chaotic(model, converted):
    """Whether roundings move a network as far: Keras' sparsemax jumps where one of itself ends."""
    verification = allconv.verify(model, converted, finite_images(model)[0])
    return verification.passed is None and "is chaotic" in verification.reason


def without_strict(options):
    return {key: value for key, value in options.items() if key != "strict"}


def largest_error(model, converted):
    """Of all outputs on random images; an AssertionError where it is no rounding."""
    limit = tolerance(model)
    model, converted = comparable(model), comparable(converted)
    images, expected = finite_images(model)
    found = outputs(converted, images)
    pairs = zip(found, expected, model.outputs, converted.outputs, strict=True)
    ends = [arranged(*each) for each in pairs]
    return max(relative_error(*each, limit) for each in zip(ends, expected, strict=True))


def assert_nothing_is_left_to_convert(converted, options):
    again = plan_conversion(converted, **without_strict(options))
    if options.get("strict", True):
        keeps = "keep" in (options.get("pooling"), options.get("head"))
        assert keeps or is_all_convolutional(again.before)
    assert again.changes == (), f"a second conversion changes {again.changes}"


def assert_interface_is_the_same(model, converted):
    """The outputs' structure and shapes."""
    keras.tree.assert_same_structure(structure(model), structure(converted))
    shapes = [[tensor.shape for tensor in each.outputs] for each in (model, converted)]
    assert shapes[0] == shapes[1]


def assert_shapes_are_those_of_keras(model):
    """`check` finds no misfit, and gives every call a shape that Keras has given to that layer."""
    check = allconv.check(model)
    assert check.passed and not check.unknown, check
    known: dict[str, set[tuple[int | None, ...]]] = {}
    for layer in leaves(model):
        shapes = {tensor.shape for call in layer._inbound_nodes for tensor in call.outputs}
        known.setdefault(layer.name, set()).update(shapes)
    for row in check.rows:
        assert row.output_shape in known.get(row.layer, {row.output_shape}), row


def assert_larger_images_give_the_shapes_that_check_says(model, converted):
    """A model for any size takes images that are 8 cells larger, unless `check` knows better.

    Branches of different strides need not meet there: allconv promises that they do where the
    image grows by all strides.
    """
    (image,), (shape,) = model.inputs, [tensor.shape for tensor in converted.inputs]
    larger = [n + 8 * (free is None) for n, free in zip(image.shape[1:], shape[1:], strict=True)]
    sizes = [n for n, free in zip(larger, shape[1:], strict=True) if free is None]
    check = allconv.check(converted, input_size=sizes or None)
    if check.passed:
        given = {row.output_shape[1:] for row in check.rows}
        for values in outputs(comparable(converted), [np.zeros((1, *larger), "float32")]):
            assert values.shape[1:] in given
