"""Networks that make much of little: one rounding of a number moves their output.

Two ways to compute such a network are far apart although neither is wrong, and how far they are
says nothing. So where two models disagree, the original is run again on inputs and weights that are
one rounding away, and with the results of its layers rounded otherwise, as they are wherever they
are computed in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import islice
from typing import Any

import numpy as np

from allconv.verification.copies import copied
from allconv.verification.inputs import batch_size, slices
from allconv.verification.logits import is_graph, runners
from allconv.verification.measure import BATCH, Tally
from allconv.verification.precision import EPS, operations_of

DRAWS = 8
"""Roundings tried. How far they move a network may differ a thousandfold from one to the next."""
BATCHES = 4
"""Batches of the inputs that they are tried on."""


def moved_by_rounding(
    original: Any, converted: Any, inputs: Any, eps: float, seed: int, enough: Sequence[float]
) -> list[float]:
    """Measure how far roundings move each output, as a relative error, up to what is asked for.

    Args:
        original: The model that is run. Its weights and what its layers give are rounded in a copy,
            where Keras can copy it.
        converted: What it was compared with, which tells where its outputs are measured.
        inputs: What both were compared on, arranged for the original.
        eps: From one to the next number in what the original computes with.
        seed: What the roundings depend on.
        enough: For each output an error beyond which no more roundings are tried.
    """
    run, _ = runners(original, converted)
    length = batch_size(original) or batch_size(converted) or BATCH
    batches = list(islice(slices(inputs, length), BATCHES))
    expected = [run(batch) for batch in batches]
    copy, weights = _copy(original)
    rng, moved = np.random.default_rng(seed), [0.0] * len(enough)
    if copy is not original:
        _round_results(copy, rng)
    for _ in range(DRAWS):
        if weights:
            copy.set_weights(_rounded(weights, eps, rng))
        run, _ = runners(copy, converted)  # one that is compiled keeps its roundings
        tallies = [Tally() for _ in enough]
        for batch, values in zip(batches, expected, strict=True):
            for tally, *pair in zip(tallies, values, run(_rounded(batch, eps, rng)), strict=True):
                tally.add(*pair)
        moved = [max(tally.error, most) for tally, most in zip(tallies, moved, strict=True)]
        if all(most >= error for most, error in zip(moved, enough, strict=True)):
            break
    return moved


def _copy(model: Any) -> tuple[Any, list[np.ndarray]]:
    """Copy the model and list the copy's weights; the model and none if there is no copy."""
    if not is_graph(model):
        return model, []
    try:
        copy = copied(model)
        return copy, copy.get_weights()
    except Exception:  # a layer of the user's own raises what it likes
        return model, []


def _round_results(model: Any, rng: np.random.Generator) -> None:
    """Let the layers and operations of a model, and of models in it, give roundings of results."""
    for operation in operations_of(model):
        operation.call = _rounding(operation.call, rng)


def _rounding(call: Callable[..., Any], rng: np.random.Generator) -> Callable[..., Any]:
    import keras

    def moved(tensor: Any) -> Any:
        eps = EPS.get(keras.backend.standardize_dtype(tensor.dtype))
        if eps is None or None in tensor.shape:
            return tensor
        factors = 1 + eps * rng.choice([-1.0, 1.0], tensor.shape)
        return tensor * keras.ops.convert_to_tensor(factors, tensor.dtype)

    @wraps(call)
    def rounded(*args: Any, **kwargs: Any) -> Any:
        return keras.tree.map_structure(moved, call(*args, **kwargs))

    return rounded


def _rounded(values: Any, eps: float, rng: np.random.Generator) -> Any:
    """Move each floating-point number by one rounding up or down; leave others as they are."""
    if isinstance(values, Mapping):
        return {name: _rounded(array, eps, rng) for name, array in values.items()}
    if isinstance(values, list | tuple):
        return [_rounded(array, eps, rng) for array in values]
    array = np.asarray(values)
    if array.dtype.kind != "f":
        return array
    signs = rng.choice([-1.0, 1.0], array.shape)
    return (array.astype("float64") * (1 + eps * signs)).astype(array.dtype)
