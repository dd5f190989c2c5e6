"""What label-free fitting gives back of a trained network's accuracy, and what it costs.

Networks are trained with labels, their max pools are replaced by fresh convolutions of stride 2,
and what was lost is recovered without labels: by `allconv.calibrate` on 50 to 5,000 images and then
by `allconv.distill`, on the same 5,000, for one to three epochs on 25,000, or for two on all. Both
see training images; the last 5,000 of these are seen by nothing, and methods were chosen by the
accuracy on them (`--validation` shows that). What is shown is the accuracy on all 10,000 test
images, and each row is compared with the original on the same images by McNemar's exact test. Every
network is trained once for each seed, which is also that of the choice of images.

    python benchmarks/recovery.py --data FOLDER                    all networks, three seeds
    python benchmarks/recovery.py --data FOLDER --networks mnist_cnn --seeds 0

FOLDER holds mnist.npz and cifar10.npz, with the arrays x_train, y_train, x_test and y_test. Trained
networks and finished rows are kept in the folder --work; a run that was killed goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from measure import RESULTS, machine, table, write_json

import allconv

COUNTS = (50, 200, 1000, 5000)
"""Images to calibrate on."""
DISTILLED_ON = 25_000
"""Images to distil on, after a calibration on the last of `COUNTS`."""
EPOCHS = (1, 2, 3)
"""Of distillation on these, each a run of its own."""
EPOCHS_ON_FEW = 4
"""Of distillation on the images that were calibrated on."""
EPOCHS_ON_ALL = 2
"""Of distillation on all training images."""
BATCH = 64
"""Images in a step of training with labels."""
HELD_OUT = 5_000
"""Training images at the end that nothing is trained on: methods are chosen by their accuracy."""


class Images(NamedTuple):
    """Images `(count, height, width, channels)` from 0 to 1, and classes `(count,)`."""

    images: np.ndarray
    labels: np.ndarray


class Data(NamedTuple):
    """What is trained on, what methods are chosen by, and what is shown."""

    train: Images
    validation: Images
    test: Images


class Spent(NamedTuple):
    """Time by the clock, and that of all processors together, in seconds."""

    seconds: float
    processor: float

    def plus(self, other: Spent) -> Spent:
        """Both, one after the other."""
        return Spent(self.seconds + other.seconds, self.processor + other.processor)


class Network(NamedTuple):
    """A network to train.

    Attributes:
        make: Makes it.
        data: The name of its data set's file.
        epochs: Of training with labels.
    """

    make: Callable[[], keras.Model]
    data: str
    epochs: int


def main() -> int:
    """Train, convert, recover, print tables, write the numbers; return the exit status."""
    options = parse_arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name in options.networks:
        network = NETWORKS[name]
        try:
            data = read_data(options.data / network.data)
        except (OSError, KeyError) as error:
            print(f"error: no {network.data} in {options.data}: {error}", file=sys.stderr)
            return 2
        for seed in options.seeds:
            if options.train_only:
                trained(name, seed, data, options)
                continue
            kept = options.work / f"{name}-{seed}.json"
            if not kept.exists():
                measured = list(recover(name, seed, data, options))
                kept.write_text(json.dumps(measured, indent=2))
            rows += json.loads(kept.read_text())
            print(describe([row for row in rows if row["network"] == name]), flush=True)
    write_json(options.json, {"machine": machine(), "note": NOTE, "rows": rows})
    if options.write_docs:
        options.write_docs.write_text(as_markdown(rows))
    return 0


NOTE = (
    "CIFAR-10 where it is a copy in JPEG gives accuracies a little below those of the original "
    "pixels; which copy it was is for the one who ran it to say."
)


def parse_arguments() -> argparse.Namespace:
    """Read the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--work", type=Path, default=Path("recovery"), metavar="FOLDER")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="of training; default: each network's own")
    parser.add_argument("--train-only", action="store_true", help="train the originals, no more")
    parser.add_argument("--validation", action="store_true", help="accuracy on images held out")
    parser.add_argument("--counts", nargs="+", type=int, default=list(COUNTS))
    parser.add_argument("--distill-epochs", nargs="*", type=int, default=list(EPOCHS))
    parser.add_argument(
        "--distill-all",
        action=argparse.BooleanOptionalAction,
        default=True,
        help=f"distil on all training images as well, for {EPOCHS_ON_ALL} epochs",
    )
    parser.add_argument("--learning-rate", type=float, help="to distil; default: the library's own")
    parser.add_argument("--pooling", choices=["conv", "stride"], default="conv")
    parser.add_argument("--kernel-size", type=int, help="of the convolutions; default: the pool's")
    parser.add_argument("--json", type=Path, default=RESULTS / "recovery.json", metavar="OUT")
    parser.add_argument("--write-docs", type=Path, metavar="OUT", help="write the table, too")
    return parser.parse_args()


def read_data(file: Path) -> Data:
    """Read a data set from a .npz file."""
    with np.load(file) as arrays:
        train, test = (
            Images(scaled(arrays[f"x_{part}"]), arrays[f"y_{part}"].ravel())
            for part in ("train", "test")
        )
    kept = len(train.images) - min(HELD_OUT, len(train.images) // 2)
    shown, held = (
        Images(*(array[part] for array in train)) for part in (np.s_[:kept], np.s_[kept:])
    )
    return Data(shown, held, test)


def scaled(images: np.ndarray) -> np.ndarray:
    """Return the bytes as numbers from 0 to 1, with channels."""
    images = images.astype("float32") / 255
    return images[..., None] if images.ndim == 3 else images


def mnist_cnn() -> keras.Model:
    """Three convolutions with pools and two Dense layers: 98,442 parameters."""
    return with_pools((28, 28, 1), 128)


def cifar10_cnn() -> keras.Model:
    """Build the same for colour images of 32x32: 553,514 parameters."""
    return with_pools((32, 32, 3), 512)


def with_pools(shape: tuple[int, ...], units: int) -> keras.Model:
    """Three blocks of a convolution and a pool, then two Dense layers."""
    model = keras.Sequential([keras.Input(shape)])
    for number, filters in enumerate((16, 32, 64), 1):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D(2, name=f"pool{number}"))
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    return model


def deeper(norm: bool) -> keras.Model:
    """Three pairs of convolutions, each with a pool of 3x3 and stride 2, and a mean at the end.

    In the manner of Springenberg et al. 2014, arXiv 1412.6806, "ConvPool-CNN", but narrow. With
    `norm` a BatchNormalization stands before each relu.
    """
    model = keras.Sequential([keras.Input((32, 32, 3))])
    for block, filters in enumerate((12, 24, 48), 1):
        for _ in range(2):
            conv_relu(model, filters, 3, norm)
        model.add(layers.MaxPooling2D(3, 2, padding="same", name=f"pool{block}"))
    conv_relu(model, 48, 1, norm)
    model.add(layers.Conv2D(10, 1))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Softmax())
    return model


def conv_relu(model: keras.Sequential, filters: int, kernel: int, norm: bool) -> None:
    """Add a convolution and a relu, with a BatchNormalization between if wanted."""
    model.add(layers.Conv2D(filters, kernel, padding="same", use_bias=not norm))
    if norm:
        model.add(layers.BatchNormalization())
    model.add(layers.ReLU())


NETWORKS: Mapping[str, Network] = {
    "mnist_cnn": Network(mnist_cnn, "mnist.npz", 8),
    "cifar10_cnn": Network(cifar10_cnn, "cifar10.npz", 12),
    "cifar10_deeper": Network(partial(deeper, False), "cifar10.npz", 6),
    "cifar10_batchnorm": Network(partial(deeper, True), "cifar10.npz", 6),
}


def trained(name: str, seed: int, data: Data, options: argparse.Namespace) -> keras.Model:
    """Return the network, trained with labels or as an earlier run left it."""
    file = options.work / f"{name}-{seed}.keras"
    if file.exists():
        return keras.saving.load_model(file)
    keras.utils.set_random_seed(seed)
    model = NETWORKS[name].make()
    epochs = options.epochs or NETWORKS[name].epochs
    steps = epochs * -(-len(data.train.images) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    adam = keras.optimizers.Adam(schedule)
    model.compile(adam, "sparse_categorical_crossentropy")
    backup = keras.callbacks.BackupAndRestore(options.work / f"{name}-{seed}-backup")
    model.fit(
        data.train.images,
        data.train.labels,
        batch_size=BATCH,
        epochs=epochs,
        callbacks=[backup],
        verbose=2,
    )
    model.save(file)
    return model


def recover(
    name: str, seed: int, data: Data, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield one row for the original, the conversion, and each way of recovery."""
    original = trained(name, seed, data, options)
    order = np.random.default_rng(seed).permutation(len(data.train.images))
    shown = data.validation if options.validation else data.test
    right = are_right(original, shown)

    def row(stage: str, model: keras.Model, spent: Spent, **more: Any) -> dict[str, Any]:
        found = are_right(model, shown)
        lost, won = int((right & ~found).sum()), int((found & ~right).sum())
        return {
            "network": name,
            "seed": seed,
            "stage": stage,
            "accuracy": float(found.mean()),
            "lost": lost,
            "won": won,
            "p": mcnemar(lost, won),
            "seconds": spent.seconds,
            "processor_seconds": spent.processor,
            **more,
        }

    yield row("original", original, Spent(0.0, 0.0))
    pooling = options.pooling
    if pooling == "conv" and options.kernel_size:
        pooling = allconv.ConvPool(kernel_size=options.kernel_size)
    convert = partial(allconv.convert, original, pooling=pooling)
    yield row("converted", convert(), Spent(0.0, 0.0))
    for count in options.counts:
        converted = convert()
        images = data.train.images[order[:count]]
        fitted, spent = timed(allconv.calibrate, original, converted, images, verbose=0)
        r2 = {layer.name: layer.r2 for layer in fitted.layers}
        yield row(f"calibrated on {count:,}", converted, spent, r2=r2)
    weights = converted.get_weights()
    ways = [(options.counts[-1], EPOCHS_ON_FEW)]
    ways += [(DISTILLED_ON, epochs) for epochs in options.distill_epochs]
    ways += [(len(order), EPOCHS_ON_ALL)] if options.distill_all else []
    for count, epochs in ways:
        converted.set_weights(weights)
        keras.utils.set_random_seed(seed)
        images = data.train.images[order[:count]]
        rate = {"learning_rate": options.learning_rate} if options.learning_rate else {}
        distill = partial(allconv.distill, epochs=epochs, verbose=0, **rate)
        done, more_spent = timed(distill, original, converted, images)
        stage = f"then distilled on {count:,}, {epochs} epoch{'s' if epochs > 1 else ''}"
        more = {**rate, "losses": done.losses, "held_back": done.val_losses, "kept": done.improved}
        yield row(stage, converted, spent.plus(more_spent), **more)


def timed(function: Callable[..., Any], *args: Any, **keywords: Any) -> tuple[Any, Spent]:
    """Return what a function returns, and the time it took."""
    start = Spent(time.perf_counter(), time.process_time())
    result = function(*args, **keywords)
    end = Spent(time.perf_counter(), time.process_time())
    return result, Spent(end.seconds - start.seconds, end.processor - start.processor)


def are_right(model: keras.Model, images: Images) -> np.ndarray:
    """For each image, whether the model names its class."""
    return model.predict(images.images, batch_size=500, verbose=0).argmax(-1) == images.labels


def mcnemar(lost: int, won: int) -> float:
    """Compute McNemar's exact two-sided test of images that only one of two models has right.

    If both were equally good, each such image were a coin's toss (McNemar 1947, Psychometrika 12).
    """
    tosses, fewer = lost + won, min(lost, won)
    ways = tail = 1  # in whole numbers: 2 ** tosses is beyond a float
    for k in range(fewer):
        ways = ways * (tosses - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**tosses) if tosses else 1.0


def summary(rows: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """For each network and stage: mean and spread over the seeds."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["network"], row["stage"]), []).append(row)
    for (network, stage), group in groups.items():
        points = [100 * row["accuracy"] for row in group]
        originals = {r["seed"]: r for r in groups[network, "original"]}
        gaps = [
            p - 100 * originals[r["seed"]]["accuracy"] for p, r in zip(points, group, strict=True)
        ]
        yield (
            network,
            stage,
            f"{mean(points):.2f}",
            f"{stdev(points):.2f}" if len(points) > 1 else "--",
            f"{mean(gaps):+.2f}" if stage != "original" else "",
            ", ".join(f"{row['p']:.1g}" for row in group) if stage != "original" else "",
            *(
                f"{mean(row[key] for row in group):.0f}" if group[0][key] else ""
                for key in ("seconds", "processor_seconds")
            ),
        )


COLUMNS = (
    "network",
    "stage",
    "accuracy %",
    "spread",
    "against original",
    "McNemar p",
    "s",
    "CPU s",
)


def describe(rows: list[dict[str, Any]]) -> str:
    """Write the rows as a table."""
    return table(COLUMNS, summary(rows))


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """Write the rows as a table for the docs."""
    lines = [COLUMNS, ("---", "---", *["---:"] * (len(COLUMNS) - 2)), *summary(rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
