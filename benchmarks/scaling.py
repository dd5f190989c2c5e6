"""How the time to convert grows with the number of layers: it must grow linearly.

Networks of a few channels, from ten layers to more than a thousand, and the longest ones of
keras.applications. Planning (reading and rewriting, which touches no weight) and the whole
conversion take turns with `keras.models.clone_model` in one loop.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from measure import RESULTS, machine, paired_times, quartiles, table, write_json

import allconv
from allconv.plan import plan_conversion

SIZES = (10, 30, 100, 300, 1000)
"""Layers of the drawn networks, about."""
FITTED_FROM = 100
"""Layers from which the exponent is fitted; below, constant costs show."""
EXPONENT_TARGET = 1.1
"""Of the time in the number of layers: 1 is linear, 2 quadratic."""

Block = Callable[[Any], Any]


def plain(tensor: Any) -> Any:
    """Add a convolution and its ReLU."""
    return layers.ReLU()(layers.Conv2D(4, 3, padding="same")(tensor))


def residual(tensor: Any) -> Any:
    """Add a block of ResNet: a convolution, normalized, and its input added."""
    branch = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(tensor))
    return layers.ReLU()(layers.Add()([tensor, branch]))


def squeeze_and_excitation(tensor: Any) -> Any:
    """Add a global pool whose channels become factors. Hu et al. 2018, arXiv 1709.01507."""
    vector = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, padding="same")(tensor))
    vector = layers.Dense(2, activation="relu")(vector)
    vector = layers.Dense(4, activation="sigmoid")(vector)
    return layers.Multiply()([tensor, layers.Reshape((1, 1, 4))(vector)])


def pooled(tensor: Any) -> Any:
    """Convolutions and a max pool that keeps the map's size, which becomes a dozen layers."""
    for _ in range(3):
        tensor = plain(tensor)
    return layers.MaxPooling2D(3, 1, "same")(tensor)


BLOCKS: Mapping[str, tuple[int, Block]] = {
    "plain chain": (2, plain),
    "residual chain": (4, residual),
    "squeeze and excitation": (6, squeeze_and_excitation),
    "chain of max pools": (7, pooled),
}
"""Blocks that a network repeats, and the layers of each."""
LONGEST = ("DenseNet201", "InceptionResNetV2", "EfficientNetB7", "EfficientNetV2L", "NASNetLarge")
ACTIONS = {
    "clone": keras.models.clone_model,
    "plan": plan_conversion,
    "convert": allconv.convert,
}


def main() -> None:
    """Measure, print tables, write the numbers."""
    options = parse_arguments()
    # Keras walks a model by recursion, a few calls for every layer of its longest path.
    sys.setrecursionlimit(10 * max(*options.sizes, 1000))
    drawn = {
        name: [measure(repeat(name, size), options.rounds) for size in said(options.sizes, name)]
        for name in BLOCKS
    }
    longest = {
        name: measure(getattr(keras.applications, name)(weights=None), options.rounds)
        for name in said(options.applications)
    }
    result = {
        "machine": machine(),
        "rounds": options.rounds,
        "fitted_from": FITTED_FROM,
        "exponent_target": EXPONENT_TARGET,
        "networks": {
            name: {"exponents": exponents(rows), "rows": rows} for name, rows in drawn.items()
        },
        "applications": longest,
    }
    print(describe(result))
    write_json(options.json, result)


def parse_arguments() -> argparse.Namespace:
    """Read the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="in layers")
    parser.add_argument("--applications", nargs="*", default=list(LONGEST), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--json", type=Path, default=RESULTS / "scaling.json", metavar="OUT")
    return parser.parse_args()


def said(things: Iterable[Any], what: str = "") -> Iterator[Any]:
    """Yield each of them, said on the terminal when its turn comes."""
    for thing in things:
        print("measuring", what, thing, flush=True)
        yield thing


def repeat(name: str, size: int) -> keras.Model:
    """Build a network of about `size` layers on images `(batch, 16, 16, 4)`."""
    block_layers, block = BLOCKS[name]
    tensor = inputs = keras.Input((16, 16, 4))
    for _ in range(round(size / block_layers)):
        tensor = block(tensor)
    return keras.Model(inputs, tensor)


def measure(model: keras.Model, rounds: int) -> dict[str, Any]:
    """Measure the seconds of every action on a model, and count its layers before and after."""
    after = len(plan_conversion(model).after.specs())
    actions = {name: partial(action, model) for name, action in ACTIONS.items()}
    seconds = paired_times(actions, rounds, between=gc.collect)
    keras.backend.clear_session()
    return {
        "layers": len(model.layers),
        "layers_after": after,
        "seconds": {name: quartiles(values) for name, values in seconds.items()},
    }


def exponents(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """For each action the k of `seconds ~ layers ** k`, fitted by least squares of logarithms."""
    rows = [row for row in rows if row["layers"] >= FITTED_FROM]
    if len(rows) < 2:
        return dict.fromkeys(ACTIONS)
    counts = np.log([row["layers"] for row in rows])
    return {
        name: float(np.polyfit(counts, np.log([median(row, name) for row in rows]), 1)[0])
        for name in ACTIONS
    }


def median(row: Mapping[str, Any], action: str) -> float:
    """Return the seconds of an action."""
    return float(row["seconds"][action]["median"])


def describe(result: Mapping[str, Any]) -> str:
    """Write the result as a table, with the exponents below."""
    columns = ("network", "layers", "after", "plan s", "convert s", "convert ms/layer", "clone s")
    rows = list(lines(result))
    grown = [
        f"{name}: plan {power(found['plan'])}, convert {power(found['convert'])}, "
        f"clone {power(found['clone'])}"
        for name, network in result["networks"].items()
        for found in [network["exponents"]]
    ]
    return "\n".join(
        (
            table(columns, rows),
            "",
            f"exponents from {FITTED_FROM} layers on; target: {EXPONENT_TARGET} or less",
            *grown,
        )
    )


def lines(result: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the rows of the table."""
    named = [(n, row) for n, network in result["networks"].items() for row in network["rows"]]
    for name, row in [*named, *result["applications"].items()]:
        yield [
            name,
            f"{row['layers']:,}",
            f"{row['layers_after']:,}",
            f"{median(row, 'plan'):.2f}",
            f"{median(row, 'convert'):.2f}",
            f"{1e3 * median(row, 'convert') / row['layers']:.2f}",
            f"{median(row, 'clone'):.2f}",
        ]


def power(exponent: float | None) -> str:
    """Write an exponent, or that there were too few networks to fit one."""
    return "not fitted" if exponent is None else f"{exponent:.2f}"


if __name__ == "__main__":
    main()
