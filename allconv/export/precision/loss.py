"""What fewer bits cost: how far a file's numbers are from those of the same network in float32."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Results:
    """What a file gives of one batch.

    Attributes:
        outputs: Its outputs, the channels of maps last.
        telling: For each of them what errors are measured on: itself, or what is before its final
            softmax, sigmoid or tanh, where that would hide them.
    """

    outputs: list[np.ndarray]
    telling: list[np.ndarray]


@dataclass(frozen=True)
class Loss:
    """A comparison of a file's outputs with those of the same network in float32.

    Attributes:
        precision: What the file computes in, `"float16"` or `"int8"`.
        error: The largest difference of all outputs, relative to the spread of an output's values;
            before a final softmax, sigmoid or tanh, as `verify` measures it.
        mean_error: The mean difference of the worst output, likewise.
        equal: For how many samples, cells of a map and outputs the same class is the likeliest.
        decisions: Of how many.
        samples: How many samples were run.
        inputs: What these are, in words.
    """

    precision: str
    error: float
    mean_error: float
    equal: int
    decisions: int
    samples: int
    inputs: str

    @property
    def argmax_agreement(self) -> float | None:
        """The share of equal argmaxes; None where no output has classes."""
        return self.equal / self.decisions if self.decisions else None

    def __str__(self) -> str:
        classes = ""
        if self.decisions:
            classes = f"; argmax equal on {self.equal:,} of {self.decisions:,}"
        return (
            f"{self.precision} against float32: largest relative error {self.error:.1e}, mean "
            f"{self.mean_error:.1e}{classes}; on {self.samples:,} {self.inputs}"
        )


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
    samples = 0
    for references, results in zip(expected, found, strict=True):
        tallies = tallies or [_Tally() for _ in references.outputs]
        samples += len(references.outputs[0])
        for number, tally in enumerate(tallies):
            tally.add(references.telling[number], results.telling[number])
            tally.decide(references.outputs[number], results.outputs[number])
    return Loss(
        precision,
        error=max(tally.relative(tally.difference) for tally in tallies),
        mean_error=max(tally.relative(tally.sum / tally.count) for tally in tallies),
        equal=sum(tally.equal for tally in tallies),
        decisions=sum(tally.decisions for tally in tallies),
        samples=samples,
        inputs=inputs,
    )


class _Tally:
    """The extremes and sums of one output; maps may be of several sizes."""

    def __init__(self) -> None:
        self.low = self.high = self.difference = self.sum = 0.0  # zero belongs to the spread
        self.count = self.equal = self.decisions = 0

    def add(self, reference: np.ndarray, result: np.ndarray) -> None:
        """Take in one batch."""
        reference, result = reference.astype("float64"), result.astype("float64")
        differences = np.abs(reference - result)
        self.low = min(self.low, float(reference.min()))
        self.high = max(self.high, float(reference.max()))
        self.difference = max(self.difference, _or_infinite(differences.max()))
        self.sum += _or_infinite(differences.sum())
        self.count += differences.size

    def decide(self, reference: np.ndarray, result: np.ndarray) -> None:
        """Count where both have the same likeliest class."""
        if reference.ndim > 1 and reference.shape[-1] > 1:
            equal = reference.argmax(axis=-1) == result.argmax(axis=-1)
            self.equal += int(equal.sum())
            self.decisions += equal.size

    def relative(self, difference: float) -> float:
        """Return a difference relative to the span of the float32 values."""
        if self.high == self.low:
            return math.inf if difference else 0.0
        return difference / (self.high - self.low)


def _or_infinite(difference: np.floating) -> float:
    """Return a difference; one that is not a number is as large as can be."""
    return math.inf if math.isnan(difference) else float(difference)
