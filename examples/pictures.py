"""PNG pictures of a run: learning curves, confusion matrix, gallery of predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

IN_GALLERY = 20


@contextmanager
def figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Open a figure of that many inches, drawn without a screen, written as PNG at the end."""
    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    yield drawn
    drawn.savefig(path, dpi=100)


def draw_history(path: Path, epochs: Sequence[Mapping[str, float]]) -> None:
    """Loss and accuracy by epoch, of the training batches and of the test images."""
    with figure(path, 9, 3.5) as drawn:
        for place, name in enumerate(("loss", "accuracy"), 1):
            axes = drawn.add_subplot(1, 2, place, xlabel="epoch", ylabel=name)
            for key, label in ((name, "training, with dropout"), (f"val_{name}", "test")):
                points = [(epoch["epoch"], epoch[key]) for epoch in epochs if key in epoch]
                axes.plot(*zip(*points, strict=True), marker=".", label=label) if points else None
            axes.grid(alpha=0.3)
            axes.legend()


def draw_confusion(path: Path, counts: np.ndarray, classes: Sequence[str]) -> None:
    """Say how many images of each class were taken for each class; colours are shares of a row."""
    side = max(5.0, 0.5 * len(classes))
    with figure(path, side + 1, side) as drawn:
        axes = drawn.add_subplot(xlabel="predicted", ylabel="class")
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        places = range(len(classes))
        axes.set_xticks(places, classes, rotation=90)
        axes.set_yticks(places, classes)
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(counts[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)


def draw_gallery(
    path: Path,
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
) -> None:
    """Draw the first images, and those that are wrong most confidently, with what was predicted."""
    predicted, confidence = probabilities.argmax(-1), probabilities.max(-1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong])][: IN_GALLERY // 2]
    chosen = [*range(min(IN_GALLERY - len(worst), len(images))), *worst]
    with figure(path, 10, 3.6) as drawn:
        for place, image in enumerate(chosen, 1):
            axes = drawn.add_subplot(2, IN_GALLERY // 2, place)
            axes.imshow(images[image].squeeze(), cmap="gray")
            axes.set_axis_off()
            right = predicted[image] == labels[image]
            told = f"{classes[predicted[image]]}\n{confidence[image]:.0%}"
            told += "" if right else f"\nis {classes[labels[image]]}"
            axes.set_title(told, fontsize=8, color="black" if right else "firebrick")
