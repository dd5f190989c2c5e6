"""One choice of the CNN varied at a time: a table each, with mean and spread over the seeds.

    python examples/sweep.py --vary kernel_size depth --seeds 0 1 2
    python examples/sweep.py --data-set cifar10 --data FOLDER --epochs 10

What a sweep does not vary is as in examples/mnist.py. The table and the JSON are written after
each sweep; a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from architectures import cnn
from comparison import describe_networks, in_all
from data_sets import IMAGE_SHAPES, Images, read
from evaluation import evaluate
from options import add_data, add_training, parser_of, training_of
from records import write_json
from refusal import status_of
from results import versions
from training import Settings, train

FILTERS = (16, 32, 64)
SWEEPS: dict[str, dict[str, dict[str, Any]]] = {
    "epochs": {str(epochs): {"epochs": epochs} for epochs in (1, 2, 4, 8)},
    "filters": {
        "8, 16, 32": {"filters": (8, 16, 32)},
        "16, 32, 64": {},
        "32, 64, 128": {"filters": (32, 64, 128)},
    },
    "padding": {"same": {}, "valid": {"padding": "valid"}},
    "kernel_size": {"1": {"kernel_size": 1}, "3": {}, "5": {"kernel_size": 5}},
    "activation": {"relu": {}} | {name: {"activation": name} for name in ("tanh", "elu", "silu")},
    "depth": {"1": {"filters": FILTERS[:1]}, "2": {"filters": FILTERS[:2]}, "3": {}},
}
"""What is varied: for each value, as it is written in the table, what it changes."""


def main() -> int:
    """Train, print one table for each sweep, write `sweep.json`."""
    options = parse_arguments()
    images = read(options.data_set, options.data)
    found: dict[str, Any] = {"versions": versions()}
    for name in options.vary:
        found[name] = {
            value: in_all([run(change, seed, images, options) for seed in options.seeds])
            for value, change in SWEEPS[name].items()
        }
        write_json(options.out / "sweep.json", found)
        print(f"\n{describe_networks(name, found[name])}\n", flush=True)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line's options."""
    parser = parser_of("Varies one choice of the CNN at a time.")
    parser.add_argument("--vary", nargs="+", choices=SWEEPS, default=list(SWEEPS), help="sweeps")
    parser.add_argument("--data-set", choices=IMAGE_SHAPES, default="mnist", help="what is learnt")
    add_data(parser, "mnist.npz or cifar10.npz")
    add_training(parser, Path("out", "sweep"), epochs=2, batch_size=128)
    return parser.parse_args()


def run(
    change: dict[str, Any], seed: int, images: Images, options: argparse.Namespace
) -> dict[str, Any]:
    """Return the numbers of one run; sweeps whose values come to the same network share it."""
    architecture = {name: value for name, value in change.items() if name != "epochs"}
    label = " ".join(["cnn", *(f"{name} {value}" for name, value in architecture.items())])
    settings = Settings(
        data=options.data_set,
        network=label,
        seed=seed,
        **training_of(options) | {"epochs": change.get("epochs", options.epochs)},
    )
    folder = options.out / f"{options.data_set} {label}, {settings.epochs} epochs, seed {seed}"
    print(f"\n{folder}", flush=True)
    build = partial(cnn, IMAGE_SHAPES[options.data_set], **architecture)
    return evaluate(train(settings, build, images, folder), settings, images, folder)


if __name__ == "__main__":
    sys.exit(status_of(main))
