"""Coloured shapes that the script draws itself: which colour, which shape, or both of them.

    python examples/shapes.py                              the FCN, all three tasks
    python examples/shapes.py --network cnn --task both

An image of 32x32 pixels holds one of 5 shapes in one of 6 colours, at any place, size and rotation.
The network that tells all 30 kinds apart is then converted to take images of any size, and its
class map names nine things in one larger image, which it was never trained for. No network needed.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from architectures import NETWORKS
from class_map import show_class_map
from comparison import describe_networks, in_all
from data_sets import Images
from drawing import COLOURS, SHAPES, Thing, as_bytes, background, draw, drawn_at_random
from evaluation import evaluate
from options import add_training, at_least_one, parser_of, training_of
from records import write_json
from refusal import status_of
from results import versions
from training import Settings, train

SIDE = 32
KINDS = [f"{colour} {shape}" for colour, shape in product(COLOURS, SHAPES)]
TASKS = {"colour": tuple(COLOURS), "shape": tuple(SHAPES), "both": tuple(KINDS)}


def main() -> int:
    """Train a network for each task, print a table, show the class map."""
    options = parse_arguments()
    found = {}
    for task in options.task:
        images = drawn_images(task, options.images)
        found[task] = in_all([run(task, seed, images, options) for seed in options.seeds])
    write_json(options.out / "summary.json", {"tasks": found, "versions": versions()})
    print(f"\n{describe_networks('task', found)}\n", flush=True)
    if "both" in options.task:
        folder = folder_of("both", options.seeds[0], options)
        print(show_class_map(folder / "model.keras", KINDS, options.out / "class_map.png"))
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line's options."""
    parser = parser_of("Trains a network on coloured shapes that the script draws.")
    add = parser.add_argument
    add("--task", nargs="+", choices=TASKS, default=list(TASKS), help="what is to be told apart")
    add("--network", choices=NETWORKS, default="fcn", help="what learns it")
    add(
        "--images",
        type=at_least_one,
        default=12000,
        help="for training; as many quarters for tests",
    )
    add_training(parser, Path("out", "shapes"), epochs=10, batch_size=32)
    return parser.parse_args()


def drawn_images(task: str, count: int) -> Images:
    """`count` images to train on and a quarter of that to test on, labelled for a task."""
    training, testing = drawn(count, seed=0), drawn(-(-count // 4), seed=1)
    return Images(
        training[0], labels(task, training[1]), testing[0], labels(task, testing[1]), TASKS[task]
    )


def drawn(count: int, seed: int) -> tuple[np.ndarray, list[Thing]]:
    """Return the images `(count, 32, 32, 3)` of bytes, and the thing on each."""
    random = np.random.default_rng(seed)
    images, things = np.zeros((count, SIDE, SIDE, 3), "uint8"), []
    for image in images:
        canvas = background(SIDE, SIDE, random)
        things.append(drawn_at_random(SIDE, SIDE, random))
        draw(canvas, things[-1])
        image[...] = as_bytes(canvas)
    return images, things


def labels(task: str, things: list[Thing]) -> np.ndarray:
    """Return the class of each thing in a task, `(count,)`."""
    names = {
        "colour": [thing.colour for thing in things],
        "shape": [thing.shape for thing in things],
        "both": [f"{thing.colour} {thing.shape}" for thing in things],
    }
    return np.array([TASKS[task].index(name) for name in names[task]])


def folder_of(task: str, seed: int, options: argparse.Namespace) -> Path:
    """Say where a run's files lie."""
    return options.out / f"{task}-{options.network}-{seed}"


def run(task: str, seed: int, images: Images, options: argparse.Namespace) -> dict[str, object]:
    """Return the numbers of one run."""
    settings = Settings(
        data=f"{options.images} shapes, {task}",
        network=options.network,
        seed=seed,
        **training_of(options),
    )
    folder = folder_of(task, seed, options)
    print(f"\n{folder}", flush=True)
    build = partial(NETWORKS[options.network], (SIDE, SIDE, 3), len(images.classes))
    return evaluate(train(settings, build, images, folder), settings, images, folder)


if __name__ == "__main__":
    sys.exit(status_of(main))
