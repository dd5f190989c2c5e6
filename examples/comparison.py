"""Runs side by side: accuracy over the seeds, McNemar's test, time for an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from operator import methodcaller
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np
from batches import scaled
from data_sets import Images
from evaluation import right_answers
from records import write_json
from results import mcnemar, percent, spread, table, versions
from timing import milliseconds_per_image, ratio

WORK = (("predict_on_batch", 1), ("predict_on_batch", 100), ("train_on_batch", 32))
"""What is timed: Keras' method, and on how many images."""
ROUNDS = 50

Runs = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Numbers of runs, and the `folder` each lies in, by network and seed."""


def compare(runs: Runs, images: Images, out: Path) -> dict[str, Any]:
    """Print tables of `runs` and write `summary.json` into `out`."""
    pairs = list(combinations(runs, 2))
    summary = {
        "networks": {name: in_all(list(seeds.values())) for name, seeds in runs.items()},
        "pairs": [pair_of(runs, pair, images.test_labels) for pair in pairs],
        "times": speeds(runs, images) if pairs else [],
        "versions": versions(),
    }
    write_json(out / "summary.json", summary)
    print(f"\n{describe(summary)}\n", flush=True)
    return summary


def in_all(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up a network's runs."""
    return {
        "seeds": [run["settings"]["seed"] for run in runs],
        "trained_with": runs[0]["versions"],
        "parameters": runs[0]["parameters"],
        "test_accuracy": spread([run["test_accuracy"] for run in runs]),
        "test_accuracies": [run["test_accuracy"] for run in runs],
        "seconds_per_epoch": median(run["seconds_per_epoch"] for run in runs),
    }


def pair_of(runs: Runs, pair: tuple[str, str], labels: np.ndarray) -> dict[str, Any]:
    """Two networks compared seed by seed: how much better the second is, and McNemar's test."""
    first, second = (runs[name] for name in pair)
    tests = {}
    for seed in first:
        answers = (right_answers(run[seed]["folder"], labels) for run in (first, second))
        tests[seed] = mcnemar(*answers)
    gains = [second[seed]["test_accuracy"] - first[seed]["test_accuracy"] for seed in first]
    return {"networks": list(pair), "gain": spread(gains), "tests": tests}


def speeds(runs: Runs, images: Images) -> list[dict[str, Any]]:
    """Time both in turns in one loop: milliseconds an image, and the ratio to the first network."""
    folders = {name: next(iter(seeds.values()))["folder"] for name, seeds in runs.items()}
    models = {
        name: keras.saving.load_model(folder / "model.keras") for name, folder in folders.items()
    }
    rows = []
    for work, size in WORK:
        batch = scaled(images.test_images[:size]), images.test_labels[:size]
        do = methodcaller(work, *(batch if work == "train_on_batch" else batch[:1]))
        times = milliseconds_per_image(models, do, size, ROUNDS)
        rows += [row_of_times(name, work, size, times, next(iter(models))) for name in models]
    return rows


def row_of_times(
    name: str, work: str, size: int, times: Mapping[str, Sequence[float]], first: str
) -> dict[str, Any]:
    """Return one network's time for an image at one kind of work."""
    return {
        "network": name,
        "work": work,
        "batch_size": size,
        "milliseconds_per_image": median(times[name]),
        "ratio_and_quartiles": ratio(times[name], times[first]),
    }


def describe(summary: Mapping[str, Any]) -> str:
    """Write the summary as Markdown tables."""
    parts = [describe_networks("network", summary["networks"])]
    if summary["pairs"]:
        parts += [describe_tests(summary["pairs"]), describe_times(summary["times"])]
    return "\n\n".join(parts)


def describe_networks(title: str, networks: Mapping[str, Mapping[str, Any]]) -> str:
    """Write what networks come to as a Markdown table, one to a row, the first column titled."""
    rows = [
        [
            name,
            f"{numbers['parameters']:,}",
            f"{len(numbers['seeds'])}",
            percent(numbers["test_accuracy"]),
            f"{numbers['seconds_per_epoch']:.1f} s",
        ]
        for name, numbers in networks.items()
    ]
    header = [title, "parameters", "seeds", "test accuracy (least to most)", "an epoch"]
    return table(header, rows)


def describe_tests(pairs: Sequence[Mapping[str, Any]]) -> str:
    """McNemar's test of each pair and seed, as a Markdown table."""
    rows = [
        [
            f"{pair['networks'][0]} against {pair['networks'][1]}, seed {seed}",
            str(test["only_first_right"]),
            str(test["only_second_right"]),
            f"{test['p']:.2g}",
        ]
        for pair in pairs
        for seed, test in pair["tests"].items()
    ]
    header = ["McNemar's exact test", "only the first is right", "only the second", "p"]
    gains = [
        f"{pair['networks'][1]} minus {pair['networks'][0]}, by seed: "
        + "{mean:+.2%} ± {sd:.2%}, {least:+.2%} to {most:+.2%}".format_map(pair["gain"])
        for pair in pairs
    ]
    return "\n".join([table(header, rows), "", *gains])


def describe_times(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write times for an image as a Markdown table."""
    cells = [
        [
            f"{row['work'].partition('_')[0]}, batches of {row['batch_size']}",
            row["network"],
            f"{row['milliseconds_per_image']:.2f} ms",
            "{:.2f} ({:.2f} to {:.2f})".format(*row["ratio_and_quartiles"]),
        ]
        for row in rows
    ]
    return table(["time", "network", "an image", "times the first (quartiles)"], cells)
