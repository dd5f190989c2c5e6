"""Runs two models on the same inputs, batch by batch, and keeps the extremes of their outputs.

Only extremes are kept, so that ten thousand large class maps take no more memory than one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from allconv.errors import OptionError, first_line, lack_of_memory
from allconv.verification.arranged import arranged
from allconv.verification.compiled import layers_of, needs_xla
from allconv.verification.inputs import arrange, batch_size, slices
from allconv.verification.logits import SIGMOIDS, Arrays, Ending, common_endings, is_graph, runner
from allconv.verification.sizes import refuse_sizes

BATCH = 32


DECISIONS = {
    "argmax": "argmax",
    "0.5": "decisions at 0.5",
    "0.5, argmax": "decisions (argmax, or 0.5 of a sigmoid)",
}
"""How the ways to decide are printed, as `ways` joins them."""


def ways(decided_by: Iterable[str]) -> str:
    """Join the ways in which outputs decide; "" for none."""
    return ", ".join(sorted(set(decided_by) - {""}))


class Stop(Exception):
    """Ends a measurement with a verdict that needs no numbers; the message is the reason."""

    def __init__(self, passed: bool | None, reason: str) -> None:
        super().__init__(reason)
        self.passed = passed


class Tally:
    """The extremes of one output over all inputs.

    Args:
        before_sigmoid: Whether its values are those before a sigmoid, each of which decides by its
            sign. Others decide by their argmax along the last axis.
    """

    def __init__(self, before_sigmoid: bool = False) -> None:
        self.before_sigmoid = before_sigmoid
        self.low: Any = np.inf
        self.high: Any = -np.inf
        self.difference = 0.0
        self.equal = 0
        self.decisions = 0

    def add(self, reference: np.ndarray, result: np.ndarray) -> None:
        """Take in one batch of the original's values and of the converted model's."""
        reference, result = reference.astype("float64"), result.astype("float64")
        self.low = np.minimum(self.low, reference.min(axis=0))
        self.high = np.maximum(self.high, reference.max(axis=0))
        self.difference = max(self.difference, float(np.abs(reference - result).max()))
        if self.before_sigmoid:
            self._count((reference > 0) == (result > 0))
        elif reference.ndim > 1 and reference.shape[-1] > 1:
            self._count(reference.argmax(axis=-1) == result.argmax(axis=-1))

    def _count(self, equal: np.ndarray) -> None:
        self.equal += int(equal.sum())
        self.decisions += equal.size

    @property
    def decided_by(self) -> str:
        """How decisions were made; "" where there are none."""
        return ("0.5" if self.before_sigmoid else "argmax") if self.decisions else ""

    @property
    def spread(self) -> float:
        """From the smallest value to the largest; zero is one, as rounding grows from it."""
        return max(float(self.high.max()), 0.0) - min(float(self.low.min()), 0.0)

    @property
    def error(self) -> float:
        """The largest difference, relative to the spread."""
        if not self.spread:
            return math.inf if self.difference else 0.0
        return self.difference / self.spread

    @property
    def input_spread(self) -> float:
        """The most that one value moves between inputs, relative to the spread."""
        return float((self.high - self.low).max() / self.spread) if self.spread else 0.0


def measure(original: Any, converted: Any, inputs: Any) -> list[Tally]:
    """Run both models on `inputs`, arranged for the original, and tally each output.

    Raises:
        Stop: A model cannot run on these inputs, an output is not finite, or shapes differ.
    """
    ends = common_endings(original, converted)
    run_original, run_converted = map(runner, (original, converted), ends)
    # XLA may refuse a network for reasons of its own, which says nothing of the conversion.
    refusal = None if needs_xla(layers_of(converted)) else False
    length = batch_size(original) or batch_size(converted) or BATCH
    tallies: list[Tally] = []
    batches = zip(
        slices(inputs, length), slices(_rearranged(inputs, converted), length), strict=True
    )
    for batch, converted_batch in batches:
        references = _run(run_original, batch, "original", None)
        results = _run(run_converted, converted_batch, "converted model", False, refusal)
        results = _arranged(results, references, original, converted)
        _check_shapes(references, results)
        tallies = tallies or _tallies(len(references), ends[0])
        for tally, reference, result in zip(tallies, references, results, strict=True):
            tally.add(reference, result)
    return tallies


def _tallies(count: int, ends: Sequence[Ending] | None) -> list[Tally]:
    """Make a tally for each output; those before a sigmoid decide by their signs."""
    if ends is None:
        return [Tally() for _ in range(count)]
    return [Tally(end.activation in SIGMOIDS) for end in ends]


def _rearranged(inputs: Any, converted: Any) -> Any:
    if not is_graph(converted):
        return inputs
    try:
        arrays = arrange(inputs, converted, "converted")
        refuse_sizes(converted, [array.shape for array in arrays], "inputs of the converted model")
        return arrays
    except OptionError as error:
        raise Stop(False, str(error)) from error


def _run(
    run: Callable[[Any], Arrays],
    batch: Any,
    role: str,
    verdict: bool | None,
    refusal: bool | None = None,
) -> Arrays:
    """Run one model; one that cannot give its outputs ends the measurement.

    The verdict is `verdict` where they are no numbers, and `refusal` where there are none.
    """
    try:
        outputs = run(batch)
    except Exception as error:  # each backend raises kinds of its own
        if lack_of_memory(error):
            raise
        what = f"{type(error).__name__}: {first_line(error)[:200]}"
        reason = f"the {role} fails on these inputs: {what}"
        raise Stop(refusal, reason) from error
    for output in outputs:
        lost = output.size - int(np.isfinite(output).sum())
        if lost or not output.size:
            found = f"not finite: {lost:,} of {output.size:,} values" if lost else "empty"
            raise Stop(verdict, f"the {role}'s output is {found}")
    return outputs


def _arranged(results: Arrays, references: Arrays, original: Any, converted: Any) -> Arrays:
    """Arrange maps as the vectors, or lists of cells, that the original gives."""
    if len(results) != len(references):
        return results
    ends = [
        model.outputs if is_graph(model) else [None] * len(results)
        for model in (original, converted)
    ]
    return [arranged(*each) for each in zip(results, references, *ends, strict=True)]


def _check_shapes(references: Arrays, results: Arrays) -> None:
    shapes = [[output.shape for output in outputs] for outputs in (references, results)]
    if shapes[0] != shapes[1]:
        first, second = (", ".join(map(str, listed)) for listed in shapes)
        raise Stop(False, f"the shapes differ: original {first}; converted {second}")
