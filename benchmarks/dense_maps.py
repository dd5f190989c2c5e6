"""A class map at every pixel, in ONNX Runtime on the CPU: four ways to the same numbers.

A classifier of digits with two max pools is run on every crop of an image, in batches (*patches*);
as a map of its own stride on the image moved in all ways (*shift-and-stitch*); with dilated
convolutions and MaxPools (*dilated MaxPool*, which no Keras layer is: the file is made of that of
the kept pools); and as `convert(output_stride=1)` makes it, of convolutions alone. They take turns
in one loop, and are compared with one another first.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
from measure import RESULTS, he_kernels, machine, paired_times, quartiles, table, write_json
from onnx import helper

import allconv

FIELD, STRIDE, BATCH = 26, 4, 512
"""Cells that the classifier takes along each axis, the stride of its map, and crops in one run."""
WAYS = ("patches", "shift-and-stitch", "dilated MaxPool", "convolutions")
TARGETS = {"patches": 40.0, "shift-and-stitch": 2.0, "dilated MaxPool": 1 / 1.25}
"""How many times as long as the convolutions the others are to take, at least."""
TOLERANCE = 1e-5


def main() -> None:
    """Measure, print a table, write the numbers."""
    options = parse_arguments()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder))
        for size, threads in itertools.product(options.sizes, options.threads):
            rows.append(measure(files, size, threads, options.rounds))
            print(described(rows[-1:]), flush=True)
    print(f"\n{described(rows)}")
    result = {
        "machine": {**machine(), "processor": processor()},
        "onnxruntime": onnxruntime.__version__,
        "rounds": options.rounds,
        "targets": TARGETS,
        "rows": rows,
    }
    write_json(options.json or RESULTS / "dense_maps.json", result)


def parse_arguments() -> argparse.Namespace:
    """Read the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[128, 256], metavar="N")
    parser.add_argument("--threads", nargs="+", type=int, default=[1], metavar="N")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="OUT")
    return parser.parse_args()


def processor() -> str:
    """Find the processor's name, where the system tells it."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def classifier() -> keras.Model:
    """Make a CNN of 26x26 images with two max pools, whose map has stride 4."""
    layers = keras.layers
    return he_kernels(
        keras.Sequential(
            [
                keras.Input((FIELD, FIELD, 1), name="image"),
                layers.Conv2D(32, 3, activation="relu"),
                layers.MaxPooling2D(2),
                layers.Conv2D(64, 3, activation="relu"),
                layers.MaxPooling2D(2),
                layers.Flatten(),
                layers.Dense(10),
            ]
        )
    )


def written(folder: Path) -> dict[str, Path]:
    """Write the networks as ONNX files: with their own map, and with both finer ones."""
    model = classifier()
    files = {name: folder / f"{name}.onnx" for name in ("strided", "dilated", "convolutions")}
    kept = allconv.convert(model, input_size="any", pooling="keep")
    allconv.export_onnx(kept, files["strided"])
    dense = allconv.convert(model, input_size="any", output_stride=1, verify=True)
    allconv.export_onnx(dense, files["convolutions"])
    onnx.save(with_dilation(onnx.load(files["strided"])), files["dilated"])
    return files


def with_dilation(network: onnx.ModelProto) -> onnx.ModelProto:
    """Bring a chain of convolutions and MaxPools to stride 1, with its windows dilated."""
    apart = 1
    for node in network.graph.node:
        if node.op_type in ("Conv", "MaxPool"):
            strides = next((list(a.ints) for a in node.attribute if a.name == "strides"), [1, 1])
            kept = [a for a in node.attribute if a.name not in ("strides", "dilations")]
            del node.attribute[:]
            node.attribute.extend(kept)
            node.attribute.append(helper.make_attribute("dilations", [apart, apart]))
            apart *= strides[0]
    assert apart == STRIDE
    onnx.checker.check_model(network)
    return network


def session(file: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a network as a function of images, channels first."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    run = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = run.get_inputs()[0].name
    return lambda images: run.run(None, {name: images})[0]


def measure(files: dict[str, Path], size: int, threads: int, rounds: int) -> dict[str, Any]:
    """Measure the milliseconds of each way at one size of the image, and how many times ours."""
    image = np.random.default_rng(0).normal(size=(1, 1, size, size)).astype("float32")
    strided = session(files["strided"], threads)
    actions: dict[str, Callable[[], np.ndarray]] = {
        "patches": lambda: by_patches(strided, image),
        "shift-and-stitch": lambda: stitched(strided, image),
        "dilated MaxPool": lambda: dilated(image),
        "convolutions": lambda: ours(image),
    }
    dilated, ours = (session(files[name], threads) for name in ("dilated", "convolutions"))
    expected = actions["patches"]()
    for name, action in actions.items():
        error = np.abs(action() - expected).max() / np.ptp(expected)
        assert error <= TOLERANCE, f"{name} gives other numbers, {error:.1e} of the spread"
    seconds = paired_times(actions, rounds)
    return {
        "size": size,
        "threads": threads,
        "milliseconds": {name: quartiles(1e3 * times) for name, times in seconds.items()},
        "times": {name: quartiles(seconds[name] / seconds["convolutions"]) for name in TARGETS},
    }


def by_patches(strided: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """Run the classifier on every crop, some hundred at a time."""
    view = np.lib.stride_tricks.sliding_window_view(image[0, 0], (FIELD, FIELD))
    crops = view.reshape(-1, 1, FIELD, FIELD)
    parts = [
        strided(np.ascontiguousarray(crops[start : start + BATCH]))
        for start in range(0, len(crops), BATCH)
    ]
    classes = np.concatenate(parts).reshape(*view.shape[:2], -1)
    return classes.transpose(2, 0, 1)[None]


def stitched(strided: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """Put the maps of the image moved in all ways together."""
    count = image.shape[-1] - FIELD + 1
    found: np.ndarray | None = None
    for i, j in itertools.product(range(STRIDE), repeat=2):
        part = strided(np.ascontiguousarray(image[:, :, i:, j:]))
        if found is None:
            found = np.empty((1, part.shape[1], count, count), "float32")
        place = found[:, :, i::STRIDE, j::STRIDE]
        place[...] = part[:, :, : place.shape[2], : place.shape[3]]
    assert found is not None
    return found


def described(rows: list[dict[str, Any]]) -> str:
    """Write the medians as a table."""
    columns = ["image", "threads", *(f"{name}, ms" for name in WAYS), *(f"{n}, x" for n in TARGETS)]
    lines = [
        [
            f"{row['size']}x{row['size']}",
            str(row["threads"]),
            *(f"{row['milliseconds'][name]['median']:.1f}" for name in WAYS),
            *(f"{row['times'][name]['median']:.2f}" for name in TARGETS),
        ]
        for row in rows
    ]
    return table(columns, lines)


if __name__ == "__main__":
    main()
