"""Trains networks from scratch, one run for each seed, and compares them: the command line.

Each run has a folder of its own below `--out`, with its model, its numbers and its pictures. A run
that was killed goes on where it stopped, and one that is finished is not done again.

Exit status: 0 where all claims hold, 1 where one does not, 2 where something stands in the way.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import keras
from architectures import NETWORKS, Shape
from batches import scaled
from comparison import compare
from conversion import converts_exactly
from data_sets import Images, read
from distributed import Scope, scope_of_devices
from evaluation import evaluate
from options import above_zero, add_data, add_training, parser_of, training_of
from training import Settings, train

import allconv


def main(data: str, **defaults: Any) -> int:
    """Train and compare what the command line names; return the exit status."""
    options = parse_arguments(data, defaults)
    scope = scope_of_devices() if options.distribute else nullcontext
    images = read(data, options.data)
    runs: dict[str, dict[int, Any]] = {name: {} for name in options.network}
    for seed, name in product(options.seeds, options.network):
        settings = settings_of(data, name, seed, options)
        runs[name][seed] = run(name, settings, images, scope, options)
    compare(runs, images, options.out)
    if "cnn" not in options.network or options.pooling:
        return 0
    original = keras.saving.load_model(options.out / f"cnn-{options.seeds[0]}" / "model.keras")
    return 0 if converts_exactly(original, scaled(images.test_images), images.test_labels) else 1


def parse_arguments(data: str, defaults: dict[str, Any]) -> argparse.Namespace:
    """Read the command line's options; `defaults` are those of the data set."""
    parser = parser_of(f"Trains networks on {data} from scratch and compares them.")
    add = parser.add_argument
    add("--network", nargs="+", choices=NETWORKS, default=["cnn"], help="one or several")
    add("--pooling", choices=("exact", "conv", "stride"), help="train the CNN converted like this")
    add(
        "--learning-rate", type=above_zero, metavar="RATE", help="in the place of the network's own"
    )
    add("--distribute", action="store_true", help="share each batch among GPUs, or two CPU devices")
    add_data(parser, f"{data}.npz")
    add_training(parser, Path("out", data), **defaults)
    options = parser.parse_args()
    if options.pooling and options.network != ["cnn"]:
        parser.error("--pooling converts max pools, and of these networks only cnn has any")
    if options.whole_epochs and options.distribute:
        parser.error("--whole-epochs keeps all images on one device, --distribute wants several")
    return options


def run(
    network: str, settings: Settings, images: Images, scope: Scope, options: argparse.Namespace
) -> dict[str, Any]:
    """Return the numbers of one run, and the folder that it lies in."""
    folder = options.out / f"{settings.network}-{settings.seed}"
    print(f"\n{folder}", flush=True)
    shape, classes = images.train_images.shape[1:], len(images.classes)
    build = partial(built, network, options.pooling, shape, classes)
    model = train(settings, build, images, folder, scope)
    return {"folder": folder, **evaluate(model, settings, images, folder)}


def settings_of(data: str, network: str, seed: int, options: argparse.Namespace) -> Settings:
    """Read what decides a run from the command line."""
    return Settings(
        data=data,
        network=f"{network}-{options.pooling}" if options.pooling else network,
        seed=seed,
        learning_rate=options.learning_rate,
        distribute=options.distribute,
        **training_of(options),
    )


def built(network: str, pooling: str | None, shape: Shape, classes: int) -> keras.Model:
    """Build an untrained network, converted where `pooling` says how."""
    model = NETWORKS[network](shape, classes)
    return allconv.convert(model, pooling=pooling) if pooling else model
