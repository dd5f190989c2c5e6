"""How far the outputs of two networks are apart, over any number of batches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from allconv.errors import CalibrationError
from allconv.verification.logits import runners

Inputs = list[np.ndarray]


@dataclass(frozen=True)
class Agreement:
    """How far outputs are apart, before a final softmax, sigmoid or tanh.

    Attributes:
        error: The root of the mean square of the differences, relative to that of the original's
            values around their means: 0 for the same outputs, 1 for outputs that say nothing.
        argmax_agreement: The share of equal argmaxes; None where no output has classes.
    """

    error: float
    argmax_agreement: float | None

    def __str__(self) -> str:
        equal = (
            ""
            if self.argmax_agreement is None
            else f", argmax equal on {self.argmax_agreement:.2%}"
        )
        return f"relative error {self.error:.3f}{equal}"


def agreement(original: Any, converted: Any, batches: Iterable[Inputs]) -> Agreement:
    """Run two networks on the same images.

    Raises:
        CalibrationError: Their outputs do not have the same shapes, or the original's are not
            finite.
    """
    first, second = runners(original, converted)
    scores: list[Score] = []
    equal = decisions = 0
    for batch in batches:
        pairs = list(zip(first(batch), second(batch), strict=True))
        scores = scores or [Score() for _ in pairs]
        for score, (wanted, found) in zip(scores, pairs, strict=True):
            found = as_shaped(found, wanted)
            _refuse_what_is_not_finite(wanted)
            score.add(found, wanted)
            if wanted.ndim > 1 and wanted.shape[-1] > 1:
                same = wanted.argmax(axis=-1) == found.argmax(axis=-1)
                equal, decisions = equal + int(same.sum()), decisions + same.size
    if not scores:
        raise CalibrationError("there are no images; give some")
    worst = max(score.error for score in scores)
    return Agreement(worst, equal / decisions if decisions else None)


def as_shaped(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Flatten a map of one cell to the vector that it stands for."""
    if found.shape != wanted.shape and (found.size != wanted.size or len(found) != len(wanted)):
        raise CalibrationError(
            f"the converted model gives {found.shape} where the original gives {wanted.shape}: it "
            "is not a conversion of this original"
        )
    return found.reshape(wanted.shape)


def _refuse_what_is_not_finite(wanted: np.ndarray) -> None:
    lost = wanted.size - int(np.isfinite(wanted).sum())
    if lost:
        raise CalibrationError(
            f"{lost:,} of {wanted.size:,} values that the original gives on a batch of images "
            "are NaN or infinite, so nothing can be fitted to them; look at its weights"
        )


class Score:
    """The squares of differences, and of values around the means of their channels."""

    def __init__(self) -> None:
        self.differences = 0.0
        self.count = 0
        self.sum: np.ndarray | float = 0.0
        self.squares: np.ndarray | float = 0.0

    def add(self, found: np.ndarray, wanted: np.ndarray) -> None:
        """Take in values and what they should be, channels last."""
        found, wanted = (values.astype("float64") for values in (found, wanted))
        rows = wanted.reshape(-1, wanted.shape[-1])
        self.differences += float(((found - wanted) ** 2).sum())
        self.count += len(rows)
        self.sum = self.sum + rows.sum(axis=0)
        self.squares = self.squares + (rows**2).sum(axis=0)

    @property
    def unexplained(self) -> float:
        """The share of the variance that is missed; 0 where nothing varies, and is not missed."""
        total = float(np.sum(self.squares - np.square(self.sum) / max(self.count, 1)))
        if total <= 0:
            return 0.0 if not self.differences else float("inf")
        return self.differences / total

    @property
    def r2(self) -> float:
        """The coefficient of determination, 1 for values that are right."""
        return 1.0 - self.unexplained

    @property
    def error(self) -> float:
        """The root of what is missed."""
        return float(np.sqrt(self.unexplained))
