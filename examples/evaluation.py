"""A trained run looked at: its numbers as JSON, its predictions, its pictures; made once."""

from __future__ import annotations

from dataclasses import asdict
from operator import methodcaller
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np
from batches import scaled
from data_sets import Images
from pictures import draw_confusion, draw_gallery, draw_history
from records import read_json, write_json
from results import confusion, versions
from timing import milliseconds_per_image
from training import HISTORY, Settings

BATCH_SIZES = (1, 100)
ROUNDS = 20


def evaluate(
    model: keras.Model, settings: Settings, images: Images, folder: Path
) -> dict[str, Any]:
    """Work out the run's numbers, or read them from its folder.

    Writes `metrics.json` last, so that where it is, `predictions.npy` and the pictures are, too.
    """
    path = folder / "metrics.json"
    if path.exists():
        return read_json(path)
    pixels = scaled(images.test_images)
    probabilities = model.predict(pixels, batch_size=500, verbose=0)
    np.save(folder / "predictions.npy", probabilities.argmax(-1).astype("uint8"))
    draw_pictures(folder, images, probabilities)
    metrics = {
        "settings": asdict(settings),
        "parameters": model.count_params(),
        **figures(probabilities, images.test_labels),
        "seconds_per_epoch": median(epoch["seconds"] for epoch in read_json(folder / HISTORY)),
        "milliseconds_per_image": time_of(model, pixels),
        "versions": versions(),
    }
    write_json(path, metrics)
    return metrics


def draw_pictures(folder: Path, images: Images, probabilities: np.ndarray) -> None:
    """Draw what there is to see of a run."""
    predicted, classes = probabilities.argmax(-1), images.classes
    counts = confusion(images.test_labels, predicted, len(classes))
    draw_history(folder / "history.png", read_json(folder / HISTORY))
    draw_confusion(folder / "confusion.png", counts, classes)
    shown = (images.test_images, images.test_labels, probabilities, classes)
    draw_gallery(folder / "gallery.png", *shown)


def figures(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Accuracy, loss and confusion matrix of probabilities `(images, classes)`."""
    predicted = probabilities.argmax(-1)
    return {
        "test_accuracy": float((predicted == labels).mean()),
        "test_loss": cross_entropy(probabilities, labels),
        "confusion": confusion(labels, predicted, probabilities.shape[1]).tolist(),
    }


def time_of(model: keras.Model, pixels: np.ndarray) -> dict[str, float]:
    """Return the median milliseconds for an image, by batch size."""
    times = {}
    for size in BATCH_SIZES:
        predict = methodcaller("predict_on_batch", pixels[:size])
        times[str(size)] = median(milliseconds_per_image({"": model}, predict, size, ROUNDS)[""])
    return times


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Compute the mean of minus the logarithm of each right class' probability, in nats."""
    right = probabilities[np.arange(len(labels)), labels].astype("float64")
    return float(-np.log(np.maximum(right, 1e-12)).mean())


def right_answers(folder: Path, labels: np.ndarray) -> np.ndarray:
    """Tell whether the run in `folder` classified each test image right, `(images,)`."""
    return np.load(folder / "predictions.npy") == labels
