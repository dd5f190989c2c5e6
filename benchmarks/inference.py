"""What an exact conversion costs at inference, in TensorFlow: latency against the original.

Original and converted network take turns in one loop, compiled by `tf.function`, at batch sizes
1 and 8; ratios are those of neighbouring runs. The MNIST CNN and VGG16 are each measured with only
the pools converted, only the head (Flatten and Dense), and both.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from measure import RESULTS, he_kernels, machine, paired_times, quartiles, table, write_json

import allconv

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "pools": {"head": "keep", "strict": False},
    "head": {"pooling": "keep", "strict": False},
    "both": {},
}
BATCH_SIZES = (1, 8)
TARGETS = {("pools", 1): 1.05, ("both", 1): 1.15}
"""Times the original's latency, by variant and batch size."""


def main() -> None:
    """Measure, print a table, write the numbers."""
    options = parse_arguments()
    rows: list[dict[str, Any]] = []
    for name, make in MODELS.items():
        if name in options.models:
            rows += measure(name, he_kernels(make()), options.seconds)
    print(describe(rows))
    write_json(options.json, {"machine": machine(), "rows": rows})


def parse_arguments() -> argparse.Namespace:
    """Read the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument(
        "--seconds", type=float, default=30, help="for each row, about; default: %(default)s"
    )
    parser.add_argument("--json", type=Path, default=RESULTS / "inference.json", metavar="OUT")
    return parser.parse_args()


def mnist_cnn() -> keras.Model:
    """Build the CNN of examples/mnist.py: 98,442 parameters, images `(batch, 28, 28, 1)`."""
    model = keras.Sequential([keras.Input((28, 28, 1))])
    for filters in (16, 32, 64):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(128, activation="relu"))
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    return model


MODELS: Mapping[str, Callable[[], keras.Model]] = {
    "MNIST CNN": mnist_cnn,
    "VGG16": partial(keras.applications.VGG16, weights=None),
}


def measure(name: str, original: keras.Model, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield one row of numbers for each variant of `original` and each batch size."""
    random = np.random.default_rng(0)
    for variant, options in VARIANTS.items():
        converted = allconv.convert(original, **options)
        verification = str(allconv.verify(original, converted))
        for batch_size in BATCH_SIZES:
            shape = (batch_size, *original.input_shape[1:])
            images = tf.constant(random.standard_normal(shape, dtype="float32"))
            yield {
                "model": name,
                "variant": variant,
                "batch_size": batch_size,
                **compare(compiled(original, images), compiled(converted, images), seconds),
                "target": TARGETS.get((variant, batch_size)),
                "verification": verification,
            }


def compiled(model: keras.Model, images: tf.Tensor) -> Callable[[], object]:
    """Make a call of `model` on `images` as a graph that TensorFlow has compiled, waited for."""
    graph = tf.function(partial(model, training=False))
    return lambda: graph(images).numpy()


def compare(
    original: Callable[[], object], converted: Callable[[], object], seconds: float
) -> dict[str, Any]:
    """Time both in turn for about `seconds`, and for at least ten rounds."""
    actions = {"original": original, "converted": converted}
    trial = paired_times(actions, rounds=2)
    rounds = max(10, min(500, round(seconds / sum(times.min() for times in trial.values()))))
    times = paired_times(actions, rounds)
    return {
        "rounds": rounds,
        "milliseconds": {name: quartiles(1e3 * values) for name, values in times.items()},
        "ratio": quartiles(times["converted"] / times["original"]),
    }


def describe(rows: list[dict[str, Any]]) -> str:
    """Write the rows as a table, with targets beside the ratios."""
    columns = ("model", "converted", "batch", "original ms", "ratio", "quartiles", "target")
    return table(
        columns,
        (
            (
                row["model"],
                row["variant"],
                str(row["batch_size"]),
                f"{row['milliseconds']['original']['median']:.1f}",
                f"{row['ratio']['median']:.2f}x",
                f"{row['ratio']['first_quartile']:.2f}-{row['ratio']['third_quartile']:.2f}",
                f"{row['target']:.2f}x" if row["target"] else "",
            )
            for row in rows
        ),
    )


if __name__ == "__main__":
    main()
