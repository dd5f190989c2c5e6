"""Latency in ONNX Runtime on the CPU: each network against its conversions, side by side.

The original, written by plain tf2onnx and by `allconv.export_onnx`, and its exact, conv and stride
conversions take turns in one loop, at batch sizes 1 and 8, with 1 and 2 threads. Ratios are to the
original as allconv writes it, in the same round. `--forms` measures other forms of the exact max
pool instead.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
from measure import RESULTS, machine, paired_times, quartiles, table, write_json
from onnx_export import by_tf2onnx
from onnx_forms import FORMS, with_pools_as

import allconv
from allconv.export.options import ExportOptions
from allconv.export.pipeline import export_graph
from allconv.export_onnx import export_onnx
from allconv.read import read
from allconv.rewrite import rewrite
from allconv.rules import rules_for

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from tests.helpers.networks import cifar10_cnn, mnist_cnn  # noqa: E402, found at ROOT
from tests.helpers.randomized import damp_branches, randomize  # noqa: E402

MODELS: Mapping[str, Callable[[], keras.Model]] = {
    "MNIST CNN": mnist_cnn,
    "CIFAR-10 CNN": cifar10_cnn,
    "VGG16": partial(keras.applications.VGG16, weights=None),
    "ResNet50": partial(keras.applications.ResNet50, weights=None),
    "InceptionV3": partial(keras.applications.InceptionV3, weights=None),
}
VARIANTS = ("original", "tf2onnx", "exact", "conv", "stride")
TARGETS = {"VGG16": 1.05, "ResNet50": 1.08, "MNIST CNN": 1.3, "CIFAR-10 CNN": 1.3}
"""Of the exact conversion at batch 1, times the original's latency."""
MEAN_TARGET = 1.12
"""Of the geometric mean over all networks."""
TO_BE_TRAINED = ("conv", "stride")
TOLERANCE = 1e-4
"""Of the difference between what the others give and the original, relative to its spread."""
MOST_ROUNDS = 500


def main() -> None:
    """Measure, print a table, write the numbers."""
    options = parse_arguments()
    rows: list[dict[str, Any]] = []
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            files = written_elsewhere(name, Path(folder), options)
            for row in measure(name, files, options):
                rows.append(row)
                print(describe([row]), flush=True)
    print(f"\n{describe(rows)}\n\n{described_means(rows)}")
    result = {
        "machine": machine(),
        "onnxruntime": onnxruntime.__version__,
        "targets": {**TARGETS, "geometric mean": MEAN_TARGET},
        "rows": rows,
    }
    subject = "forms" if options.forms else "latency"
    write_json(options.json or RESULTS / f"onnx_{subject}.json", result)


def parse_arguments() -> argparse.Namespace:
    """Read the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--forms", action="store_true", help="forms of the exact max pool")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8], metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=60, help="for each row, about; default: %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=10, help="at least; default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="OUT")
    return parser.parse_args()


def written_elsewhere(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Path]:
    """Write the files of a network, each in a process that takes Keras' memory with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        if options.forms:
            return pool.submit(forms_of, name, folder).result()
        files = {variant: folder / f"{variant}.onnx" for variant in options.variants}
        for variant, file in files.items():
            pool.submit(write, variant, name, file).result()
        return files


def network(name: str) -> keras.Model:
    """Build a network with drawn weights, the same at every call."""
    return damp_branches(randomize(MODELS[name]()))


def write(variant: str, name: str, file: Path) -> None:
    """Write the original or a conversion.

    A max pool that cannot give its stride to a convolution stays in the conversion by stride.
    """
    original = network(name)
    if variant == "tf2onnx":
        by_tf2onnx(original, file)
    elif variant == "original":
        export_onnx(original, file, verify=False)
    else:
        export_onnx(allconv.convert(original, pooling=variant, strict=False), file, verify=False)


def forms_of(name: str, folder: Path) -> dict[str, Path]:
    """Return the files of the exact conversion in all forms, by name, that with MaxPool first.

    In that one everything is converted but max pools; the others differ in these alone.
    """
    files = {name: folder / f"{name}.onnx" for name in ("MaxPool", "allconv", *FORMS)}
    original = network(name)
    graph = read(original)
    rules = [
        rule
        for rule in rules_for(graph, "exact", "dense", (), False)
        if rule.name != "max_pool_to_relu"
    ]
    kept = rewrite(graph, rules).after
    export_graph(kept, files["MaxPool"], ExportOptions(verify=False), source=original.name)
    export_onnx(allconv.convert(original), files["allconv"], verify=False)
    pooled = onnx.load(files["MaxPool"])
    for name, form in FORMS.items():
        onnx.save(with_pools_as(form, pooled), files[name])
    return files


def measure(
    name: str, files: Mapping[str, Path], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield one row of numbers for each number of threads and each batch size."""
    for threads in options.threads:
        yield from on_threads(threads, name, files, options)


def on_threads(
    threads: int, name: str, files: Mapping[str, Path], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Its rows with so many threads; the sessions, which hold all weights twice, go at its end."""
    sessions = {variant: session(file, threads) for variant, file in files.items()}
    first = next(iter(files))
    for batch_size in options.batches:
        runs = {variant: run_of(one, batch_size) for variant, one in sessions.items()}
        differences = {variant: difference(runs[first](), run()) for variant, run in runs.items()}
        require_agreement(name, differences)
        times = compared(runs, options)
        yield {
            "model": name,
            "threads": threads,
            "batch_size": batch_size,
            "rounds": len(times[first]),
            "load_average": os.getloadavg()[0],
            "milliseconds": {key: quartiles(1e3 * of) for key, of in times.items()},
            "ratios": {key: quartiles(of / times[first]) for key, of in times.items()},
            "differences": differences,
        }


def session(file: Path, threads: int) -> onnxruntime.InferenceSession:
    """ONNX Runtime on so many threads, which sleep while another session runs.

    By default they go on looking for work for a while after a run, at the others' expense.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def run_of(one: onnxruntime.InferenceSession, batch_size: int) -> Callable[[], np.ndarray]:
    """Make a run on images drawn from a seed, the same for both layouts."""
    (given,) = one.get_inputs()
    _, *sizes = given.shape
    channels_first = sizes[0] < sizes[-1]
    height, width, channels = (*sizes[1:], sizes[0]) if channels_first else sizes
    shape = (batch_size, height, width, channels)
    images = np.random.default_rng(0).standard_normal(shape, dtype="float32")
    if channels_first:
        images = np.ascontiguousarray(np.moveaxis(images, -1, 1))
    return lambda: one.run(None, {given.name: images})[0]


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the largest difference, relative to the spread of what is expected."""
    return float(np.abs(expected - found).max() / np.ptp(expected))


def require_agreement(name: str, differences: Mapping[str, float]) -> None:
    """Stop where what is compared does not compute the same; conv and stride are to be trained."""
    wrong = [
        f"{variant}: {amount:.1e}"
        for variant, amount in differences.items()
        if variant not in TO_BE_TRAINED and not amount <= TOLERANCE
    ]
    if wrong:
        raise SystemExit(f"{name}: outputs differ by more than {TOLERANCE}: {', '.join(wrong)}")


def compared(
    runs: Mapping[str, Callable[[], object]], options: argparse.Namespace
) -> dict[str, np.ndarray]:
    """Time all in turn for about so many seconds, and for at least so many rounds."""
    trial = paired_times(runs, rounds=1)
    rounds = round(options.seconds / sum(float(times.min()) for times in trial.values()))
    return paired_times(runs, max(options.rounds, min(MOST_ROUNDS, rounds)))


def describe(rows: list[dict[str, Any]]) -> str:
    """Write the rows as a table: milliseconds of the first variant, ratios of the others to it."""
    first, *others = rows[0]["ratios"]
    columns = ("model", "threads", "batch", f"{first} ms", *others)
    return table(
        columns,
        (
            (
                row["model"],
                str(row["threads"]),
                str(row["batch_size"]),
                f"{row['milliseconds'][first]['median']:.2f}",
                *(ratio(row["ratios"][name]) for name in others),
            )
            for row in rows
        ),
    )


def ratio(values: Mapping[str, float]) -> str:
    """Write the median with its quartiles."""
    low, middle, high = (values[name] for name in ("first_quartile", "median", "third_quartile"))
    return f"{middle:.2f}x ({low:.2f}-{high:.2f})"


def described_means(rows: list[dict[str, Any]]) -> str:
    """Return the geometric means over the networks, by threads and batch size."""
    cases = dict.fromkeys((row["threads"], row["batch_size"]) for row in rows)
    lines = []
    for case in cases:
        of_case = [row["ratios"] for row in rows if (row["threads"], row["batch_size"]) == case]
        means = {
            name: np.exp(np.mean([np.log(ratios[name]["median"]) for ratios in of_case]))
            for name in list(of_case[0])[1:]
        }
        said = ", ".join(f"{name} {mean:.2f}x" for name, mean in means.items())
        lines.append(f"geometric means, {case[0]} threads, batch {case[1]}: {said}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
