"""What the benchmarks measure with: weights, paired times, quartiles, tables and records."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("allconv", "keras", "numpy", "tensorflow", "jax")


def he_kernels(model: keras.Model, seed: int = 0) -> keras.Model:
    """Draw every kernel of `model` from He's normal distribution, in place.

    With Keras' own initial weights the signal fades on its way down a deep network, and arithmetic
    on numbers next to zero is not what a trained network costs. He et al. 2015, arXiv 1502.01852.
    """
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            *fan_in, _ = layer.kernel.shape
            values = random.standard_normal(layer.kernel.shape, dtype="float32")
            values *= np.float32(np.sqrt(2 / np.prod(fan_in)))
            layer.kernel.assign(values)
    return model


def paired_times(
    actions: Mapping[str, Callable[[], object]],
    rounds: int,
    between: Callable[[], object] = lambda: None,
) -> dict[str, np.ndarray]:
    """Return the seconds that each action takes, `(rounds,)` by name.

    Every round runs every action once, in turn forwards and backwards: what else the machine does
    meets all of them, and none profits from its place. A first round that is not counted warms up.
    `between` runs after each action and is not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for count in range(rounds + 1):
        for name in sorted(actions, reverse=bool(count % 2)):
            start = time.perf_counter()
            actions[name]()
            seconds[name].append(time.perf_counter() - start)
            between()
    return {name: np.array(times[1:]) for name, times in seconds.items()}


def quartiles(values: np.ndarray) -> dict[str, float]:
    """Return the first quartile, median and third quartile, by name."""
    names = ("first_quartile", "median", "third_quartile")
    return dict(zip(names, np.quantile(values, (0.25, 0.5, 0.75)).tolist(), strict=True))


def machine() -> dict[str, Any]:
    """Say what the numbers depend on: versions, and the cores that this process may use."""
    return {
        "python": platform.python_version(),
        **versions(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed, by name."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Text in columns: the first one to the left, numbers to the right."""
    cells = [list(columns), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if place else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result, and say where to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\nwritten to {path}")
