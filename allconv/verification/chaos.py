"""Networks that make much of little: one rounding of the input moves their output.

Two ways to compute such a network are far apart although neither is wrong, and how far they are
says nothing. So where two models disagree, the original is run once more, on inputs that are one
rounding away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from allconv.verification.inputs import batch_size, slices
from allconv.verification.logits import runners
from allconv.verification.measure import BATCH, Tally

DRAWS = 3
"""Sets of roundings; the conversion has one in each of its layers."""


def moved_by_rounding(
    original: Any, converted: Any, inputs: Any, eps: float, seed: int
) -> list[float]:
    """The largest relative error of each output where its inputs are rounded another way.

    Args:
        original: The model that is run.
        converted: What it was compared with, which tells where its outputs are measured.
        inputs: What both were compared on, arranged for the original.
        eps: From one to the next number in what the original computes with.
        seed: What the roundings depend on.
    """
    run, _ = runners(original, converted)
    rng, tallies = np.random.default_rng(seed), list[Tally]()
    for batch in slices(inputs, batch_size(original) or batch_size(converted) or BATCH):
        expected = run(batch)
        tallies = tallies or [Tally() for _ in expected]
        for _ in range(DRAWS):
            found = run(_rounded(batch, eps, rng))
            for tally, *values in zip(tallies, expected, found, strict=True):
                tally.add(*values)
    return [tally.error for tally in tallies]


def _rounded(inputs: Any, eps: float, rng: np.random.Generator) -> Any:
    """Each number one rounding up or down; those that are no floating-point numbers as they are."""
    if isinstance(inputs, Mapping):
        return {name: _rounded(array, eps, rng) for name, array in inputs.items()}
    if isinstance(inputs, list | tuple):
        return [_rounded(array, eps, rng) for array in inputs]
    array = np.asarray(inputs)
    if array.dtype.kind != "f":
        return array
    signs = rng.choice([-1.0, 1.0], array.shape)
    return (array.astype("float64") * (1 + eps * signs)).astype(array.dtype)
