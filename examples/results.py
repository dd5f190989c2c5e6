"""What runs come to: mean and spread over seeds, McNemar's test between two networks, tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import mean, stdev
from typing import Any

import keras
import numpy as np

PACKAGES = ("allconv", "keras", "tensorflow", "jax", "torch", "numpy")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, sample standard deviation (0 for one value), smallest and largest."""
    deviation = stdev(values) if len(values) > 1 else 0.0
    return {"mean": mean(values), "sd": deviation, "least": min(values), "most": max(values)}


def mcnemar(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """McNemar's exact test of two classifiers on the same images.

    Under the hypothesis that neither is better, an image that only one of them classifies right is
    the first's or the second's by the toss of a coin; `p` is how likely so uneven a split then is,
    both ways (McNemar 1947, doi 10.1007/BF02295996, with the binomial distribution itself).

    Args:
        first: Whether the first is right, `(images,)`.
        second: Whether the second is.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    tosses, fewer = only_first + only_second, min(only_first, only_second)
    splits = 2 * sum(math.comb(tosses, heads) for heads in range(fewer + 1))
    return {
        "only_first_right": only_first,
        "only_second_right": only_second,
        "p": min(1.0, float(splits / 2**tosses)) if tosses < 1000 else tail(splits, tosses),
    }


def tail(splits: int, tosses: int) -> float:
    """Compute `splits / 2**tosses`, at most 1, with terms too large for a float."""
    return min(1.0, math.exp(math.log(splits) - tosses * math.log(2)))


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Say how many images of each class (rows) were taken for each class (columns)."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table with aligned columns; all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def percent(values: Mapping[str, float]) -> str:
    """Write a spread of shares in per cent: mean, standard deviation, range."""
    return "{mean:.2%} ± {sd:.2%} ({least:.2%} to {most:.2%})".format_map(values)


def versions() -> dict[str, Any]:
    """Return the backend, and the versions of what is installed."""
    found = {"backend": keras.backend.backend()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
