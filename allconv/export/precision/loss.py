"""What fewer bits cost: how far a file's numbers are from those of the same network in float32."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from allconv.verification.measure import DECISIONS, ways

FEW = 8
"""Samples below which a loss says little."""

STILL = 1e-3
"""A part of its spread; an output that samples move by less does not depend on them."""


@dataclass(frozen=True)
class Results:
    """What a file gives of one batch.

    Attributes:
        outputs: Its outputs, the channels of maps last.
        telling: For each of them what errors are measured on: itself, or what is before its final
            softmax, sigmoid or tanh, where that would hide them.
        sigmoids: Numbers of the outputs that end in a sigmoid, which say yes above 0.5.
        before_activation: Whether one of the latter is before its final activation.
    """

    outputs: list[np.ndarray]
    telling: list[np.ndarray]
    sigmoids: frozenset[int] = frozenset()
    before_activation: bool = False


@dataclass(frozen=True)
class Loss:
    """A comparison of a file's outputs with those of the same network in float32.

    Attributes:
        precision: What the file computes in, `"float16"` or `"int8"`.
        error: The largest difference of all outputs, relative to the spread of an output's values;
            before a final softmax, sigmoid or tanh, as `verify` measures it.
        mean_error: The mean difference of the worst output, likewise.
        equal: For how many samples, cells of a map and outputs the decision is the same: the
            likeliest class, or, of each value of a sigmoid, whether it is above 0.5.
        decisions: Of how many.
        samples: How many samples were run.
        inputs: What these are, in words.
        decided_by: `"argmax"`, `"0.5"`, or both with a comma; "" where nothing is decided.
        before_activation: Whether an output's error is measured before its final activation.
        reason: Why this says little, or nothing, of other images.
    """

    precision: str
    error: float
    mean_error: float
    equal: int
    decisions: int
    samples: int
    inputs: str
    decided_by: str = ""
    before_activation: bool = False
    reason: str = ""

    @property
    def argmax_agreement(self) -> float | None:
        """The share of equal decisions; None where no output has classes or is a sigmoid."""
        return self.equal / self.decisions if self.decisions else None

    def __str__(self) -> str:
        before = " before the final activation" if self.before_activation else ""
        parts = [
            f"{self.precision} against float32: largest relative error {self.error:.1e}, mean "
            f"{self.mean_error:.1e} (of the spread of the outputs{before})"
        ]
        if self.decisions:
            what = DECISIONS[self.decided_by]
            parts.append(f"{what} equal on {self.equal:,} of {self.decisions:,}")
        parts.append(f"on {_counted(self.samples, self.inputs)}")
        return "; ".join([*parts, *filter(None, [self.reason])])


def _counted(count: int, words: str) -> str:
    """Put a number before words that begin with a plural."""
    first, _, rest = words.partition(" ")
    return f"{count:,} {first.removesuffix('s') if count == 1 else first} {rest}".rstrip()


def loss(
    expected: Iterable[Results], found: Iterable[Results], precision: str, inputs: str
) -> Loss:
    """Compare outputs, batch by batch.

    Args:
        expected: What the float32 file gives.
        found: What the other one gives.
        precision: What that one computes in.
        inputs: What the samples are, in words.
    """
    tallies: list[_Tally] = []
    samples, is_before = 0, False
    for references, results in zip(expected, found, strict=True):
        tallies = tallies or [_Tally() for _ in references.outputs]
        samples += len(references.outputs[0])
        is_before |= references.before_activation
        for number, tally in enumerate(tallies):
            tally.add(references.telling[number], results.telling[number])
            decide = tally.threshold if number in references.sigmoids else tally.decide
            decide(references.outputs[number], results.outputs[number])
    return Loss(
        precision,
        error=max(tally.relative(tally.difference) for tally in tallies),
        mean_error=max(tally.relative(tally.sum / tally.count) for tally in tallies),
        equal=sum(tally.equal for tally in tallies),
        decisions=sum(tally.decisions for tally in tallies),
        samples=samples,
        inputs=inputs,
        decided_by=ways(tally.decided_by for tally in tallies),
        before_activation=is_before,
        reason=_reason(tallies, samples, precision),
    )


def _reason(tallies: Iterable[_Tally], samples: int, precision: str) -> str:
    """Say why a loss says little or nothing; "" for no reason."""
    if samples < FEW:
        more = f": give {4 * FEW} or more" if precision == "int8" else ""
        return f"fewer than {FEW} say little{more}"
    if any(tally.moved <= tally.relative_to * STILL for tally in tallies):
        return "an output is the same for all of them, which says nothing"
    return ""


class _Tally:
    """The extremes and sums of one output; maps may be of several sizes."""

    def __init__(self) -> None:
        self.low = self.high = self.difference = self.sum = 0.0  # zero belongs to the spread
        self.count = self.equal = self.decisions = 0
        self.decided_by = ""
        self.first: np.ndarray | None = None
        self.moved = 0.0

    def add(self, reference: np.ndarray, result: np.ndarray) -> None:
        """Take in one batch."""
        reference, result = reference.astype("float64"), result.astype("float64")
        differences = np.abs(reference - result)
        self.low = min(self.low, float(reference.min()))
        self.high = max(self.high, float(reference.max()))
        self.difference = max(self.difference, _or_infinite(differences.max()))
        self.sum += _or_infinite(differences.sum())
        self.count += differences.size
        self._move(reference)

    def _move(self, reference: np.ndarray) -> None:
        """Take in how far samples are from the first one, if they are of its size."""
        self.first = reference[0] if self.first is None else self.first
        if reference.shape[1:] == self.first.shape:
            self.moved = max(self.moved, float(np.abs(reference - self.first).max()))

    def decide(self, reference: np.ndarray, result: np.ndarray) -> None:
        """Count where both have the same likeliest class."""
        if reference.ndim > 1 and reference.shape[-1] > 1:
            self._count(reference.argmax(axis=-1) == result.argmax(axis=-1), "argmax")

    def threshold(self, reference: np.ndarray, result: np.ndarray) -> None:
        """Count where both are on the same side of 0.5."""
        self._count((reference > 0.5) == (result > 0.5), "0.5")

    def _count(self, equal: np.ndarray, decided_by: str) -> None:
        self.equal += int(equal.sum())
        self.decisions += equal.size
        self.decided_by = decided_by

    @property
    def relative_to(self) -> float:
        """The span of the float32 values."""
        return self.high - self.low

    def relative(self, difference: float) -> float:
        """Return a difference relative to that span."""
        if not self.relative_to:
            return math.inf if difference else 0.0
        return difference / self.relative_to


def _or_infinite(difference: np.floating) -> float:
    """Return a difference; one that is not a number is as large as can be."""
    return math.inf if math.isnan(difference) else float(difference)
