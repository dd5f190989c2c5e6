"""What `calibrate` tells of what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from allconv.fitting.agreement import Agreement
from allconv.reporting.text_table import Column, table
from allconv.result import Result


@dataclass(frozen=True)
class FittedLayer:
    """One layer that was fitted.

    Attributes:
        layer: Its name.
        kind: Its class.
        stands_for: The max pool in whose place it is, "" for a layer that was there before.
        r2: The share of the variance of its target that it explains on the images, 1 for all of it;
            behind the relu, where one follows.
        seconds: What fitting it took.
    """

    layer: str
    kind: str
    stands_for: str
    r2: float
    seconds: float


@dataclass(frozen=True)
class Calibration(Result):
    """What `calibrate` did.

    Attributes:
        layers: The layers that were fitted, in order.
        not_fitted: Max pools whose new layers could not be fitted, with the reasons.
        before: How far the outputs were from the original's, on the images.
        after: How far they are with the fitted weights.
        improved: Whether the outputs came nearer; only then does the model have the fitted weights.
        images: How many images there were.
        seconds: What all of it took.
    """

    layers: tuple[FittedLayer, ...]
    not_fitted: Mapping[str, str]
    before: Agreement
    after: Agreement
    improved: bool
    images: int
    seconds: float

    def __str__(self) -> str:
        columns = [Column(title) for title in ("layer", "class", "in place of")]
        columns += [Column(title, right=True) for title in ("R2", "seconds")]
        rows = [
            (each.layer, each.kind, each.stands_for, f"{each.r2:.4f}", f"{each.seconds:.1f}")
            for each in self.layers
        ]
        lines = [table(columns, rows), ""]
        lines += [f"{name}: not fitted, {reason}" for name, reason in self.not_fitted.items()]
        lines += [
            f"{self.images:,} images, {self.seconds:.1f} s",
            f"outputs before: {self.before}",
            f"outputs after:  {self.after}",
        ]
        if not self.improved:
            lines.append("The outputs were no farther before, so the model was left as it was.")
        return "\n".join(lines)
