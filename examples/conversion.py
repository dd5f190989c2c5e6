"""The exact conversion of a trained network, and whether it still says the same of every image.

Rounding can decide a tie: where the two classes that an image wavers between are as near as
rounding, that is said, with by how much.
"""

from __future__ import annotations

import keras
import numpy as np

import allconv

NEAR_TIE = 1e-4
"""Logits that are nearer than this are a tie: float32 rounding moves them by about 1e-5."""


def converts_exactly(original: keras.Model, images: np.ndarray, labels: np.ndarray) -> bool:
    """Convert, print report, verification and comparison; return whether every claim holds."""
    print(allconv.report(original))
    exact = allconv.convert(original)
    verification = allconv.verify(original, exact, images)
    print(verification)
    same_classes = compare_classes(original, exact, images, labels)
    return bool(verification.passed) and same_classes


def compare_classes(
    original: keras.Model, exact: keras.Model, images: np.ndarray, labels: np.ndarray
) -> bool:
    """Print how many predicted classes are equal; return whether all are, but for near-ties."""
    before = original.predict(images, batch_size=500, verbose=0)
    after = exact.predict(images, batch_size=500, verbose=0)
    for name, predicted in (("original", before), ("exact", after)):
        correct = (predicted.argmax(-1) == labels).mean()
        print(f"test accuracy, {name}: {correct:.2%}")

    flipped = np.flatnonzero(before.argmax(-1) != after.argmax(-1))
    print(f"predicted classes: {len(before) - len(flipped):,} of {len(before):,} are equal")
    gaps = [logits_gap(before[image], after[image]) for image in flipped]
    for image, gap in zip(flipped, gaps, strict=True):
        verdict = "a tie that rounding decides" if gap < NEAR_TIE else "a difference"
        print(
            f"  image {image}: {before[image].argmax()} became {after[image].argmax()}; "
            f"their logits are {gap:.1e} apart in the original: {verdict}"
        )
    return all(gap < NEAR_TIE for gap in gaps)


def logits_gap(before: np.ndarray, after: np.ndarray) -> float:
    """Say how far apart the original's logits of the two predicted classes are, from probabilities.

    Softmax shifts all logits of an image alike, so their difference is that of the logarithms.
    """
    found, other = before[[before.argmax(), after.argmax()]].astype("float64")
    return float(np.log(found) - np.log(other))
